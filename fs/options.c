#include "options.h"

#include "fuse.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MiB ((uint64_t)1 << 20)
#define SECOND 1000000000
#define MILLISECOND 1000000
/* A hundred years: longer than any TTL, and far from the end of int64_t. */
#define TIME_MAX ((int64_t)3155760000 * SECOND)

/* Sanitizers and coverage need what the sandbox takes away (meson.build). */
#ifndef SANDBOX_DEFAULT
#define SANDBOX_DEFAULT true
#endif

/* A store of less could hold hardly more than its tables. */
#define MAX_SIZE_LEAST MiB

const char options_help[] =
	"usage: recordfs [options] STORE MOUNTPOINT\n"
	"\n"
	"Mounts a SQLite database as a directory. STORE is the path of the database file, which "
	"is\n"
	"created when missing.\n"
	"\n"
	"  -f                      stay in the foreground, messages to standard error\n"
	"  -d, -o debug            show every request (implies -f)\n"
	"  -s                      one thread only\n"
	"  -h, --help              print this help and exit\n"
	"  -V, --version           print the version and exit\n"
	"\n"
	"  -o cache_size=SIZE      most memory of the block cache (K, M, G, T; default 256M)\n"
	"  -o cache_ttl=SECONDS    how long what is cached may be used; fractions allowed,\n"
	"                          0: never serve from a cache (default 300)\n"
	"  -o sync=LEVEL           always: a write is on stable storage when it returns (default)\n"
	"                          standard: committed when it returns, flushed by fsync or within "
	"1 s\n"
	"                          disabled: fsync does nothing, for scratch data\n"
	"  -o on_cache_error=WHAT  a write was committed but the cache could not be updated:\n"
	"                          eio: the write fails (default), drop: it succeeds\n"
	"  -o watch=MILLISECONDS   within what time changes by others are seen; 0: when the TTL is "
	"over\n"
	"                          (default 100)\n"
	"  -o max_size=SIZE        largest size of the store, 1M or more\n"
	"  -o sandbox=WHAT         on: give up all rights that are not needed (default); off\n"
	"  -o fault=SPEC           inject faults, for testing:\n"
	"                          POINT:ERROR[:every=N][:after=N][:count=N][:file=PATH][+...]\n"
	"                          POINT is read, write, commit, flush, cache or open;\n"
	"                          ERROR the name of an errno, or delay=MS\n"
	"\n"
	"  -o nonempty             also where a recordfs is mounted already, which is covered\n"
	"  -o ro, rw, allow_other, allow_root, auto_unmount, fsname=NAME, subtype=NAME, "
	"max_read=N,\n"
	"     dev, nodev, suid, nosuid, exec, noexec, sync, async, dirsync, noatime, ...\n"
	"                          as for every FUSE filesystem, see mount.fuse3(8)\n"
	"\n"
	"Without -f the exit status is 0 once the mount works; 1 when it failed, 2 when the "
	"command\n"
	"line is wrong. Unmount with: fusermount3 -u MOUNTPOINT\n";

struct parser {
	struct options *o;
	char *errmsg;
	size_t errmsg_size;
	bool own_subtype;
};

enum key {
	KEY_HELP,
	KEY_VERSION,
	KEY_FOREGROUND,
	KEY_DEBUG,
	KEY_SINGLE,
	KEY_CACHE_SIZE,
	KEY_CACHE_TTL,
	KEY_SYNC,
	KEY_ON_CACHE_ERROR,
	KEY_WATCH,
	KEY_MAX_SIZE,
	KEY_SANDBOX,
	KEY_FAULT,
	KEY_MAX_READ,
	KEY_REMOUNT,
	KEY_RO,
	KEY_RW,
	KEY_NONEMPTY,
	KEY_FSNAME,
	KEY_SUBTYPE,
	KEY_HAND_ON, /* to libfuse and the kernel */
	KEY_IGNORE,  /* for mount(8) and others, means nothing to us */
};

/* FUSE_OPT_KEY, without the conversion that clang warns of. */
#define KEY(text, key)                                                                             \
	{                                                                                          \
		text, (unsigned long)-1U, key                                                      \
	}

/* A key that ends in "=" matches whatever follows; one without a value matches itself only. */
static const struct fuse_opt template[] = {
	KEY("-h", KEY_HELP),
	KEY("--help", KEY_HELP),
	KEY("-V", KEY_VERSION),
	KEY("--version", KEY_VERSION),
	KEY("-f", KEY_FOREGROUND),
	KEY("-d", KEY_DEBUG),
	KEY("debug", KEY_DEBUG),
	KEY("-s", KEY_SINGLE),
	KEY("cache_size=", KEY_CACHE_SIZE),
	KEY("cache_ttl=", KEY_CACHE_TTL),
	KEY("sync=", KEY_SYNC),
	KEY("on_cache_error=", KEY_ON_CACHE_ERROR),
	KEY("watch=", KEY_WATCH),
	KEY("max_size=", KEY_MAX_SIZE),
	KEY("sandbox=", KEY_SANDBOX),
	KEY("fault=", KEY_FAULT),
	KEY("max_read=", KEY_MAX_READ),
	KEY("remount", KEY_REMOUNT),
	KEY("ro", KEY_RO),
	KEY("rw", KEY_RW),
	KEY("nonempty", KEY_NONEMPTY),
	KEY("fsname=", KEY_FSNAME),
	KEY("subtype=", KEY_SUBTYPE),
	KEY("allow_other", KEY_HAND_ON),
	KEY("allow_root", KEY_HAND_ON),
	KEY("auto_unmount", KEY_HAND_ON),
	KEY("dev", KEY_HAND_ON),
	KEY("nodev", KEY_HAND_ON),
	KEY("suid", KEY_HAND_ON),
	KEY("nosuid", KEY_HAND_ON),
	KEY("exec", KEY_HAND_ON),
	KEY("noexec", KEY_HAND_ON),
	KEY("sync", KEY_HAND_ON),
	KEY("async", KEY_HAND_ON),
	KEY("dirsync", KEY_HAND_ON),
	KEY("noatime", KEY_HAND_ON),
	KEY("context=", KEY_HAND_ON),
	KEY("fscontext=", KEY_HAND_ON),
	KEY("defcontext=", KEY_HAND_ON),
	KEY("rootcontext=", KEY_HAND_ON),
	KEY("default_permissions", KEY_IGNORE), /* always on */
	/* Times of access are the daemon's affair, and it does not keep them up at reads. */
	KEY("atime", KEY_IGNORE),
	KEY("nodiratime", KEY_IGNORE),
	KEY("diratime", KEY_IGNORE),
	KEY("relatime", KEY_IGNORE),
	KEY("norelatime", KEY_IGNORE),
	KEY("strictatime", KEY_IGNORE),
	KEY("nostrictatime", KEY_IGNORE),
	KEY("lazytime", KEY_IGNORE),
	KEY("nolazytime", KEY_IGNORE),
	KEY("user=", KEY_IGNORE),
	KEY("user", KEY_IGNORE),
	KEY("nouser", KEY_IGNORE),
	KEY("users", KEY_IGNORE),
	KEY("nousers", KEY_IGNORE),
	KEY("owner", KEY_IGNORE),
	KEY("group", KEY_IGNORE),
	KEY("defaults", KEY_IGNORE),
	KEY("auto", KEY_IGNORE),
	KEY("noauto", KEY_IGNORE),
	KEY("nofail", KEY_IGNORE),
	KEY("_netdev", KEY_IGNORE),
	FUSE_OPT_END,
};

static const char *const sync_names[] = {
	[OPTIONS_SYNC_ALWAYS] = "always",
	[OPTIONS_SYNC_STANDARD] = "standard",
	[OPTIONS_SYNC_DISABLED] = "disabled",
};

const char *options_sync_name(enum options_sync sync)
{
	return sync_names[sync];
}

PRINTF_LIKE(2, 3) static int refuse(struct parser *p, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(p->errmsg, p->errmsg_size, fmt, ap);
	va_end(ap);
	return -1;
}

int options_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (*end && (!unit || end[1] != '\0'))
		return -EINVAL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (n > (uint64_t)INT64_MAX >> shift)
		return -EINVAL;
	*ret = (uint64_t)n << shift;
	return 0;
}

int options_parse_time(const char *text, int64_t unit, int64_t *ret)
{
	if (!isdigit((unsigned char)*text) && *text != '.')
		return -EINVAL;
	int64_t t = 0;
	const char *c = text;
	for (; isdigit((unsigned char)*c); c++) {
		if (t > TIME_MAX / 10)
			return -EINVAL;
		t = t * 10 + (*c - '0') * unit;
	}
	if (*c == '.') {
		if (!isdigit((unsigned char)c[1]))
			return -EINVAL;
		/* What is finer than a nanosecond counts as nothing. */
		for (c++; isdigit((unsigned char)*c); c++) {
			unit /= 10;
			t += (*c - '0') * unit;
		}
	}
	if (*c)
		return -EINVAL;
	*ret = t;
	return 0;
}

static int set_string(char **ret, const char *value)
{
	char *copy = strdup(value);
	if (!copy)
		return -1;
	free(*ret);
	*ret = copy;
	return 0;
}

static int set_sync(struct parser *p, const char *arg, const char *value)
{
	for (unsigned i = 0; i < ARRAY_LEN(sync_names); i++) {
		if (!strcmp(value, sync_names[i])) {
			p->o->sync = (enum options_sync)i;
			return 0;
		}
	}
	return refuse(p, "bad option '%s': it must be always, standard or disabled", arg);
}

static int set_fault(struct parser *p, const char *value)
{
	if (p->o->fault)
		return refuse(p,
			"option 'fault' was given twice: join the faults, fault=%.200s+%.200s",
			p->o->fault, value);
	return set_string(&p->o->fault, value);
}

/* What a value has to look like. */
static const char *expected(enum key key)
{
	switch ((int)key) {
	case KEY_CACHE_TTL:
		return "a number of seconds, as 300, 2.5 or 0";
	case KEY_WATCH:
		return "a number of milliseconds, as 100, 2.5 or 0";
	case KEY_MAX_READ:
		return "0, or a size of 4K or more and less than 4G";
	default:
		return "a size in bytes, or one with K, M, G or T, as 64M";
	}
}

static int set_value(struct parser *p, enum key key, const char *arg)
{
	struct options *o = p->o;
	const char *value = strchr(arg, '=') + 1;
	uint64_t size = 0;
	bool bad = false;
	switch ((int)key) {
	case KEY_CACHE_SIZE:
		bad = options_parse_size(value, &o->cache_size) < 0;
		break;
	case KEY_MAX_SIZE:
		bad = options_parse_size(value, &o->max_size) < 0;
		if (!bad && o->max_size < MAX_SIZE_LEAST)
			return refuse(p, "bad option '%s': it must be 1M or more", arg);
		break;
	case KEY_MAX_READ:
		bad = options_parse_size(value, &size) < 0 || size > UINT32_MAX ||
		      (size && size < 4096);
		o->max_read = (unsigned)size;
		break;
	case KEY_CACHE_TTL:
		bad = options_parse_time(value, SECOND, &o->cache_ttl_ns) < 0;
		break;
	case KEY_WATCH:
		bad = options_parse_time(value, MILLISECOND, &o->watch_ns) < 0;
		break;
	case KEY_SYNC:
		return set_sync(p, arg, value);
	case KEY_ON_CACHE_ERROR:
		if (strcmp(value, "eio") != 0 && strcmp(value, "drop") != 0)
			return refuse(p, "bad option '%s': it must be eio or drop", arg);
		o->drop_on_error = !strcmp(value, "drop");
		return 0;
	case KEY_SANDBOX:
		if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
			return refuse(p, "bad option '%s': it must be on or off", arg);
		o->sandbox = !strcmp(value, "on");
		return 0;
	default:
		return set_fault(p, value);
	}
	return bad ? refuse(p, "bad value in option '%s': it must be %s", arg, expected(key)) : 0;
}

/* The option that `arg` begins with, "cache_size=" of "cache_size=1M"; -1: unknown. */
static int key_of(const char *arg)
{
	for (const struct fuse_opt *t = template; t->templ; t++) {
		size_t len = strlen(t->templ);
		bool open = t->templ[len - 1] == '=';
		if (open ? !strncmp(arg, t->templ, len) : !strcmp(arg, t->templ))
			return t->value;
	}
	return -1;
}

/* Is it an option of ours that should have had a value? */
static bool lacks_value(const char *arg)
{
	size_t len = strlen(arg);
	for (const struct fuse_opt *t = template; t->templ; t++)
		if (!strncmp(t->templ, arg, len) && !strcmp(t->templ + len, "="))
			return true;
	return false;
}

static int change_one(struct parser *p, const char *arg)
{
	int key = key_of(arg);
	switch (key) {
	case KEY_CACHE_SIZE:
	case KEY_CACHE_TTL:
	case KEY_SYNC:
		if (strchr(arg, '='))
			return set_value(p, (enum key)key, arg);
		break;
	case KEY_ON_CACHE_ERROR:
		return set_value(p, (enum key)key, arg);
	case -1:
		if (lacks_value(arg))
			return refuse(p, "option '%s' needs a value: %s=...", arg, arg);
		return refuse(p,
			"unknown option '%s': what can be set are cache_size, cache_ttl, sync and "
			"on_cache_error",
			arg);
	default:
		break;
	}
	return refuse(p,
		"option '%s' cannot be changed while mounted, only cache_size, cache_ttl, sync and "
		"on_cache_error",
		arg);
}

int options_change(struct options *o, const char *text, char *errmsg, size_t errmsg_size)
{
	struct options changed = *o;
	struct parser p = {.o = &changed, .errmsg = errmsg, .errmsg_size = errmsg_size};
	snprintf(errmsg, errmsg_size, "no memory");
	char *copy = strdup(text), *rest = copy, *arg;
	int r = copy ? 0 : -1;
	while (r == 0 && (arg = strsep(&rest, ",")))
		r = change_one(&p, arg);
	free(copy);
	if (r < 0)
		return -EINVAL;
	*o = changed;
	return 0;
}

static int add_path(struct parser *p, const char *arg)
{
	if (!p->o->store)
		return set_string(&p->o->store, arg);
	if (!p->o->mountpoint)
		return set_string(&p->o->mountpoint, arg);
	return refuse(p, "one argument too many: '%s'", arg);
}

static int unknown(struct parser *p, const char *arg)
{
	if (lacks_value(arg))
		return refuse(p, "option '%s' needs a value: %s=...", arg, arg);
	/* Nothing between two commas, and comments of fstab, for systemd and others. */
	if (!*arg || !strncmp(arg, "x-", 2) || !strncmp(arg, "X-", 2) ||
		!strncmp(arg, "comment=", 8))
		return 0;
	return refuse(p, "unknown option '%s' (see recordfs --help)", arg);
}

static int process(void *data, const char *arg, int key, struct fuse_args *outargs)
{
	(void)outargs;
	struct parser *p = data;
	struct options *o = p->o;
	switch (key) {
	case KEY_HELP:
		o->help = true;
		return 0;
	case KEY_VERSION:
		o->version = true;
		return 0;
	case KEY_DEBUG:
		o->debug = true;
		o->foreground = true;
		return 0;
	case KEY_FOREGROUND:
		o->foreground = true;
		return 0;
	case KEY_SINGLE:
		o->single_threaded = true;
		return 0;
	case KEY_REMOUNT:
		return refuse(p, "remounting is not supported: unmount, and mount again");
	case KEY_RO:
	case KEY_RW:
		o->readonly = key == KEY_RO;
		return 0;
	case KEY_NONEMPTY:
		o->nonempty = true;
		return 0;
	case KEY_FSNAME:
	case KEY_SUBTYPE:
		*(key == KEY_FSNAME ? &o->own_fsname : &p->own_subtype) = true;
		return fuse_opt_add_opt_escaped(&o->mount, arg);
	case KEY_HAND_ON:
		return fuse_opt_add_opt_escaped(&o->mount, arg);
	case KEY_IGNORE:
		return 0;
	case FUSE_OPT_KEY_NONOPT:
		return add_path(p, arg);
	case FUSE_OPT_KEY_OPT:
		return unknown(p, arg);
	default:
		return set_value(p, (enum key)key, arg);
	}
}

static int add_defaults(struct parser *p)
{
	struct options *o = p->o;
	char text[32];
	int r = fuse_opt_add_opt(&o->mount, "default_permissions");
	if (r == 0)
		r = fuse_opt_add_opt(&o->mount, o->readonly ? "ro" : "rw");
	if (r == 0 && !p->own_subtype)
		r = fuse_opt_add_opt(&o->mount, "subtype=recordfs");
	if (r == 0 && o->max_read) {
		snprintf(text, sizeof text, "max_read=%u", o->max_read);
		r = fuse_opt_add_opt(&o->mount, text);
	}
	return r;
}

/* What libfuse has to say of the command line, which is for our one line. */
static char fuse_said[128];

__attribute__((format(printf, 2, 0))) static void hear(
	enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	vsnprintf(fuse_said, sizeof fuse_said, fmt, ap);
	fuse_said[strcspn(fuse_said, "\n")] = '\0';
}

int options_parse(struct options *o, int argc, char *argv[], char *errmsg, size_t errmsg_size)
{
	*o = (struct options){
		.sandbox = SANDBOX_DEFAULT,
		.cache_size = 256 * MiB,
		.cache_ttl_ns = (int64_t)300 * SECOND,
		.watch_ns = (int64_t)100 * MILLISECOND,
	};
	struct parser p = {.o = o, .errmsg = errmsg, .errmsg_size = errmsg_size};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	snprintf(errmsg, errmsg_size, "the command line cannot be understood");
	fuse_said[0] = '\0';
	fuse_set_log_func(hear);
	int r = fuse_opt_parse(&args, &p, template, process);
	fuse_set_log_func(NULL);
	fuse_opt_free_args(&args);
	if (r < 0 && fuse_said[0])
		snprintf(errmsg, errmsg_size, "the command line cannot be understood: %s",
			fuse_said);
	if (r < 0)
		return -EINVAL;
	if (o->help || o->version)
		return 0;
	if (!o->store || !o->mountpoint) {
		refuse(&p, "%s is missing (usage: recordfs [options] STORE MOUNTPOINT)",
			o->store ? "MOUNTPOINT" : "STORE");
		return -EINVAL;
	}
	if (!*o->store || !*o->mountpoint) {
		refuse(&p, "%s is an empty word (usage: recordfs [options] STORE MOUNTPOINT)",
			*o->store ? "MOUNTPOINT" : "STORE");
		return -EINVAL;
	}
	return add_defaults(&p) < 0 ? -EINVAL : 0;
}

void options_fini(struct options *o)
{
	free(o->store);
	free(o->mountpoint);
	free(o->fault);
	free(o->mount);
	*o = (struct options){0};
}

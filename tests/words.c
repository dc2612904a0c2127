#include "words.h"

#include "cache/store/fault_spec.h"
#include "fs/options.h"
#include "fs/stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 24u
#define BYTES_MAX 16384u

struct words_counts words_counts;

/* With a NUL: the argument ends. */
static const char *const words[] = {"\0", "\0", "\0", "-o", "-f", "-d", "-s", "-h", "-V", "--help",
	"--version", "--", "-", "=", ",", "\\", "+", ":", "/", ".", " ", "0", "1", "9", "2.5", "00",
	"-1", "1e3", "64M", "4096", "1048575", "9223372036854775807", "18446744073709551615",
	"99999999999999999999", "k", "K", "G", "T", "cache_size=", "cache_ttl=", "sync=", "always",
	"standard", "disabled", "on_cache_error=", "eio", "drop", "watch=", "max_size=",
	"max_read=", "fault=", "read:", "write:", "commit:", "flush:", "cache:", "open:", "EIO",
	"ENOSPC", "ENOMEM", "EWHAT", "delay=", "every=", "after=", "count=", "file=", "/tmp/on",
	"ro", "rw", "fsname=", "subtype=", "allow_other", "default_permissions", "remount",
	"noatime", "x-systemd.x", "user", "comment=", "context=", "\"a,b\"", "store.db", "/mnt",
	"\xff\xfe", "\n", "%s%n", "debug"};

/* The arguments, one after the other with a NUL after each, into buf[BYTES_MAX]; their size. */
static size_t spell(const uint8_t *input, size_t size, char *buf)
{
	size_t used = 0;
	if (size == 0)
		return 0;
	if (!(input[0] & 1)) {
		used = size - 1 < BYTES_MAX - 1 ? size - 1 : BYTES_MAX - 1;
		memcpy(buf, input + 1, used);
	}
	for (size_t i = 1; i < size && input[0] & 1; i++) {
		const char *word = words[input[i] % ARRAY_LEN(words)];
		size_t len = *word ? strlen(word) : 1;
		if (used + len >= BYTES_MAX)
			break;
		memcpy(buf + used, word, len);
		used += len;
	}
	buf[used++] = '\0';
	return used;
}

static bool in_bounds(const struct options *o)
{
	const uint64_t most = INT64_MAX;
	return o->cache_size <= most && o->max_size <= most &&
	       (o->max_size == 0 || o->max_size >= 1u << 20) && o->cache_ttl_ns >= 0 &&
	       o->watch_ns >= 0 && (o->max_read == 0 || o->max_read >= 4096) && o->store &&
	       o->mountpoint && o->mount && (!o->debug || o->foreground);
}

static bool take_fault(const char *text, char *why)
{
	struct fault_spec *spec = NULL;
	const char *where = NULL;
	int r = fault_spec_parse(text, &spec, &where);
	if (r == -EINVAL && (where < text || where > text + strlen(text))) {
		snprintf(why, WORDS_WHY, "what is wrong with a fault is nowhere in it");
		return false;
	}
	/* Whoever passes a delay is delayed. */
	for (int point = FAULT_READ; r == 0 && !strstr(text, "delay") && point <= FAULT_OPEN;
		point++)
		for (int i = 0; i < 3; i++) {
			int error = fault_spec_pass(spec, (enum fault_point)point);
			if (error > 0 || error < -4095) {
				snprintf(why, WORDS_WHY, "a fault gives no errno: %d", error);
				r = 1;
			}
		}
	words_counts.faults += r == 0;
	fault_spec_free(spec);
	return r <= 0;
}

/* Once more: the same options and text. */
static bool is_same(int argc, char *argv[], const struct options *wanted, int r, const char *text)
{
	struct options o;
	char errmsg[OPTIONS_ERROR_MAX] = "";
	int again = options_parse(&o, argc, argv, errmsg, sizeof errmsg);
	bool same = again == r && (r == 0 || strcmp(errmsg, text) == 0) &&
		    o.cache_size == wanted->cache_size && o.cache_ttl_ns == wanted->cache_ttl_ns &&
		    o.readonly == wanted->readonly &&
		    strcmp(o.mount ? o.mount : "", wanted->mount ? wanted->mount : "") == 0;
	options_fini(&o);
	return same;
}

static bool take(int argc, char *argv[], char *why)
{
	struct options o;
	char errmsg[OPTIONS_ERROR_MAX] = "";
	int r = options_parse(&o, argc, argv, errmsg, sizeof errmsg);
	bool good = true, usage = o.help || o.version;
	if (r != 0 && r != -EINVAL)
		good = snprintf(why, WORDS_WHY, "odd errno %d", r) < 0;
	else if (r < 0 && (!*errmsg || !memchr(errmsg, 0, sizeof errmsg)))
		good = snprintf(why, WORDS_WHY, "refused without a word") < 0;
	else if (r == 0 && !usage && !in_bounds(&o))
		good = snprintf(why, WORDS_WHY, "taken out of bounds") < 0;
	else if (!is_same(argc, argv, &o, r, errmsg))
		good = snprintf(why, WORDS_WHY, "another answer the second time") < 0;
	if (good && r == 0 && !usage) {
		words_counts.taken++;
		errmsg[0] = '\0';
		if (stack_check(&o, errmsg, sizeof errmsg) < 0 && !*errmsg)
			good = snprintf(why, WORDS_WHY, "faults refused without a word") < 0;
		if (good && o.fault)
			good = take_fault(o.fault, why);
	}
	options_fini(&o);
	return good;
}

bool words_run(const uint8_t *input, size_t size, char *why)
{
	char *buf = malloc(BYTES_MAX), name[] = "recordfs";
	char *argv[ARGS_MAX + 2] = {name};
	int argc = 1;
	if (!buf)
		abort();
	size_t used = spell(input, size, buf);
	bool good = true;
	for (size_t at = 0; at < used && argc <= (int)ARGS_MAX; at += strlen(buf + at) + 1) {
		argv[argc++] = buf + at;
		good = good && take_fault(buf + at, why);
	}
	good = good && take(argc, argv, why);
	words_counts.runs++;
	free(buf);
	return good;
}

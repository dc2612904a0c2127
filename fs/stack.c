#include "stack.h"

#include "cache/cache.h"
#include "cache/store/fault.h"
#include "cache/store/sqlite.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* How long to wait for another process's transaction before a change or a read fails. */
#define BUSY_TIMEOUT_MS 10000

static int parse_fault(
	const struct options *o, struct fault_spec **ret, char *errmsg, size_t errmsg_size)
{
	const char *where = "";
	int r = fault_spec_parse(o->fault, ret, &where);
	if (r == -EINVAL)
		snprintf(errmsg, errmsg_size,
			"bad value in option 'fault=%.200s': at '%.200s': it must be "
			"POINT:ERROR[:every=N][:after=N][:count=N][:file=PATH], POINT read, write, "
			"commit, flush, cache or open, ERROR as EIO or delay=MS; several joined by "
			"+",
			o->fault, where);
	else if (r < 0)
		snprintf(errmsg, errmsg_size, "option 'fault=%s': %s", o->fault, strerror(-r));
	return r;
}

int stack_check(const struct options *o, char *errmsg, size_t errmsg_size)
{
	struct fault_spec *spec = NULL;
	if (!o->fault)
		return 0;
	int r = parse_fault(o, &spec, errmsg, errmsg_size);
	fault_spec_free(spec);
	return r;
}

/* What SQLite read makes no sense to it, or cannot be read: what to do about it. */
static void point_to_check(const struct options *o, char *errmsg, size_t errmsg_size)
{
	size_t len = strlen(errmsg);
	snprintf(errmsg + len, errmsg_size - len, "; see what 'recordfsctl check %s' finds",
		o->store);
}

static void tell_misplaced(const char *path, bool is)
{
	if (is)
		log_line(LOG_ERR,
			"STORE has been removed or renamed while mounted: changes are refused; "
			"copy "
			"what you need out of the mount, or bring it back to '%s'",
			path);
	else
		log_line(LOG_NOTICE, "'%s' is back: changes are possible again", path);
}

static int open_sqlite(const struct options *o, struct meter *meter, struct store **ret,
	bool *ret_created, char *errmsg, size_t errmsg_size)
{
	struct sqlite_config config = {.path = o->store,
		.readonly = o->readonly,
		.max_size = o->max_size,
		.busy_timeout_ms = BUSY_TIMEOUT_MS,
		.errors = &meter->errors,
		.misplaced = tell_misplaced};
	sqlite_store_prepare();
	int r = sqlite_store_open(&config, ret, errmsg, errmsg_size);
	if (r == 0)
		*ret_created = sqlite_store_created(*ret);
	if (r == -EIO)
		point_to_check(o, errmsg, errmsg_size);
	return r;
}

/* The store with the fault injector on it, whose plan may fail or delay the opening first of all.
 */
static int open_with_faults(const struct options *o, struct meter *meter, struct store **ret,
	bool *ret_created, char *errmsg, size_t errmsg_size)
{
	struct fault_spec *spec = NULL;
	struct store *sqlite = NULL;
	int r = parse_fault(o, &spec, errmsg, errmsg_size);
	if (r < 0)
		return r;
	r = fault_open(spec);
	if (r < 0)
		snprintf(errmsg, errmsg_size, "store '%s': injected fault: %s", o->store,
			strerror(-r));
	else
		r = open_sqlite(o, meter, &sqlite, ret_created, errmsg, errmsg_size);
	if (r == 0)
		r = fault_store_new(spec, sqlite, ret);
	if (r < 0) {
		store_close(sqlite);
		fault_spec_free(spec);
	}
	return r;
}

static const enum cache_sync levels[] = {
	[OPTIONS_SYNC_ALWAYS] = CACHE_SYNC_ALWAYS,
	[OPTIONS_SYNC_STANDARD] = CACHE_SYNC_STANDARD,
	[OPTIONS_SYNC_DISABLED] = CACHE_SYNC_DISABLED,
};

/* `fault`: the store that injects faults, if there is one. */
static int add_cache(const struct options *o, void (*before_blocking)(void *arg),
	struct store *fault, struct store *below, struct store **ret)
{
	struct cache_config config = {.size = o->cache_size,
		.ttl_ns = o->cache_ttl_ns,
		.sync = levels[o->sync],
		.drop_on_error = o->drop_on_error,
		.blind = o->watch_ns == 0,
		.update_fault = o->fault ? fault_cache_update : NULL,
		.update_fault_arg = fault,
		.before_blocking = before_blocking};
	return cache_new(&config, below, ret);
}

int stack_open(const struct options *o, struct meter *meter, void (*before_blocking)(void *arg),
	struct store **ret, bool *ret_created, char *errmsg, size_t errmsg_size)
{
	struct store *below = NULL, *metered = NULL;
	snprintf(errmsg, errmsg_size, "store '%s': no memory", o->store);
	int r = o->fault ? open_with_faults(o, meter, &below, ret_created, errmsg, errmsg_size)
			 : open_sqlite(o, meter, &below, ret_created, errmsg, errmsg_size);
	if (r != 0)
		return r;
	r = meter_store_new(meter, below, &metered);
	if (r == 0)
		r = add_cache(o, before_blocking, below, metered, ret);
	if (r < 0) {
		snprintf(errmsg, errmsg_size, "cannot make the cache: %s", strerror(-r));
		store_close(metered ? metered : below);
	}
	return r;
}

void stack_remove(const struct options *o)
{
	sqlite_store_remove(o->store);
}

int stack_set(struct store *store, const struct options *o)
{
	return cache_set(store, &(struct cache_settings){.size = o->cache_size,
					.ttl_ns = o->cache_ttl_ns,
					.sync = levels[o->sync],
					.drop_on_error = o->drop_on_error});
}

void stack_forget(struct store *store, uint64_t ino)
{
	cache_forget(store, ino);
}

void stack_forget_all(struct store *store)
{
	cache_forget_all(store);
}

size_t stack_walk(struct store *store, uint64_t *cursor, struct blocks_seen *ret, size_t max)
{
	return cache_walk(store, cursor, ret, max);
}

int stack_warm(struct store *store, uint64_t ino, uint64_t first, uint32_t count, uint16_t session,
	struct stack_warmed *ret)
{
	struct cache_warmed w;
	if (session == 0)
		session = cache_warm_begin(store);
	int r = cache_warm(store, ino, first, count, session, &w);
	if (r == 0)
		*ret = (struct stack_warmed){
			session, w.blocks, w.kept, w.full, !w.full && w.ttl_ns == 0};
	return r;
}

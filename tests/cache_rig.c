#include "cache_rig.h"

#include "model_store.h"

#include <errno.h>
#include <string.h>

static int64_t rig_now(void *arg)
{
	struct rig *rig = arg;
	return atomic_load(&rig->now);
}

static int rig_fault(void *arg)
{
	struct rig *rig = arg;
	return atomic_load(&rig->fault);
}

static void rig_blocking(void *arg)
{
	struct rig *rig = arg;
	atomic_fetch_add(&rig->blocking, 1);
}

struct cache_config rig_config(void)
{
	return (struct cache_config){
		.size = 16 << 20, .ttl_ns = RIG_TTL, .sync = CACHE_SYNC_ALWAYS};
}

static void fill_file(struct rig *rig, uint32_t blocks)
{
	unsigned char data[STORE_BLOCK_SIZE];
	for (uint32_t i = 0; i < blocks; i++) {
		memset(data, (int)i + 1, sizeof data);
		struct change c = {
			.kind = CHANGE_WRITE,
			.now = 1,
			.write = {.ino = rig->ino,
				.offset = (uint64_t)i * STORE_BLOCK_SIZE,
				.len = sizeof data,
				.data = data},
		};
		assert_int_equal(store_apply_one(rig->script.next, &c, false), 0);
	}
}

void rig_start(struct rig *rig, const struct cache_config *cfg, uint32_t blocks)
{
	rig_start_with_fault(rig, cfg, blocks, rig_fault, rig);
}

void rig_start_with_fault(struct rig *rig, const struct cache_config *cfg, uint32_t blocks,
	int (*fault)(void *arg), void *arg)
{
	memset(rig, 0, sizeof *rig);
	pthread_mutex_init(&rig->polling, NULL);
	script_init(&rig->script, model_store_new());
	rig->script.arg = rig;
	rig->cfg = *cfg;
	rig->cfg.now_ns = rig_now;
	rig->cfg.update_fault = fault;
	rig->cfg.update_fault_arg = arg;
	rig->cfg.before_blocking = rig_blocking;
	rig->cfg.now_arg = rig->cfg.before_blocking_arg = rig;
	assert_int_equal(cache_new(&rig->cfg, &rig->script.store, &rig->cache), 0);
	rig->kit = kit_new(rig->cache);
	rig->kit->unwatched = true;
	rig->ino = kit_must_file(rig->kit, STORE_ROOT_INO, "file");
	fill_file(rig, blocks);
	rig_drop_all(rig);
	for (unsigned op = 0; op < SCRIPT_OPS; op++)
		atomic_store(&rig->script.calls[op], 0);
	atomic_store(&rig->blocking, 0);
}

void rig_stop(struct rig *rig)
{
	kit_free(rig->kit);
	pthread_mutex_destroy(&rig->polling);
}

int rig_write(struct rig *rig, uint64_t offset, size_t len, unsigned char fill)
{
	unsigned char *data = test_malloc(len);
	memset(data, fill, len);
	int r = kit_write(rig->kit, rig->ino, offset, data, len);
	test_free(data);
	return r;
}

int rig_byte(struct rig *rig, struct store *store, uint64_t offset)
{
	struct store_span span;
	uint64_t index = offset / STORE_BLOCK_SIZE;
	int r = store_read(store, rig->ino, index, 1, &span);
	if (r < 0)
		return r;
	assert_true(span.first <= index && index < span.first + span.count);
	const struct block *block = span.blocks[index - span.first];
	uint64_t at = offset % STORE_BLOCK_SIZE;
	r = at < block->len ? block->data[at] : 0;
	store_span_release(&span);
	return r;
}

int rig_read(struct rig *rig, uint64_t first, uint32_t count, int *ret)
{
	struct store_span span;
	int r = store_read(rig->cache, rig->ino, first, count, &span);
	if (r < 0)
		return r;
	int n = 0;
	for (uint32_t i = 0; i < span.count; i++) {
		if (span.first + i < first || span.first + i >= first + count)
			continue;
		ret[n++] = span.blocks[i]->len > 0 ? span.blocks[i]->data[0] : 0;
	}
	store_span_release(&span);
	return n;
}

static void check_block(const struct block *have, const struct block *want)
{
	static const unsigned char zeros[STORE_BLOCK_SIZE];
	uint32_t both = have->len < want->len ? have->len : want->len;
	assert_memory_equal(have->data, want->data, both);
	assert_memory_equal(have->data + both, zeros, have->len - both);
	assert_memory_equal(want->data + both, zeros, want->len - both);
}

void rig_check(struct rig *rig)
{
	struct store_attr have, want;
	struct store_span a, b;
	int r = store_getattr(rig->script.next, rig->ino, &want);
	assert_int_equal(store_getattr(rig->cache, rig->ino, &have), r);
	if (r < 0)
		return;
	kit_expect_attr(&have, &want);
	assert_int_equal(store_read(rig->cache, rig->ino, 0, STORE_READ_MAX, &a), 0);
	assert_int_equal(store_read(rig->script.next, rig->ino, 0, STORE_READ_MAX, &b), 0);
	kit_expect_attr(&a.attr, &b.attr);
	assert_int_equal(a.count, b.count);
	for (uint32_t i = 0; i < a.count; i++)
		check_block(a.blocks[i], b.blocks[i]);
	store_span_release(&a);
	store_span_release(&b);
}

static bool count_event(void *arg, const struct store_event *event)
{
	unsigned *n = arg;
	++*n;
	return event->kind == STORE_EVENT_GONE;
}

unsigned rig_tell(struct rig *rig, const struct store_event *event)
{
	unsigned n = 0;
	pthread_mutex_lock(&rig->polling);
	rig->script.events = event;
	rig->script.n_events = 1;
	assert_int_equal(store_poll(rig->cache, count_event, &n), 1);
	pthread_mutex_unlock(&rig->polling);
	return n;
}

void rig_drop(struct rig *rig, uint64_t first, uint64_t last)
{
	const struct store_event event = {
		.kind = STORE_EVENT_DATA, .ino = rig->ino, .first = first, .last = last};
	(void)rig_tell(rig, &event);
}

void rig_drop_all(struct rig *rig)
{
	(void)rig_tell(rig, &(struct store_event){.kind = STORE_EVENT_ALL});
}

struct store_stats rig_stats(struct rig *rig)
{
	struct store_stats stats = {0};
	store_stats(rig->cache, &stats);
	return stats;
}

unsigned rig_calls(struct rig *rig, enum script_op op)
{
	return atomic_load(&rig->script.calls[op]);
}

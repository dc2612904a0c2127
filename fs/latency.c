#include "latency.h"

#include "clock.h"

#include <errno.h>
#include <linux/fuse.h>

static const struct {
	const char *name;
	uint32_t opcode;
} ops[LATENCY_OPS_N] = {
#define X(name, opcode) {#name, opcode},
	LATENCY_OPS(X)
#undef X
};

/* Numbers of requests are small. */
#define OPCODES 64u

static _Thread_local struct latency_stamp current;

const char *latency_op_name(enum latency_op op)
{
	return ops[op].name;
}

static unsigned op_of(uint32_t opcode)
{
	static const unsigned char op[OPCODES] = {
#define X(name, opcode) [opcode] = LATENCY_##name + 1,
		LATENCY_OPS(X)
#undef X
			/* two of a kind */
			[FUSE_RENAME] = LATENCY_rename + 1,
		[FUSE_FSYNCDIR] = LATENCY_fsync + 1,
		[FUSE_READDIR] = LATENCY_readdir + 1,
	};
	unsigned found = opcode < OPCODES ? op[opcode] : 0;
	return found ? found - 1 : LATENCY_other;
}

void latency_begin(uint32_t opcode, int64_t now)
{
	current = (struct latency_stamp){.begun = now, .op = op_of(opcode)};
}

struct latency_stamp latency_stamp(void)
{
	return current;
}

void latency_resume(struct latency_stamp stamp)
{
	current = stamp;
}

void latency_answered(struct latency *l, int error)
{
	struct latency_stamp s = current;
	if (!s.begun)
		return;
	current.begun = 0;
	histogram_add(&l->op[s.op].time, (uint64_t)(clock_monotonic() - s.begun));
	if (error)
		atomic_fetch_add_explicit(&l->op[s.op].errors, 1, memory_order_relaxed);
	if (error == -EIO || error == -ENOSPC)
		atomic_fetch_add_explicit(&l->op[s.op].failed, 1, memory_order_relaxed);
}

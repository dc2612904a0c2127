#include "cause.h"

static _Thread_local struct store_cause cause;

void store_cause_clear(void)
{
	cause = (struct store_cause){0};
}

void store_cause_set(int code, const char *name)
{
	cause.code = code;
	cause.name = name;
}

void store_cause_repeat(void)
{
	cause.repeated = true;
}

void store_cause_restore(struct store_cause before)
{
	cause = before;
}

struct store_cause store_cause(void)
{
	return cause;
}

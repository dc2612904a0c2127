#include "fault_spec.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rule {
	/* Constant after parsing. */
	enum fault_point point;
	int error;	/* 0: a delay */
	uint64_t delay; /* milliseconds */
	uint64_t every;
	uint64_t after;
	uint64_t count;
	char *file;
	unsigned given; /* options: bits by their place in parse_option() */

	/* Guarded by the plan's lock. */
	uint64_t passed;
	uint64_t acted;
};

struct fault_spec {
	unsigned n_rules; /* constant after parsing */
	pthread_mutex_t lock;
	uint64_t hits; /* guarded by lock */
	struct rule rules[FAULT_RULES_MAX];
};

/* A part of the spec: [at, at + len). */
struct part {
	const char *at;
	size_t len;
};

static const struct {
	const char *name;
	enum fault_point point;
} points[] = {
	{"read", FAULT_READ},
	{"write", FAULT_WRITE},
	{"commit", FAULT_COMMIT},
	{"flush", FAULT_FLUSH},
	{"cache", FAULT_CACHE},
	{"open", FAULT_OPEN},
};

/* As errno(3) has them: strerrorname_np(3) knows one name of each number. */
static const struct {
	const char *name;
	int error;
} aliases[] = {
	{"EDEADLOCK", EDEADLOCK},
	{"ENOTSUP", ENOTSUP},
	{"EOPNOTSUPP", EOPNOTSUPP},
	{"EWOULDBLOCK", EWOULDBLOCK},
};
#define ERRNO_MAX 4095 /* the kernel's */

static bool is(struct part p, const char *word)
{
	return p.len == strlen(word) && memcmp(p.at, word, p.len) == 0;
}

/* What follows "key=", if that is what the part begins with. */
static bool value_of(struct part p, const char *key, struct part *ret)
{
	size_t n = strlen(key);

	if (p.len <= n || memcmp(p.at, key, n) != 0 || p.at[n] != '=')
		return false;
	*ret = (struct part){p.at + n + 1, p.len - n - 1};
	return true;
}

static int parse_number(struct part p, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (p.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < p.len; i++) {
		if (p.at[i] < '0' || p.at[i] > '9' || value > (UINT64_MAX - 9) / 10)
			return -EINVAL;
		value = value * 10 + (uint64_t)(p.at[i] - '0');
	}
	if (value < min || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* The next part of [*at, end), up to `separator`; *at goes past it, to NULL after the last one. */
static struct part cut(const char **at, const char *end, char separator)
{
	const char *start = *at;
	const char *stop = memchr(start, separator, (size_t)(end - start));

	*at = stop ? stop + 1 : NULL;
	return (struct part){start, (size_t)((stop ? stop : end) - start)};
}

static int parse_point(struct rule *r, struct part p)
{
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		if (is(p, points[i].name)) {
			r->point = points[i].point;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_error(struct rule *r, struct part p)
{
	struct part value;

	if (value_of(p, "delay", &value))
		return parse_number(value, 0, FAULT_DELAY_MAX, &r->delay);
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
		if (is(p, aliases[i].name))
			r->error = -aliases[i].error;
	}
	for (int e = 1; e <= ERRNO_MAX; e++) {
		const char *name = strerrorname_np(e);
		if (name && is(p, name))
			r->error = -e;
	}
	return r->error != 0 ? 0 : -EINVAL;
}

/* The daemon changes its directory later, so a relative path is made absolute now. */
static int parse_file(struct rule *r, struct part p)
{
	char *cwd = NULL, *file = NULL;

	if (p.len == 0)
		return -EINVAL;
	if (p.at[0] != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return -errno;
	}
	int n = asprintf(&file, "%s%s%.*s", cwd ? cwd : "", cwd ? "/" : "", (int)p.len, p.at);
	free(cwd);
	if (n < 0)
		return -ENOMEM;
	r->file = file;
	return 0;
}

/* Each at most once. */
static int parse_option(struct rule *r, struct part p)
{
	static const char *const names[] = {"every", "after", "count", "file"};
	struct part value;
	unsigned i = 0;

	while (i < ARRAY_LEN(names) && !value_of(p, names[i], &value))
		i++;
	if (i == ARRAY_LEN(names) || r->given & 1u << i)
		return -EINVAL;
	r->given |= 1u << i;
	switch (i) {
	case 0:
		return parse_number(value, 1, UINT64_MAX, &r->every);
	case 1:
		return parse_number(value, 0, UINT64_MAX, &r->after);
	case 2:
		return parse_number(value, 0, UINT64_MAX, &r->count);
	default:
		return parse_file(r, value);
	}
}

static int parse_rule(struct rule *r, struct part rule, const char **ret_where)
{
	const char *at = rule.at, *end = rule.at + rule.len;
	unsigned n = 0;

	for (; at; n++) {
		struct part p = cut(&at, end, ':');
		int e = n == 0	 ? parse_point(r, p)
			: n == 1 ? parse_error(r, p)
				 : parse_option(r, p);
		if (e < 0) {
			if (e == -EINVAL)
				*ret_where = p.at;
			return e;
		}
	}
	if (n < 2) {
		*ret_where = rule.at;
		return -EINVAL;
	}
	return 0;
}

int fault_spec_parse(const char *spec, struct fault_spec **ret, const char **ret_where)
{
	struct fault_spec *f = calloc(1, sizeof *f);

	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	const char *at = spec, *end = spec + strlen(spec);
	while (at) {
		struct part rule = cut(&at, end, '+');
		int r = -EINVAL;
		if (f->n_rules < FAULT_RULES_MAX) {
			struct rule *next = &f->rules[f->n_rules++];
			*next = (struct rule){.every = 1, .count = UINT64_MAX};
			r = parse_rule(next, rule, ret_where);
		} else {
			*ret_where = rule.at;
		}
		if (r < 0) {
			fault_spec_free(f);
			return r;
		}
	}
	*ret = f;
	return 0;
}

struct fault_spec *fault_spec_free(struct fault_spec *spec)
{
	if (!spec)
		return NULL;
	for (unsigned i = 0; i < spec->n_rules; i++)
		free(spec->rules[i].file);
	pthread_mutex_destroy(&spec->lock);
	free(spec);
	return NULL;
}

/* Counts a passage; does the rule act on it? */
static bool rule_acts(struct fault_spec *spec, struct rule *r)
{
	if (r->file && access(r->file, F_OK) != 0)
		return false;
	pthread_mutex_lock(&spec->lock);
	bool acts = r->passed >= r->after && (r->passed - r->after + 1) % r->every == 0 &&
		    r->acted < r->count;
	r->passed++;
	r->acted += acts;
	spec->hits += acts;
	pthread_mutex_unlock(&spec->lock);
	return acts;
}

static void sleep_for(uint64_t ms)
{
	struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	while (ms && nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

int fault_spec_pass(struct fault_spec *spec, enum fault_point point)
{
	int error = 0;

	for (unsigned i = 0; i < spec->n_rules; i++) {
		struct rule *r = &spec->rules[i];
		if (r->point != point || !rule_acts(spec, r))
			continue;
		if (!r->error)
			sleep_for(r->delay);
		else if (!error)
			error = r->error;
	}
	return error;
}

uint64_t fault_spec_hits(struct fault_spec *spec)
{
	pthread_mutex_lock(&spec->lock);
	uint64_t hits = spec->hits;
	pthread_mutex_unlock(&spec->lock);
	return hits;
}

/*
 * What the compiler is told about our functions: which results must be looked at, which pointers
 * are never NULL, which lock a function needs (checked by clang's -Wthread-safety), and which
 * functions of the C library are not used here at all.
 */
#pragma once

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
/* For a result that there is nothing to do about; say why at the call. */
#define IGNORE(call)                                                                               \
	do {                                                                                       \
		if (call) {                                                                        \
		}                                                                                  \
	} while (0)
/* Only used by an assert, which a release build leaves out. */
#define MAYBE_UNUSED __attribute__((unused))
#define NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Scoped release of a resource: CLEANUP(free_fn) T *p = ...; free_fn gets &p. Not for locks. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

#ifdef __clang__
#define CAPABILITY(name) __attribute__((capability(name)))
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define NO_THREAD_SAFETY_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(name)
#define REQUIRES(...)
#define ACQUIRE(...)
#define RELEASE(...)
#define NO_THREAD_SAFETY_ANALYSIS
#endif

/* The struct of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A large variable of which only a part is used: a release build would else fill all of it with
 * zeros (-ftrivial-auto-var-init), each time. */
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#else
#define UNINITIALIZED
#endif

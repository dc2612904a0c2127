/*
 * Memory in whole pages, straight from the kernel and beside malloc(3)'s heap: what is given back
 * is given back at once, whatever else was allocated since.
 *
 * Pieces of PAGES_HUGE and more lie at multiples of that and ask for huge pages, one of which is
 * translated at once where 512 small ones would be: what is read at random in a gigabyte costs
 * little more than half as much (docs/measurements.md).
 */
#pragma once

#include "cache/store/compiler.h"

#include <stddef.h>

#define PAGES_SIZE ((size_t)4 << 10)
#define PAGES_HUGE ((size_t)2 << 20)

/* `bytes`, zeroed; NULL: no memory. What is not touched takes none, but for huge pages. */
void *pages_map(size_t bytes) MUST_CHECK;

/* Gives back what pages_map() gave for as many bytes. Takes NULL. */
void pages_unmap(void *p, size_t bytes);

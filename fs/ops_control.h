/*
 * The part of the control interface (control.h) that changes something.
 */
#pragma once

#include "fs.h"

/* Answers `req` if it is one of these. False: it is another one. */
bool control_change(fuse_req_t req, uint64_t ino, unsigned cmd, const void *in, size_t in_size,
	size_t out_size) MUST_CHECK;

/* ops_metrics.c: the options as after -o, in `buf`. */
void control_describe(const struct options *o, char *buf, size_t size) NONNULL(1, 2);

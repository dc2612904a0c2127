/*
 * The descriptor that requests come from and answers go to: all of them pass here, so that the
 * answer to INIT can be completed (init_patch.h) and each answer is counted (latency.h).
 */
#pragma once

#include "cache/store/compiler.h"

struct fuse_session;

/* To be called after fuse_session_mount(), before the first request; the session's user data must
 * be a struct fs. 0 or a negative errno. */
int wire_attach(struct fuse_session *se) MUST_CHECK NONNULL(1);

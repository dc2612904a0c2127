/* libfuse, in the version that we ask for; everyone includes it through here. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

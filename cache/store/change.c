#include "change.h"

const struct store_attr *change_touched(const struct change *c, uint64_t ino)
{
	for (unsigned i = 0; i < c->n_touched; i++)
		if (c->touched[i].ino == ino)
			return &c->touched[i];
	return NULL;
}

bool change_is_data(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE:
	case CHANGE_ALLOCATE:
	case CHANGE_COPY:
		return true;
	case CHANGE_SETATTR:
		return c->setattr.mask & STORE_SET_SIZE;
	case CHANGE_CREATE:
	case CHANGE_LINK:
	case CHANGE_UNLINK:
	case CHANGE_RENAME:
	case CHANGE_SETXATTR:
	case CHANGE_REMOVEXATTR:
	case CHANGE_REAP:
		return false;
	}
	return false;
}

bool change_needs_space(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE:
	case CHANGE_COPY:
	case CHANGE_CREATE:
	case CHANGE_LINK:
	case CHANGE_SETXATTR:
		return true;
	case CHANGE_ALLOCATE:
		return c->allocate.mode != STORE_PUNCH_HOLE;
	case CHANGE_SETATTR:
	case CHANGE_UNLINK:
	case CHANGE_RENAME:
	case CHANGE_REMOVEXATTR:
	case CHANGE_REAP:
		return false;
	}
	return false;
}

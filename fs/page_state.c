#include "page_state.h"

#define OWN_BITS 64

void page_state_begin(struct page_state *p, uint64_t unused)
{
	(void)unused;
	p->changing++;
}

void page_state_end(struct page_state *p, uint64_t unused)
{
	(void)unused;
	if (p->changing) /* the inode may have been met only since it began */
		p->changing--;
}

void page_state_doubt(struct page_state *p, uint64_t unused)
{
	(void)unused;
	p->doubtful++;
}

void page_state_told(struct page_state *p, uint64_t unused)
{
	(void)unused;
	p->version = 0;
}

void page_state_changed(struct page_state *p, uint64_t version)
{
	if (p->version == 0 || version <= p->version)
		return;
	uint64_t ahead = version - p->version;
	if (ahead == 1) {
		p->version++;
		for (; p->own & 1; p->own >>= 1)
			p->version++;
		p->own >>= 1;
	} else if (ahead - 2 < OWN_BITS) {
		p->own |= (uint64_t)1 << (ahead - 2);
	}
}

bool page_state_agrees(struct page_state *p, uint64_t version)
{
	if (p->version == 0) {
		p->version = version;
		p->own = 0;
	}
	if (version <= p->version)
		return true;
	uint64_t ahead = version - p->version;
	if (ahead - 1 > OWN_BITS)
		return false;
	/* Of the `ahead` versions since, the first is none of ours that is over. */
	uint64_t mask = ahead - 1 == OWN_BITS ? UINT64_MAX : ((uint64_t)1 << (ahead - 1)) - 1;
	uint64_t over = (uint64_t)__builtin_popcountll(p->own & mask);
	return ahead - over <= (uint64_t)p->changing + p->doubtful;
}

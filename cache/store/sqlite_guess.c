#include "sqlite_guess.h"

/* A right one adds one, up to MOST, a wrong one takes LOSS: guesses are given while more than two
 * of three are right. */
#define ENOUGH 3u
#define MOST 8u
#define LOSS 2u

/* A page of the pointer map has five bytes for each of the pages that follow it. */
#define FIRST_MAP 2u
#define MAPPED (SQ_GUESS_PAGE / 5)

/* Pages numbered without those of the map: 2, 3, ... are pages 3, 4, ... */
static int64_t without_maps(uint64_t page)
{
	return (int64_t)(page - (page - FIRST_MAP) / (MAPPED + 1) - 1);
}

static uint64_t with_maps(int64_t n)
{
	if (n < (int64_t)FIRST_MAP)
		return 0;
	return (uint64_t)n + 1 + ((uint64_t)n - FIRST_MAP) / MAPPED;
}

uint64_t sq_guess_map(uint64_t page)
{
	return page < FIRST_MAP ? 0 : page - (page - FIRST_MAP) % (MAPPED + 1);
}

bool sq_guess_is_map(uint64_t page)
{
	return page >= FIRST_MAP && sq_guess_map(page) == page;
}

uint64_t sq_guess_on(uint64_t page, int64_t n)
{
	return page <= FIRST_MAP ? 0 : with_maps(without_maps(page) + n);
}

struct sq_guess_file *sq_guess_file(struct sq_guess *g, uint64_t ino)
{
	struct sq_guess_file *f = &g->file[ino % SQ_GUESS_FILES];
	if (f->ino != ino)
		*f = (struct sq_guess_file){.ino = ino};
	return f;
}

uint64_t sq_guess_row(const struct sq_guess_file *f, uint64_t chunk, uint64_t leaf)
{
	uint64_t n = chunk % SQ_GUESS_ROWS;
	if (f->trust < ENOUGH || !(f->known & 1u << n))
		return 0;
	return sq_guess_on(leaf, f->distance[n]);
}

void sq_guess_found(struct sq_guess_file *f, uint64_t chunk, uint64_t leaf, uint64_t page)
{
	uint64_t n = chunk % SQ_GUESS_ROWS;
	if (leaf <= FIRST_MAP || page <= FIRST_MAP)
		return;
	int64_t distance = without_maps(page) - without_maps(leaf);
	if (!(f->known & 1u << n))
		f->known |= 1u << n;
	else if (f->distance[n] != distance)
		f->trust -= f->trust < LOSS ? f->trust : LOSS;
	else if (f->trust < MOST)
		f->trust++;
	f->distance[n] = distance;
}

void sq_guess_inner(struct sq_guess *g, uint64_t page)
{
	g->inner[page % SQ_GUESS_INNER] = page;
}

bool sq_guess_is_inner(const struct sq_guess *g, uint64_t page)
{
	return g->inner[page % SQ_GUESS_INNER] == page;
}

/*
 * Damaged and hostile stores: a sound store is damaged as an input says, and then everything is
 * done to it that a mount and recordfsctl do. One entry for the test (random inputs), the corpus
 * (inputs that once broke something) and the fuzzer.
 *
 *	hostile_setup();
 *	char why[HOSTILE_WHY];
 *	if (!hostile_run(input, size, why))
 *		... the promise that was broken is in `why`
 *	hostile_teardown();
 *
 * An input is a program: its first byte chooses a store (with a log that a crash has left, or
 * without), then come damages, each a byte that says what and its parameters; what is missing at
 * the end is zeros. So every input is one, and one that is cut is a shorter one.
 *
 * The promises:
 *   - a block that has a checksum is read as it was once stored, or not at all
 *   - what cannot be read (EIO, EBADMSG) is a fault that the check finds
 *   - the check alters nothing, and a store that is refused is left as it was
 *   - a store without a fault has none after changes either
 *   - nothing crashes, hangs, or takes much memory: that is for who runs it to see
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/store/compiler.h"
#include "cache/store/store.h"

#define HOSTILE_WHY 512u
/* Damages of one input, at most. */
#define HOSTILE_DAMAGES 12u

void hostile_setup(void);
void hostile_teardown(void);
bool hostile_run(const uint8_t *input, size_t size, char *why) MUST_CHECK NONNULL(3);

/* How many stores were opened, refused, found faulty, and mended so far. */
struct hostile_counts {
	unsigned runs, opened, refused, faulty, mended;
};
extern struct hostile_counts hostile_counts;

/* -- inside ----------------------------------------------------------------------------------- */

/* Whose store this is that is being damaged. */
extern char hostile_path[128];

/* A file in memory. */
struct hostile_file {
	uint8_t *bytes;
	size_t size;
};
struct hostile_file hostile_load(const char *path, const char *suffix);
void hostile_save(const char *path, const char *suffix, const struct hostile_file *f);

/* hostile_damage.c: alters the two files, or the store at hostile_path that they are saved to. */
void hostile_damage_setup(const char *sound);
void hostile_damage_teardown(void);
void hostile_damage(const uint8_t *input, size_t size);

/* hostile_walk.c */

/* What a file once was. */
struct hostile_version {
	uint64_t ino;
	uint64_t size;
	uint8_t *bytes;
	bool *hole; /* of each block */
};
/* Remembers all files of the store at `path`, which is sound. */
void hostile_learn(const char *path);
void hostile_forget(void);

struct hostile_seen {
	unsigned errors;   /* EIO, EBADMSG, and what contradicts itself */
	unsigned blocks;   /* that were read, as they once were */
	unsigned vanished; /* blocks that are holes and were data, without a word */
	char first[160];   /* of the errors */
	char wrong[160];   /* bytes that were never stored, though they have a checksum; "": none */
};
/* Reads all there is. `changed`: after hostile_change(), so its files may differ. */
void hostile_walk(struct store *s, bool changed, struct hostile_seen *ret);
/* Changes a bit of everything; what does not work does not matter. */
void hostile_change(struct store *s);

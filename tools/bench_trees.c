/* Loads on whole trees, with the tools that people use. */
#include "bench.h"

static void op_clone(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "git clone -q --no-hardlinks $TREE/repo clone-$REP");
}

static void op_tar(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "mkdir tar-$REP && tar -xf $TREE/tree.tar -C tar-$REP");
}

static void before_remove(struct run *r)
{
	shell(r, "mkdir tar-$REP && tar -xf $TREE/tree.tar -C tar-$REP");
}

static void op_remove(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "rm -r tar-$REP");
}

static void setup_copy(struct run *r)
{
	shell(r, "mkdir from && tar -xf $TREE/tree.tar -C from");
}

static void op_copy(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "cp -r from copy-$REP");
}

static void setup_grep(struct run *r)
{
	shell(r, "tar -xf $TREE/tree.tar && ! grep -rq 'not to be [f]ound anywhere' .");
}

static void op_grep(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "! grep -rq 'not to be [f]ound anywhere' .");
}

const struct load git_clone = {NULL, NULL, op_clone, AT_ONCE};
const struct load tar_extract = {NULL, NULL, op_tar, AT_ONCE};
const struct load remove_tree = {NULL, before_remove, op_remove, AT_ONCE};
const struct load copy_tree = {setup_copy, NULL, op_copy, AT_ONCE};
const struct load grep_tree = {setup_grep, NULL, op_grep, AT_ONCE};

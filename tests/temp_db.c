#include "temp_db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

char temp_db_path[64];

static char directory[] = "/tmp/recordfs-db-XXXXXX";

static void remove_db(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char path[80];
		snprintf(path, sizeof path, "%s%s", temp_db_path, suffixes[i]);
		unlink(path);
	}
}

int temp_db_setup(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(temp_db_path, sizeof temp_db_path, "%s/db", directory);
	return 0;
}

int temp_db_teardown(void **state)
{
	(void)state;
	remove_db();
	return rmdir(directory);
}

struct store *temp_db_open(void)
{
	struct sqlite_config cfg = {.path = temp_db_path, .busy_timeout_ms = 1000};
	char why[SQLITE_STORE_WHY] = "";
	struct store *s = NULL;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		fail_msg("%s", why);
	return s;
}

struct store *temp_db_new(void)
{
	remove_db();
	return temp_db_open();
}

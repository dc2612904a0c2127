#include "recordfsctl_keys.h"

#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool changed;

/* Who is in the background would be stopped for changing it. */
static bool is_ours(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

bool keys_begin(void)
{
	if (!is_ours() || tcgetattr(STDIN_FILENO, &before) < 0)
		return false;
	struct termios now = before;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	now.c_cc[VMIN] = 1;
	now.c_cc[VTIME] = 0;
	changed = tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
	return changed;
}

void keys_end(void)
{
	if (changed && is_ours())
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	changed = false;
}

int keys_have(char key)
{
	char some[64];
	ssize_t n = read(STDIN_FILENO, some, sizeof some);
	if (n <= 0)
		return -1;
	return memchr(some, key, (size_t)n) ? 1 : 0;
}

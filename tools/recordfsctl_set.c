/* recordfsctl set MOUNTPOINT NAME=VALUE... */

#include "recordfsctl.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

/* The values as after -o. False: too long. */
static bool join(int n, char **values, char *ret, size_t size)
{
	size_t len = 0;
	for (int i = 0; i < n; i++) {
		int more = snprintf(ret + len, size - len, "%s%s", i ? "," : "", values[i]);
		if (more < 0 || (size_t)more >= size - len)
			return false;
		len += (size_t)more;
	}
	return true;
}

static int set(const char *mountpoint, struct recordfs_set *s)
{
	int fd = open_on_mount(mountpoint);
	if (fd < 0)
		return FAILED;
	int r = ask_mount(fd, mountpoint, RECORDFS_IOC_SET, s);
	close(fd);
	if (r < 0)
		return FAILED;
	if (s->error == EINVAL) {
		complain("set: %.*s", (int)sizeof s->why, s->why);
		return USAGE;
	}
	if (s->error)
		return complain("set: %.*s", (int)sizeof s->why, s->why);
	printf("options: %.*s\n", (int)sizeof s->options, s->options);
	return DONE;
}

int ctl_set(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct recordfs_set s = {0};
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		return option == 'h' ? print_help("set") : misused_option();
	if (argc - optind < 2)
		return misused("set: name a MOUNTPOINT and what to set, as cache_size=64M");
	if (!join(argc - optind - 1, argv + optind + 1, s.text, sizeof s.text))
		return misused("set: too much to set");
	return set(argv[optind], &s);
}

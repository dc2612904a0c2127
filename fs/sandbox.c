#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Landlock: files below the store's directory, and some of the system's that may only be read. It
 * goes by what a file is opened for; stat(2) and access(2), as for `fault=...:file=`, are free.
 */

/* Newer than Debian 12's headers: since versions 3 and 5 of the interface. */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15)

#define ACCESS_READ LANDLOCK_ACCESS_FS_READ_FILE
#define ACCESS_READ_WRITE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define ACCESS_STORE                                                                               \
	(ACCESS_READ_WRITE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |           \
		LANDLOCK_ACCESS_FS_REMOVE_FILE | ACCESS_TRUNCATE)

static const struct {
	const char *path;
	uint64_t access;
} system_paths[] = {
	{"/dev/null", ACCESS_READ_WRITE}, {"/dev/urandom", ACCESS_READ}, /* SQLite */
	{"/proc", ACCESS_READ}, /* which mounts of the store live: sqlite_peers.c */
	{"/sys/devices/system/cpu", ACCESS_READ}, /* the C library */
};

/* All that a version of the interface knows. */
static uint64_t known_access(long version)
{
	uint64_t access = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	if (version >= 2)
		access |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		access |= ACCESS_TRUNCATE;
	if (version >= 5)
		access |= ACCESS_IOCTL_DEV;
	return access;
}

/* What is not there needs no rule. */
static int allow_path(int rules, const char *path, uint64_t access)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -errno;
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
	long r = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	int error = r < 0 ? -errno : 0;
	close(fd);
	return error;
}

static int allow_directory_of(int rules, const char *store, uint64_t access)
{
	const char *slash = strrchr(store, '/');
	char *dir = strndup(store, slash == store ? 1 : (size_t)(slash - store));
	int r = dir ? allow_path(rules, dir, access) : -ENOMEM;
	free(dir);
	return r;
}

static int confine_paths(const char *store)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0)
		return -EOPNOTSUPP;
	struct landlock_ruleset_attr attr = {.handled_access_fs = known_access(version)};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (rules < 0)
		return -errno;
	int r = allow_directory_of(rules, store, ACCESS_STORE & attr.handled_access_fs);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(system_paths); i++)
		r = allow_path(rules, system_paths[i].path, system_paths[i].access);
	if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		r = -errno;
	close(rules);
	return r;
}

/*
 * Capabilities: a store may belong to another user than root, and what SQLite makes beside it is
 * given to him. All others go, for good.
 */
#define CAPABILITIES_KEPT                                                                          \
	(1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER)

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
		uint32_t kept = i == 0 ? CAPABILITIES_KEPT : 0;
		data[i].permitted &= kept;
		data[i].effective &= kept;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/*
 * seccomp: what is not here is answered with ENOSYS, for which the C library has another way as a
 * rule, and told to the kernel's log (audit type 1326). A daemon that is killed would be worse than
 * what it could do with the few rights that it has.
 */
/* clang-format off */
#define C(name) SCMP_SYS(name),
static const int calls[] = {
	/* files, whose names Landlock looks at */
	C(read) C(readv) C(pread64) C(preadv) C(write) C(writev) C(pwrite64) C(pwritev) C(lseek)
	C(close) C(close_range) C(open) C(openat) C(stat) C(lstat) C(fstat) C(newfstatat)
	C(fstatat64) C(stat64) C(lstat64) C(fstat64) C(statx) C(access) C(faccessat) C(faccessat2)
	C(readlink) C(readlinkat) C(statfs) C(fstatfs) C(statfs64) C(fstatfs64) C(getcwd) C(chdir)
	C(fcntl) C(fcntl64) C(flock) C(dup) C(dup2) C(dup3) C(ftruncate) C(ftruncate64)
	C(fallocate) C(fadvise64) C(fadvise64_64) C(fsync) C(fdatasync) C(sync_file_range)
	C(sync_file_range2) C(unlink) C(unlinkat) C(rename) C(renameat) C(renameat2) C(fchmod)
	C(fchown) C(fchown32) C(umask) C(poll) C(ppoll) C(inotify_add_watch) C(inotify_init1)
	C(inotify_rm_watch) C(pipe2) C(eventfd2)
	/* messages to syslog and to the process beside the daemon */
	C(connect) C(sendto) C(send) C(sendmsg) C(recvmsg)
	/* memory; mmap and mprotect below */
	C(brk) C(munmap) C(mremap) C(madvise) C(msync)
	/* threads, time, signals */
	C(futex) C(futex_time64) C(set_robust_list) C(rseq) C(set_tid_address) C(sched_yield)
	C(sched_getaffinity) C(membarrier) C(exit) C(exit_group) C(clock_gettime)
	C(clock_gettime64) C(clock_getres) C(clock_nanosleep) C(clock_nanosleep_time64)
	C(nanosleep) C(gettimeofday) C(time) C(restart_syscall) C(rt_sigaction) C(rt_sigprocmask)
	C(rt_sigreturn) C(rt_sigtimedwait) C(sigaltstack) C(kill) C(tgkill) C(wait4) C(setsid)
	/* who and where we are */
	C(getpid) C(gettid) C(getppid) C(getuid) C(geteuid) C(getgid) C(getegid) C(getrandom)
	C(getrlimit) C(getrusage) C(uname) C(sysinfo) C(clone3)
};
#undef C
/* clang-format on */

/* A call that is allowed when the bits `mask` of an argument are `value`. */
static const struct {
	int call;
	unsigned arg;
	uint64_t mask, value;
} some_calls[] = {
	/* no memory that can be executed */
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0}, {SCMP_SYS(mmap2), 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
	/* threads, no processes */
	{SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
	{SCMP_SYS(socket), 0, UINT32_MAX, AF_UNIX}, {SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NAME},
	{SCMP_SYS(prlimit64), 2, UINT64_MAX, 0}, /* to look */
};

static int add_calls(scmp_filter_ctx filter)
{
	/* Those that there are not on this machine are left out by libseccomp. */
	int r = 0;
	IGNORE(seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1)); /* an old kernel does not */
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(some_calls); i++) {
		struct scmp_arg_cmp when = {.arg = some_calls[i].arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = some_calls[i].mask,
			.datum_b = some_calls[i].value};
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, some_calls[i].call, 1, &when);
	}
	return r;
}

/* clone3 hides its flags; without it the C library takes clone. A filter of its own, since the log
 * shall not have a line for each thread. */
static int forbid_clone3(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int load_filter(uint32_t otherwise, int (*add)(scmp_filter_ctx filter))
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	if (!filter)
		return -ENOMEM;
	/* What slows loads down in filtered processes is for code of others, and we run none. An
	 * old kernel does not know it. */
	IGNORE(seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1));
	int r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (r == 0)
		r = add(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

static int confine_calls(void)
{
	int r = load_filter(SCMP_ACT_ALLOW, forbid_clone3);
	return r < 0 ? r : load_filter(SCMP_ACT_ERRNO(ENOSYS), add_calls);
}

/* What this kernel has not, or does not let us have in this container, is done without. */
static int without(int r, const char *what, const char **ret_missing)
{
	if (r != -ENOSYS && r != -EOPNOTSUPP && r != -EINVAL)
		return r;
	*ret_missing = *ret_missing ? "Landlock and seccomp filters" : what;
	return 0;
}

int sandbox_enter(const char *store, const char **ret_missing)
{
	const char *missing = NULL;
	tzset(); /* syslog(3) shall not have to look for the time zone later */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	int r = without(confine_paths(store), "Landlock", &missing);
	if (r == 0)
		r = drop_capabilities();
	if (r == 0)
		r = without(confine_calls(), "seccomp filters", &missing);
	if (r == 0)
		*ret_missing = missing;
	return r;
}

/* What a process may still do in the sandbox, and what not. */
#include "fs/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What sanitizers do beside the program is not allowed there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

static char dir[] = "/tmp/recordfs-sandbox-XXXXXX";
static bool landlock;

/* In the child, where cmocka cannot be asked. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);  \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)
#define REFUSED(call, error)                                                                       \
	do {                                                                                       \
		errno = 0;                                                                         \
		MUST((call) == -1 && errno == (error));                                            \
	} while (0)

static const char *in(const char *name)
{
	static char paths[2][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 2];
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static void *nothing(void *arg)
{
	REFUSED(socket(AF_INET, SOCK_STREAM, 0), ENOSYS); /* in all threads */
	return arg;
}

static void try_files(void)
{
	struct stat st;
	char byte;
	int fd = open(in("s.db"), O_CREAT | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 100) == 0);
	MUST(fchmod(fd, 0640) == 0 && fallocate(fd, 0, 0, 4096) == 0 && fdatasync(fd) == 0);
	close(fd);
	MUST(rename(in("s.db"), in("s.db-wal")) == 0);
	fd = open(in("s.db-wal"), O_RDWR | O_CLOEXEC);
	MUST(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x');
	close(fd);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0 && fsync(fd) == 0);
	close(fd);
	MUST(unlink(in("s.db-wal")) == 0);
	MUST(open("/proc/self/stat", O_RDONLY | O_CLOEXEC) >= 0);
	MUST(stat("/etc/passwd", &st) == 0 && access("/etc/passwd", F_OK) == 0);
	if (!landlock)
		return;
	REFUSED(open("/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES);
	REFUSED(open("/tmp/recordfs-sandbox-new", O_CREAT | O_RDWR | O_CLOEXEC, 0600), EACCES);
	REFUSED(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
	REFUSED(open("/proc/sys/kernel/hostname", O_WRONLY | O_CLOEXEC), EACCES);
}

static void try_calls(void)
{
	char *none[] = {NULL};
	pthread_t thread;
	MUST(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
	MUST(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
	REFUSED(execve("/bin/true", none, none), ENOSYS);
	REFUSED(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0), ENOSYS);
	REFUSED(syscall(SYS_clone3, NULL, 0), ENOSYS);
	REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL), ENOSYS);
	REFUSED(mount("none", dir, "tmpfs", 0, NULL), ENOSYS);
	REFUSED(umount2(dir, 0), ENOSYS);
	REFUSED(unshare(CLONE_NEWNS), ENOSYS);
	REFUSED(setuid(0), ENOSYS);
	REFUSED(syscall(SYS_bpf, 0, NULL, 0), ENOSYS);
	REFUSED(prctl(PR_SET_DUMPABLE, 1), ENOSYS);
	REFUSED((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		ENOSYS);
	MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED);
}

static void test_sandbox(void **state)
{
	int status;
	(void)state;
	if (SANITIZED)
		skip();
	landlock = syscall(444, NULL, 0, 1) > 0; /* landlock_create_ruleset, VERSION */
	assert_non_null(mkdtemp(dir));
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		const char *missing = NULL;
		MUST(sandbox_enter(in("s.db"), &missing) == 0);
		MUST(landlock == !missing);
		try_files();
		try_calls();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sandbox)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What the measuring programs share: a user namespace of their own with its own binfmt_misc, whose handlers are nobody
 * else's, and medians. Included once by each; whatever goes wrong ends the program.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BINFMT "/proc/sys/fs/binfmt_misc"

static _Noreturn void fail(const char *what, const char *on)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, on);
	exit(1);
}

static long microseconds(struct timeval t)
{
	return t.tv_sec * 1000000L + t.tv_usec;
}

static long nanoseconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

/* Sorts them. */
static long median(long *values, int n)
{
	qsort(values, n, sizeof *values, by_size);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* How many handlers are there? All of them are dropped. Whether or not somebody still has a mount, this is the same
 * binfmt_misc as long as handlers keep it, or a new and empty one. */
static int drop_handlers(void)
{
	int handlers = 0, status;
	struct dirent *entry;
	DIR *dir;

	/* EBUSY: it is mounted already. */
	if (mount("binfmt_misc", BINFMT, "binfmt_misc", 0, NULL) && errno != EBUSY)
		fail("cannot mount", BINFMT);
	if (!(dir = opendir(BINFMT)))
		fail("cannot list", BINFMT);
	while ((entry = readdir(dir)))
		handlers += *entry->d_name != '.' && strcmp(entry->d_name, "register") && strcmp(entry->d_name, "status");
	closedir(dir);
	status = open(BINFMT "/status", O_WRONLY);
	if (write(status, "-1", 2) != 2)
		fail("cannot drop the handlers", BINFMT);
	close(status);
	return handlers;
}

static void write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (write(file, text, strlen(text)) != (ssize_t)strlen(text))
		fail("cannot write", path);
	close(file);
}

/* Goes on in a child, in a user and mount namespace of its own, and ends with what it ends with. For root the namespace has
 * the users of the one around it, so that a program behaves as in a privileged container, not as in a rootless one. Only a
 * process outside may map other users than its own. */
static void enter_namespaces(void)
{
	int ready[2], mapped[2], status = 1;
	char byte = 0;
	pid_t child;

	if (pipe(ready) || pipe(mapped))
		fail("cannot make a pipe", "for the namespaces");
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) || write(ready[1], &byte, 1) != 1 || read(mapped[0], &byte, 1) != 1)
			fail("cannot make a namespace", "for users and mounts");
		/* What is mounted there is somebody else's. */
		if (!access(BINFMT "/register", F_OK) && mount("none", BINFMT, "tmpfs", 0, NULL))
			fail("cannot hide", BINFMT);
		return;
	}
	if (read(ready[0], &byte, 1) == 1) {
		const char *all = "0 0 4294967295";
		char path[64], own[64];

		snprintf(own, sizeof own, "0 %d 1", (int)getuid());
		snprintf(path, sizeof path, "/proc/%d/uid_map", (int)child);
		write_file(path, getuid() ? own : all);
		if (getuid()) {
			snprintf(path, sizeof path, "/proc/%d/setgroups", (int)child);
			write_file(path, "deny");
		}
		snprintf(own, sizeof own, "0 %d 1", (int)getgid());
		snprintf(path, sizeof path, "/proc/%d/gid_map", (int)child);
		write_file(path, getuid() ? own : all);
		if (write(mapped[1], &byte, 1) != 1)
			fail("cannot let it go on", "in the namespaces");
	}
	waitpid(child, &status, 0);
	exit(status != 0);
}

/* From here on in a mount namespace that ends with this process. */
static void enter_mount_namespace(const char *what_for)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("cannot make a mount namespace", what_for);
}

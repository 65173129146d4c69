/*
 * The floor: mounts binfmt_misc and registers the lines of a file, with one system call for each, and nothing else. It
 * checks, keeps and proves nothing, so nothing that registers these lines can be much cheaper.
 *
 * With the directory of the interpreters as a second argument, it keeps the handlers by an anchor (docs/kernel.md) by the same
 * steps of the kernel as qus, and sees by a sentinel that the anchor holds: what that must cost.
 *
 * Usage: floor FILE [DIR]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BINFMT "/proc/sys/fs/binfmt_misc"
#define OPEN_TREE_CLONE_ALL (1 /* OPEN_TREE_CLONE */ | 0x1000 /* AT_EMPTY_PATH */ | 0x8000 /* AT_RECURSIVE */)

static void check(int is_done, const char *what)
{
	if (is_done)
		return;
	perror(what);
	exit(1);
}

static void mount_binfmt(void)
{
	check(!mount("binfmt_misc", BINFMT, "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "cannot mount " BINFMT);
}

static void register_lines(char *lines, int clone)
{
	int registry = open(BINFMT "/register", O_WRONLY);

	for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
		if (clone >= 0) {
			char target[256], *interpreter = strchr(line, '/'), *end = strchr(interpreter, ':');

			*end = 0;
			snprintf(target, sizeof target, "/proc/self/fd/%d%s", clone, strrchr(interpreter, '/'));
			/* Two handlers may have one interpreter. */
			check(!symlink(target, interpreter) || !access(interpreter, F_OK), interpreter);
			*end = ':';
		}
		check(write(registry, line, strlen(line)) > 0, line);
	}
	close(registry);
}

static void keep(char *lines, const char *dir)
{
	char layers[4096], events[4096];
	int root, clone, watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	check(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "cannot make a namespace");
	mount_binfmt();
	snprintf(layers, sizeof layers, "lowerdir=%s:" BINFMT, dir);
	check(!mount("floor", BINFMT, "tmpfs", 0, "size=4k"), "cannot mount a second layer");
	check(!mount("floor", BINFMT, "overlay", MS_RDONLY, layers), "cannot mount an overlay");
	root = open(BINFMT, O_PATH | O_CLOEXEC);
	mount_binfmt();
	/* Only the clone has the sentinel: it is there for as long as the clone. */
	check(!mount("floor", BINFMT, "tmpfs", 0, "size=4k"), "cannot mount a sentinel");
	check(inotify_add_watch(watch, BINFMT, IN_DELETE_SELF) >= 0, "cannot watch a sentinel");
	clone = syscall(SYS_open_tree, root, "", OPEN_TREE_CLONE_ALL);
	check(clone >= 0 && !umount2(BINFMT, 0) && !mount("floor", dir, "tmpfs", 0, "size=1m"), "cannot clone");
	register_lines(lines, clone);
	check(!close(root) && !close(clone), "cannot let go");
	check(read(watch, events, sizeof events) < 0 && errno == EAGAIN, "the anchor does not hold");
}

int main(int argc, char **argv)
{
	static char lines[1 << 17];
	int file = open(argc > 1 ? argv[1] : "", O_RDONLY);

	check(read(file, lines, sizeof lines - 1) >= 0, "cannot read the lines");
	if (argc > 2) {
		keep(lines, argv[2]);
	} else {
		mount_binfmt();
		register_lines(lines, -1);
	}
	return 0;
}

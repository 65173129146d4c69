/*
 * Runs commands in turn, many times, and prints what each costs: medians of wall and CPU time, and the peak memory.
 *
 * Usage: measure ROUNDS [AFTER] <PLAN
 *
 * A line of PLAN is a command, its words separated by tabs: NAME EVERY [VARIABLE=VALUE...] PROGRAM [ARGUMENT...]. In each
 * round, every command is run once (or, with EVERY, in each so many-th round), one after the other, so that whatever else
 * the machine does hits all of them alike. Stdout and stderr go to the file `log` here, and are shown if one fails: then
 * everything ends, for there is no use in timing failures.
 *
 * Without AFTER, all is done in a user namespace of its own and each run in a mount namespace of its own; the handlers that
 * it registered are counted and dropped after it. The number must be the same in all rounds. For root the namespace has
 * the users of the one around it, so that a program behaves as in a privileged container, not as in a rootless one. With
 * AFTER, a command for sh, that is run after each run instead.
 *
 * Prints a line for each command, separated by tabs: NAME, the number of runs, of handlers, the medians of wall and of CPU
 * time in microseconds (of the process and of the children that it waited for), and the largest resident set among them
 * in KiB. It is small and static because an exec'd child's ru_maxrss begins with that of the process that forked it.
 */
#define _GNU_SOURCE
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

enum { COMMANDS_MAX = 64, WORDS_MAX = 64, LINE_MAX_ = 8192 };

/* What one run has cost. */
struct cost {
	long wall, cpu, rss;
	int handlers;
};

struct command {
	char line[LINE_MAX_];
	char *words[WORDS_MAX + 1]; /* variables, program, arguments */
	char *name;
	int every, runs, handlers;
	long *wall, *cpu, rss;
};

static struct command commands[COMMANDS_MAX];

static void fail(const char *what, const char *on)
{
	fprintf(stderr, "measure: %s: %s\n", what, on);
	exit(1);
}

static long microseconds(struct timeval t)
{
	return t.tv_sec * 1000000L + t.tv_usec;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void parse(struct command *command)
{
	int n = 0;
	char *every;

	command->name = strtok(command->line, "\t\n");
	every = strtok(NULL, "\t\n");
	while (n < WORDS_MAX && (command->words[n] = strtok(NULL, "\t\n")))
		n++;
	if (!n || n == WORDS_MAX)
		fail("not a command", command->line);
	command->every = atoi(every);
	if (command->every < 1)
		fail("not a number of rounds", every);
}

static void show_log(void)
{
	char text[4096];
	ssize_t n;
	int log = open("log", O_RDONLY);

	while ((n = read(log, text, sizeof text)) > 0)
		if (write(2, text, n) != n)
			break;
	close(log);
}

/* Runs it once, and waits. */
static struct cost run(struct command *command)
{
	struct rusage used;
	long start = now();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char **words = command->words;
		int log = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0644);

		dup2(log, 1);
		dup2(log, 2);
		close(log);
		for (; *words && strchr(*words, '=') && **words != '/'; words++)
			putenv(*words);
		execv(*words, words);
		perror(*words);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid)
		fail("cannot run", command->name);
	if (status) {
		show_log();
		fail("it failed", command->name);
	}
	return (struct cost){
		.wall = now() - start,
		.cpu = microseconds(used.ru_utime) + microseconds(used.ru_stime),
		.rss = used.ru_maxrss,
		.handlers = -1,
	};
}

/* How many handlers are there? All of them are dropped. Whether or not the run still has a mount, this is the same
 * binfmt_misc as long as handlers keep it, or a new and empty one. */
static int drop_handlers(void)
{
	int handlers = 0, status;
	struct dirent *entry;
	DIR *dir;

	/* EBUSY: the run has left it mounted. */
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

/* Goes on in a child, in a user and mount namespace of its own, and ends with what it ends with. Only a process outside may
 * map other users than its own. */
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

/* Runs it once in a mount namespace that ends with the run. */
static struct cost run_apart(struct command *command)
{
	struct cost cost;
	int ends[2], status;

	if (pipe(ends))
		fail("cannot make a pipe", command->name);
	if (fork() == 0) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			fail("cannot make a mount namespace", command->name);
		fcntl(ends[0], F_SETFD, FD_CLOEXEC);
		fcntl(ends[1], F_SETFD, FD_CLOEXEC);
		cost = run(command);
		cost.handlers = drop_handlers();
		_exit(write(ends[1], &cost, sizeof cost) != sizeof cost);
	}
	close(ends[1]);
	if (read(ends[0], &cost, sizeof cost) != sizeof cost)
		exit(1); /* it has said why */
	close(ends[0]);
	wait(&status);
	usleep(2000); /* the kernel takes the namespace apart meanwhile */
	return cost;
}

static void add(struct command *command, struct cost cost)
{
	if (command->runs && cost.handlers != command->handlers)
		fail("not the same number of handlers each time", command->name);
	command->handlers = cost.handlers;
	command->wall[command->runs] = cost.wall;
	command->cpu[command->runs] = cost.cpu;
	command->runs++;
	if (command->rss < cost.rss)
		command->rss = cost.rss;
}

static int by_size(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static long median(long *values, int n)
{
	qsort(values, n, sizeof *values, by_size);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 0, n = 0;
	const char *after = argc > 2 ? argv[2] : NULL;

	if (rounds < 1)
		fail("usage", "measure ROUNDS [AFTER] <PLAN");
	for (; n < COMMANDS_MAX && fgets(commands[n].line, LINE_MAX_, stdin); n++) {
		parse(&commands[n]);
		commands[n].wall = calloc(rounds, sizeof(long));
		commands[n].cpu = calloc(rounds, sizeof(long));
		if (!commands[n].wall || !commands[n].cpu)
			fail("no memory", commands[n].name);
	}
	if (!after)
		enter_namespaces();
	/* Round 0 warms up the caches, and is not counted. */
	for (int round = 0; round <= rounds; round++) {
		for (int i = 0; i < n; i++) {
			struct cost cost;

			if (round % commands[i].every)
				continue;
			cost = after ? run(&commands[i]) : run_apart(&commands[i]);
			if (after && system(after))
				fail("what comes after it failed", commands[i].name);
			if (round)
				add(&commands[i], cost);
		}
	}
	for (int i = 0; i < n; i++) {
		struct command *c = &commands[i];

		if (!c->runs)
			fail("too few rounds for", c->name);
		printf("%s\t%d\t%d\t%ld\t%ld\t%ld\n", c->name, c->runs, c->handlers, median(c->wall, c->runs),
		       median(c->cpu, c->runs), c->rss);
	}
	return 0;
}

/*
 * Runs commands in turn, many times, and prints what each costs: medians of wall and CPU time, and the peak memory.
 *
 * Usage: measure ROUNDS [AFTER] <PLAN
 *
 * A line of PLAN is a command, its words separated by tabs: NAME EVERY [VARIABLE=VALUE...] PROGRAM [ARGUMENT...]. In each
 * round, every command is run once (or, with EVERY, in each so many-th round), one after the other, so that whatever else
 * the machine does hits all of them alike. Stdout and stderr go to a file in memory, and are shown if one fails: then
 * everything ends, for there is no use in timing failures.
 *
 * Without AFTER, all is done in a user namespace of its own and each run in a mount namespace of its own; the handlers that
 * it registered are counted and dropped after it. The number must be the same in all rounds. With
 * AFTER, a command for sh, that is run after each run instead.
 *
 * Prints a line for each command, separated by tabs: NAME, the number of runs, of handlers, the medians of wall and of CPU
 * time in microseconds (of the process and of the children that it waited for), and the largest resident set among them
 * in KiB. It is small and static because an exec'd child's ru_maxrss begins with that of the process that forked it.
 */
#define _GNU_SOURCE
#include "apart.h"
#include <sys/mman.h>

enum { COMMANDS_MAX = 256, WORDS_MAX = 64, LINE_MAX_ = 8192 };

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

/* What the commands print. */
static int log_;

static void show_log(void)
{
	char text[4096];
	ssize_t n;

	lseek(log_, 0, SEEK_SET);
	while ((n = read(log_, text, sizeof text)) > 0)
		if (write(2, text, n) != n)
			break;
}

/* Runs it once, and waits. */
static struct cost run(struct command *command)
{
	struct rusage used;
	long start;
	int status;
	pid_t pid;

	if (ftruncate(log_, 0) || lseek(log_, 0, SEEK_SET))
		fail("cannot empty the log of", command->name);
	start = nanoseconds_now();
	pid = fork();

	if (pid == 0) {
		char **words = command->words;

		dup2(log_, 1);
		dup2(log_, 2);
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
		.wall = (nanoseconds_now() - start) / 1000,
		.cpu = microseconds(used.ru_utime) + microseconds(used.ru_stime),
		.rss = used.ru_maxrss,
		.handlers = -1,
	};
}

/* Runs it once in a mount namespace that ends with the run. */
static struct cost run_apart(struct command *command)
{
	struct cost cost;
	int ends[2], status;

	if (pipe(ends))
		fail("cannot make a pipe", command->name);
	if (fork() == 0) {
		enter_mount_namespace(command->name);
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
	usleep(2000); /* the kernel is still removing the namespace */
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
	log_ = memfd_create("log", MFD_CLOEXEC);
	if (log_ < 0)
		fail("no memory", "for the log");
	if (!after) {
		enter_namespaces();
		/* As the host has it. Where the namespace has no binfmt_misc of its own, as for a rootless user at first, qus
		 * also executes a program of each architecture, to see whether a mount would hide handlers of the host. */
		if (mount("binfmt_misc", "/mnt", "binfmt_misc", 0, NULL))
			fail("cannot mount", "binfmt_misc on /mnt");
	}
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

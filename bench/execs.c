/*
 * Executes programs in turn, many times each, and prints what one execution costs under which handlers.
 *
 * Usage: execs ROUNDS <PLAN
 *
 * A line of PLAN is a case, its words separated by tabs: NAME TIMES EXPECTED SETUP ROOT PROGRAM [ARGUMENT...]. In each round,
 * each case is set up and measured once, so that whatever else the machine does hits all of them alike:
 *
 *	SETUP     a command for sh that registers handlers, run in a mount namespace which ends after the case; `-`: none
 *	ROOT      a directory that becomes the root, by pivot_root(2) in one more mount namespace, as in a container: no mount
 *	          of binfmt_misc is left in it. `-`: the same root as that of SETUP
 *	PROGRAM   is then executed TIMES times by vfork(2) and execve(2), one after the other, each of which must exit with
 *	          the status EXPECTED. If EXPECTED is ENOENT, the program asks for a dynamic loader that doesn't exist: then
 *	          execve(2) fails after all handlers were looked through, and no process is needed, which is more exact
 *
 * Everything is done in a user namespace of its own, and the handlers are dropped after each case. Prints a line for each
 * case, separated by tabs: NAME, the number of handlers, and of one execution in nanoseconds: the median of the wall time,
 * that of the CPU time, and the least CPU time of all rounds, which is the one that others have disturbed least.
 */
#define _GNU_SOURCE
#include "apart.h"
#include <sys/syscall.h>

enum { CASES_MAX = 64, WORDS_MAX = 16, LINE_MAX_ = 4096 };

/* What one execution has cost, on average. */
struct cost {
	long wall, cpu;
	int handlers;
};

struct case_ {
	char line[LINE_MAX_];
	char *name, *expected, *setup, *root, *words[WORDS_MAX + 1];
	int times, runs, handlers;
	long *wall, *cpu;
};

static struct case_ cases[CASES_MAX];

static char *word(char *line)
{
	char *found = strtok(line, "\t\n");

	if (!found)
		fail("a case of the plan is too short", "NAME TIMES EXPECTED SETUP ROOT PROGRAM [ARGUMENT...]");
	return found;
}

static void parse(struct case_ *c)
{
	int n = 1;

	c->name = word(c->line);
	c->times = atoi(word(NULL));
	c->expected = word(NULL);
	c->setup = word(NULL);
	c->root = word(NULL);
	c->words[0] = word(NULL);
	while (n < WORDS_MAX && (c->words[n] = strtok(NULL, "\t\n")))
		n++;
	if (c->times < 1 || n == WORDS_MAX)
		fail("not a case", c->name);
}

static void enter_root(const char *root)
{
	enter_mount_namespace(root);
	/* The old root is stacked on the new one, and taken off it: pivot_root(2), "pivot_root(".", ".")". */
	if (mount(root, root, NULL, MS_BIND | MS_REC, NULL) || chdir(root) || syscall(SYS_pivot_root, ".", ".") ||
	    umount2(".", MNT_DETACH) || chdir("/"))
		fail("cannot make it the root", root);
}

static void execute(struct case_ *c, int expected)
{
	char *no_environment[] = { NULL };
	int status;
	pid_t pid;

	if (expected < 0) {
		execve(c->words[0], c->words, no_environment);
		if (errno != ENOENT)
			fail("it should not find its loader", c->name);
		return;
	}
	pid = vfork();
	if (pid == 0) {
		execve(c->words[0], c->words, no_environment);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("cannot run", c->name);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
		fail("it did not exit as expected", c->name);
}

/* What the child at the other end of this pipe has measured, once it has ended. */
static struct cost answer(int ends[2])
{
	struct cost cost;

	close(ends[1]);
	if (read(ends[0], &cost, sizeof cost) != sizeof cost)
		exit(1); /* it has said why */
	close(ends[0]);
	wait(NULL);
	return cost;
}

/* Executes it so many times, in a process of its own. */
static struct cost repeat(struct case_ *c)
{
	struct cost cost = { 0 };
	int ends[2], expected = strcmp(c->expected, "ENOENT") ? atoi(c->expected) : -1;

	if (pipe(ends))
		fail("cannot make a pipe", c->name);
	if (fork() == 0) {
		struct rusage own, children;
		long start;

		if (strcmp(c->root, "-"))
			enter_root(c->root);
		start = nanoseconds_now();
		for (int i = 0; i < c->times; i++)
			execute(c, expected);
		cost.wall = (nanoseconds_now() - start) / c->times;
		getrusage(RUSAGE_SELF, &own);
		getrusage(RUSAGE_CHILDREN, &children);
		cost.cpu = 1000 * (microseconds(own.ru_utime) + microseconds(own.ru_stime) +
				   microseconds(children.ru_utime) + microseconds(children.ru_stime)) / c->times;
		_exit(write(ends[1], &cost, sizeof cost) != sizeof cost);
	}
	return answer(ends);
}

/* The case, once, in a mount namespace that ends with it. */
static struct cost run(struct case_ *c)
{
	struct cost cost;
	int ends[2];

	if (pipe(ends))
		fail("cannot make a pipe", c->name);
	if (fork() == 0) {
		enter_mount_namespace(c->name);
		if (strcmp(c->setup, "-") && system(c->setup))
			fail("its setup failed", c->name);
		cost = repeat(c);
		cost.handlers = drop_handlers();
		_exit(write(ends[1], &cost, sizeof cost) != sizeof cost);
	}
	return answer(ends);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 0, n = 0;

	if (rounds < 1)
		fail("usage", "execs ROUNDS <PLAN");
	for (; n < CASES_MAX && fgets(cases[n].line, LINE_MAX_, stdin); n++) {
		parse(&cases[n]);
		cases[n].wall = calloc(rounds, sizeof(long));
		cases[n].cpu = calloc(rounds, sizeof(long));
		if (!cases[n].wall || !cases[n].cpu)
			fail("no memory", cases[n].name);
	}
	enter_namespaces();
	/* Round 0 warms up the caches, and is not counted. */
	for (int round = 0; round <= rounds; round++) {
		for (int i = 0; i < n; i++) {
			struct case_ *c = &cases[i];
			struct cost cost = run(c);

			if (!round)
				continue;
			if (c->runs && c->handlers != cost.handlers)
				fail("not the same number of handlers each time", c->name);
			c->handlers = cost.handlers;
			c->wall[c->runs] = cost.wall;
			c->cpu[c->runs++] = cost.cpu;
		}
	}
	for (int i = 0; i < n; i++) {
		struct case_ *c = &cases[i];
		long wall = median(c->wall, c->runs), cpu = median(c->cpu, c->runs);

		/* They are sorted now. */
		printf("%s\t%d\t%ld\t%ld\t%ld\n", c->name, c->handlers, wall, cpu, c->cpu[0]);
	}
	return 0;
}

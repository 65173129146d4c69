# The results of bench/execs.c (its plan: bench/exec.sh) → markdown. Variable: counts (numbers of handlers, separated by blanks).
# All is CPU time, the least of all rounds: what others do at the same time changes that least.

{ handlers[$1] = $2; cpu[$1] = $5 }

# cost of one handler: the slope of the least squares through (number of handlers, CPU time of an execution that fails)
function slope(n, i, x, y, sx, sy, sxx, sxy) {
	n = split(counts, number, " ")
	for (i = 1; i <= n; i++) {
		x = handlers["fails." number[i]]
		y = cpu["fails." number[i]]
		sx += x; sy += y; sxx += x * x; sxy += x * y
	}
	return (n * sxy - sx * sy) / (n * sxx - sx * sx)
}

function start(label, case_, interpreter) {
	printf "| %s | %.1f | %.1f | %.1f | %.1f |\n", label, \
		cpu[case_ ".noop.host"] / 1e3, cpu[case_ ".noop.root"] / 1e3, cpu[case_ ".qemu.host"] / 1e3, cpu[case_ ".qemu.root"] / 1e3
}

# goal TEXT IS_MET – for developers; the document has what readers need.
function goal(text, is_met) {
	printf "%s: %s\n", is_met ? "met" : "missed", text >"/dev/stderr"
}

END {
	each = slope()
	print "\n| handlers | CPU of an execution that finds no loader, ns | of a static program that does nothing, µs |"
	print "|--:|--:|--:|"
	n = split(counts, number, " ")
	for (i = 1; i <= n; i++)
		printf "| %d | %d | %.1f |\n", handlers["fails." number[i]], cpu["fails." number[i]], cpu["noop." number[i]] / 1e3
	share = 33 * each / cpu["noop.0"]
	printf "\nEach handler costs each execution on the host %.1f ns: 33 of them %.2f%% of the start and end of a program that does nothing.\n", each, 100 * share

	print "\n| a foreign execution, ns of CPU | its handler was registered first | last |"
	print "|---|--:|--:|"
	printf "| of 33 | %d | %d |\n", cpu["first.33"], cpu["last.33"]
	printf "| of 300 | %d | %d |\n", cpu["first.300"], cpu["last.300"]
	printf "\nThe kernel looks at the handler first that was registered last. Here the interpreter has no loader, so that only the search is left; it is searched once more for the interpreter itself.\n"

	print "\n| CPU of one start, µs | does nothing: here | in another root | QEMU: here | in another root |"
	print "|---|--:|--:|--:|--:|"
	start("by hand", "direct")
	start("through a handler, binfmt_misc mounted", "handler")
	start("through a handler kept by an anchor", "anchor")
	worst = 0
	for (where = 1; where <= 2; where++) {
		there = where == 1 ? "host" : "root"
		noop = cpu["anchor.noop." there] - cpu["handler.noop." there]
		qemu = cpu["anchor.qemu." there] / cpu["handler.qemu." there] - 1
		if (qemu > worst) worst = qemu
		extra[there] = noop
	}
	goal(sprintf("one handler costs at most 20 ns: %.1f", each), each <= 20)
	goal(sprintf("an anchor costs a foreign program's start less than 2%%: %.1f%% at most (with an interpreter that does nothing %+.1f µs here, %+.1f µs in another root)", \
		100 * worst, extra["host"] / 1e3, extra["root"] / 1e3), worst < 0.02)
	through = cpu["handler.qemu.host"] / cpu["direct.qemu.host"]
	goal(sprintf("a start through the handler costs at most 5%% more than QEMU by hand: %+.1f%%", 100 * (through - 1)), through <= 1.05)
}

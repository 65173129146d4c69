# The results of bench/measure.c (its plan: bench/entrypoint.sh) → markdown: the table and the ratios; the goals go to stderr.
# Variables: one (the target), size (bytes of the entrypoint), sizes (a file: bytes of each emulator), file (bytes of one's),
# counted (a file: instructions of each).

{ handlers[$1] = $3; wall[$1] = $4 / 1000; cpu[$1] = $5 / 1000; rss[$1] = $6; order[NR] = $1 }

function cells(name, floor) {
	if (!(name in wall)) return " – | – | – | – |"
	return sprintf(" %d | %.2f | %.2f | %s |", handlers[name], wall[name], cpu[name], \
		floor ? sprintf("%.1f×", cpu[name] / cpu[floor]) : "–")
}

function row(label, kind) {
	printf "| %s |%s%s\n", label, cells("one." kind, "one.floor"), cells("all." kind, "all.floor")
}

# goal TEXT IS_MET – for developers; the document has what readers need.
function goal(text, is_met) {
	printf "%s: %s\n", is_met ? "met" : "missed", text >"/dev/stderr"
}

function most(a, b) { return a > b ? a : b }

END {
	while ((getline bytes < sizes) > 0) total += bytes
	while ((getline < counted) > 0) instructions[$1] = $2

	printf "\n| | one target (%s): handlers | wall ms | CPU ms | CPU ÷ floor | all: handlers | wall ms | CPU ms | CPU ÷ floor |\n", one
	print "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
	printf "| a program that does nothing | 0 | %.2f | %.2f | | 0 | %.2f | %.2f | |\n", wall["noop"], cpu["noop"], wall["noop"], cpu["noop"]
	row("the floor", "floor")
	row("the floor, with an anchor", "anchor")
	row("qus, neither hashing nor proof", "plain")
	row("qus, hashing", "hash")
	row("qus, proof", "prove")
	row("qus as it is run", "full")
	row("QEMU's script, busybox", "script")
	for (i = 1; i <= NR; i++)
		if (order[i] ~ /^peer\./)
			printf "| %s | – | – | – | – |%s\n", substr(order[i], 6), cells(order[i], "all.floor")

	hash_cpu = cpu["all.hash"] - cpu["all.plain"]
	hash_wall = wall["all.hash"] - wall["all.plain"]
	prove_cpu = cpu["all.prove"] - cpu["all.plain"]
	prove_wall = wall["all.prove"] - wall["all.plain"]
	printf "\nHashing all %.0f MB: %.2f GB/s per CPU, %.2f GB/s in wall time (openssl %.2f, sha256sum %.2f per CPU).\n", \
		total / 1e6, total / 1e6 / hash_cpu, total / 1e6 / hash_wall, \
		total / 1e6 / (cpu["sum.openssl"] - cpu["noop"]), total / 1e6 / (cpu["sum.sha256sum"] - cpu["noop"])
	printf "For one, its %.0f MB only: %.1f ms of CPU.\n", file / 1e6, cpu["one.hash"] - cpu["one.plain"]
	printf "Proof: %.1f ms of wall and %.1f ms of CPU time for one, %.1f and %.1f ms for all, mostly QEMU's own start.\n", \
		wall["one.prove"] - wall["one.plain"], cpu["one.prove"] - cpu["one.plain"], prove_wall, prove_cpu
	printf "Instructions in user mode, in thousands: the floor %.0f for one and %.0f for all, qus without hashing and proof %.0f and %.0f", \
		instructions["one.floor"] / 1e3, instructions["all.floor"] / 1e3, instructions["one.plain"] / 1e3, instructions["all.plain"] / 1e3
	for (i = 1; i <= NR; i++)
		if (order[i] ~ /^peer\./) printf ", %s %.0f", substr(order[i], 6), instructions[order[i]] / 1e3
	print "."
	printf "Peak memory: %d KiB without proof; with it, QEMU's own %.1f MiB. The entrypoint is %.0f KB.\n", \
		most(rss["all.hash"], rss["one.hash"]), rss["all.full"] / 1024, size / 1000

	one_of = cpu["one.plain"] / cpu["one.anchor"]
	all_of = cpu["all.plain"] / cpu["all.anchor"]
	goal(sprintf("CPU time within 2× of a floor that keeps the handlers as well, without hashing and proof: %.1f× for one, %.1f× for all", \
		one_of, all_of), most(one_of, all_of) <= 2)
	goal(sprintf("at least 30× faster than QEMU's script: %.1f× for one, %.1f× for all (the floor: %.0f×, %.0f×)", \
		wall["one.script"] / wall["one.plain"], wall["all.script"] / wall["all.plain"], \
		wall["one.script"] / wall["one.floor"], wall["all.script"] / wall["all.floor"]), \
		wall["one.script"] / wall["one.plain"] >= 30 && wall["all.script"] / wall["all.plain"] >= 30)
	goal(sprintf("hashing not slower than openssl on the same files: %.2f of its CPU time", \
		hash_cpu / (cpu["sum.openssl"] - cpu["noop"])), hash_cpu <= cpu["sum.openssl"] - cpu["noop"])
	goal(sprintf("only what is asked for is hashed: one costs %.0f%% of all, and has %.0f%% of the bytes", \
		100 * (cpu["one.hash"] - cpu["one.plain"]) / hash_cpu, 100 * file / total), \
		(cpu["one.hash"] - cpu["one.plain"]) / hash_cpu < 3 * file / total)
	goal(sprintf("peak memory at most 2 MB: %d KiB", most(rss["all.hash"], rss["one.hash"])), most(rss["all.hash"], rss["one.hash"]) <= 2000)
	goal(sprintf("at most 450 KB: %.0f KB", size / 1000), size <= 450000)
}

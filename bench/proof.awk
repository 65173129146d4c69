# Sizes, results of bench/measure.c and of bench/execs.c (plans: bench/proof.sh) → markdown. Variable: cpus (how many there are).

FNR == 1 { file++ }
file == 1 { order[++n] = $1; size[$1] = $2 / 1e6 }
file == 2 { wall[$1] = $4 / 1e3; cpu[$1] = $5 / 1e3 }
file == 3 { sub(/\.direct$/, "", $1); direct[$1] = $4 / 1e6 }

function more(values, name, kind) {
	return values[name "." kind] - values[name ".plain"]
}

function row(label, kind, is_whole, on, line) {
	line = "| " label " |"
	for (on = 1; on <= (cpus > 1 ? 2 : 1); on++)
		line = line sprintf(" %.1f | %.1f |", is_whole ? wall["on" on "." kind] : more(wall, "on" on, kind), \
			is_whole ? cpu["on" on "." kind] : more(cpu, "on" on, kind))
	print line
}

# note KIND VALUE – of a target; range KIND – of all that were noted.
function note(kind, value) {
	if (!(kind in least) || value < least[kind]) least[kind] = value
	if (value > greatest[kind]) greatest[kind] = value
	sum[kind] += value
}
function range(kind) {
	return sprintf("%.1f to %.1f", least[kind], greatest[kind])
}

# goal TEXT IS_MET – for developers; the document has what readers need.
function goal(text, is_met) {
	printf "%s: %s\n", is_met ? "met" : "missed", text >"/dev/stderr"
}

END {
	print "\n| all targets, ms | one CPU: wall | CPU |" (cpus > 1 ? " two CPUs: wall | CPU |" : "")
	print "|---|--:|--:|" (cpus > 1 ? "--:|--:|" : "")
	row("neither hashing nor proof", "plain", 1)
	row("hashing adds", "hash")
	row("proof adds", "prove")
	row("as it is run", "full", 1)

	for (i = 1; i <= n; i++) {
		t = order[i]
		note("MB", size[t])
		note("hash", more(cpu, t, "hash"))
		note("prove", more(cpu, t, "prove"))
		note("direct", direct[t])
	}
	printf "\nA target has %s MB. Hashing adds %s ms of CPU time, proof %s ms; QEMU by hand takes %s ms. All, one by one: %.1f, %.1f and %.1f ms.\n", \
		range("MB"), range("hash"), range("prove"), range("direct"), sum["hash"], sum["prove"], sum["direct"]
	all = more(cpu, "on1", "prove")
	goal(sprintf("proving all costs at most a fifth more CPU than each QEMU by hand: %.2f of it", all / sum["direct"]), all <= 1.2 * sum["direct"])
	if (cpus > 1) {
		faster = wall["on1.full"] / wall["on2.full"]
		goal(sprintf("a second CPU is used: on two it takes %.2f of the time on one", 1 / faster), faster >= 1.5)
	}
}

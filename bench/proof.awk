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

function goal(text, is_met) {
	printf "- %s: %s\n", is_met ? "met" : "**missed**", text
}

END {
	print "\n| all targets, ms | one CPU: wall | CPU |" (cpus > 1 ? " two CPUs: wall | CPU |" : "")
	print "|---|--:|--:|" (cpus > 1 ? "--:|--:|" : "")
	row("neither hashing nor proof", "plain", 1)
	row("hashing adds", "hash")
	row("proof adds", "prove")
	row("as it is run", "full", 1)

	print "\n| target | MB | hashing adds, ms of CPU | proof adds, ms of wall | of CPU | QEMU called by hand, ms of CPU |"
	print "|---|--:|--:|--:|--:|--:|"
	for (i = 1; i <= n; i++) {
		t = order[i]
		printf "| `%s` | %.1f | %.1f | %.1f | %.1f | %.1f |\n", t, size[t], more(cpu, t, "hash"), \
			more(wall, t, "prove"), more(cpu, t, "prove"), direct[t]
		mb += size[t]
		hashing += more(cpu, t, "hash")
		proof += more(cpu, t, "prove")
		by_hand += direct[t]
	}
	printf "| all of them, one by one | %.1f | %.1f | | %.1f | %.1f |\n\n", mb, hashing, proof, by_hand
	all = more(cpu, "on1", "prove")
	goal(sprintf("proving all costs at most a fifth more CPU than calling each QEMU by hand: %.2f of it", all / by_hand), all <= 1.2 * by_hand)
	if (cpus > 1) {
		faster = wall["on1.full"] / wall["on2.full"]
		goal(sprintf("a second CPU is used: on two it takes %.2f of the time on one", 1 / faster), faster >= 1.5)
	}
}

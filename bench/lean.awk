# The bytes and the results of bench/lean.sh → markdown. CPU time is the least of all rounds: what others do changes that least;
# that of a registration, and the wall time, are medians.

FNR == 1 { file++ }
file == 1 { files[$2] = $3; disk[$1, $2] = $4 / 1e6; pull[$1, $2] = $5 / 1e6 }
file == 2 { wall[$1] = $3 / 1e6; cpu[$1] = $5 / 1e6 }
file == 3 { wall[$1] = $4 / 1e3; cpu[$1] = $5 / 1e3 }

function size(label, set) {
	printf "| %s | %d | %.1f | %.1f | %.2f | %.2f | %.2f | %.2f |\n", label, files[set], disk["sid", set], disk["lean", set], \
		disk["lean", set] / disk["sid", set], pull["sid", set], pull["lean", set], pull["lean", set] / pull["sid", set]
}

function row(label, name) {
	printf "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %s |\n", label, cpu["sid." name], cpu["trixie." name], cpu["lean." name], \
		cpu["lean." name] / cpu["sid." name], cpu["lean." name] / cpu["trixie." name], \
		name == "all" ? "" : sprintf("%.2f", cpu["lean." name] / cpu["tonistiigi." name])
}

# goal TEXT IS_MET – for developers; the document has what readers need.
function goal(text, is_met) {
	printf "%s: %s\n", is_met ? "met" : "missed", text >"/dev/stderr"
}

END {
	print "\n| MB | emulators | on disk: sid | lean | lean ÷ sid | to pull: sid | lean | lean ÷ sid |"
	print "|---|--:|--:|--:|--:|--:|--:|--:|"
	size("all targets", "all")
	size("`common`", "common")
	size("the ten of tonistiigi/binfmt", "ten")
	size("one (`aarch64`)", "one")
	printf "\n(Those ten of sid as gzip -9: %.1f MB.)\n", pull["sid-gzip", "ten"]
	print "\n| arm64 programs, ms of CPU time | sid | trixie | lean | lean ÷ sid | ÷ trixie | ÷ tonistiigi's options |"
	print "|---|--:|--:|--:|--:|--:|--:|"
	row("a hundred bytes that exit", "tiny")
	row("`true`, dynamic", "dynamic")
	row("dash, 100 subshells", "forks")
	row("dash, 100,000 turns of a loop", "loop")
	row("Python, with two imports", "python")
	row("gcc, 15 small functions", "gcc")
	row("gzip of 1.3 MB", "gzip")
	row("a configure script (dash's)", "configure")
	row("all targets, hashed, registered and proven", "all")
	printf "\nThe last takes %.0f ms of wall time with sid, %.0f with lean.\n", wall["sid.all"], wall["lean.all"]
	print "\n| target | MB on disk: tonistiigi's options | lean | ÷ | MB to pull: theirs | lean | ÷ | start: lean ÷ theirs |"
	print "|---|--:|--:|--:|--:|--:|--:|--:|"
	split(ten " ten", targets, " ")
	for (i = 1; i in targets; i++) {
		name = targets[i]
		printf "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %s |\n", name == "ten" ? "all ten" : name, disk["tonistiigi", name], disk["lean", name], \
			disk["lean", name] / disk["tonistiigi", name], pull["tonistiigi", name], pull["lean", name], \
			pull["lean", name] / pull["tonistiigi", name], \
			name == "ten" ? "" : sprintf("%.2f", cpu["lean.tiny." name] / cpu["tonistiigi.tiny." name])
	}
	goal(sprintf("all targets at most 14 MB to pull: %.2f", pull["lean", "all"]), pull["lean", "all"] <= 14)
	goal(sprintf("all targets at most 150 MB on disk: %.1f", disk["lean", "all"]), disk["lean", "all"] <= 150)
	goal(sprintf("a tiny start takes half: %.2f", cpu["lean.tiny"] / cpu["sid.tiny"]), cpu["lean.tiny"] / cpu["sid.tiny"] <= 0.55)
}

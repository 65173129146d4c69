# The results of bench/measure.c (its plan: bench/image.sh) → markdown: what a run takes more than one that does nothing.
# Variable: one (the target).

{ wall[$1] = $4 / 1000 }

function row(label, name) {
	printf "| %s | %.1f | %+.1f |\n", label, wall[name], wall[name] - wall["noop"]
}

# what the first takes more than the second, in percent of a run that does nothing
function share(name, without) {
	return 100 * (wall[name] - wall[without]) / wall["noop"]
}

END {
	print "\n| `docker run --rm --privileged` | ms | more than nothing |"
	print "|---|--:|--:|"
	row("an image that does nothing", "noop")
	row("`qus -s -- -p " one "`", "one.full")
	row("`qus -s -- -p`", "all.full")
	row("`qus:lean -s -- -p`", "lean.full")
	row("`qus -s -- -p --no-prove " one "`", "one.plain")
	row("`qus -s -- -p --no-prove`", "all.plain")
	row("`qus -- -r`, with nothing to remove", "remove")
	one_more = share("one.full", "one.plain")
	all_more = share("all.full", "all.plain")
	printf "\nProof is %.1f%% of a `docker run` for one target, %.1f%% for all.\n", one_more, all_more
	printf "All targets hashed, registered and proven take %.0f%% of a `docker run` that does nothing; of the suite lean %.0f%%.\n",
		share("all.full", "noop"), share("lean.full", "noop")
}

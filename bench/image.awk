# The results of bench/measure.c (its plan: bench/image.sh) → markdown: what a run takes more than one that does nothing.
# Variable: one (the target).

{ wall[$1] = $4 / 1000 }

function row(label, name) {
	printf "| %s | %.1f | %+.1f |\n", label, wall[name], wall[name] - wall["noop"]
}

END {
	print "\n| `docker run --rm --privileged` | ms | more than nothing |"
	print "|---|--:|--:|"
	row("an image that does nothing", "noop")
	row("`qus -s -- -p " one "`", "one.full")
	row("`qus -s -- -p`", "all.full")
	row("`qus -s -- -p --no-prove " one "`", "one.plain")
	row("`qus -s -- -p --no-prove`", "all.plain")
	row("`qus -- -r`, with nothing to remove", "remove")
}

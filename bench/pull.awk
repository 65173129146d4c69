# The rows of bench/pull.sh → markdown. Variable: one (the target). Columns: label, tag, bytes, ms of a pull, of decompression.

function goal(met, text) {
	goals = goals sprintf("- %s: %s\n", met ? "met" : "**missed**", text)
}

BEGIN {
	print "\n| image | MB to pull | `docker pull`, s | decompression alone, s |"
	print "|---|--:|--:|--:|"
}

{
	printf "| %s | %.2f | %.2f | %.2f |\n", $1, $3 / 1e6, $4 / 1e3, $5 / 1e3
	bytes[$2] = $3
	pull[$2] = $4
	unpack[$2] = $5
}

END {
	share = bytes["latest"] / bytes["latest-gzip"]
	goal(share <= 0.24, sprintf("all targets at most 0.24 of gzip -9: %.3f", share))
	goal(bytes["latest"] < bytes["ten-gzip"], sprintf("all targets less than ten as gzip: %.2f and %.2f MB", bytes["latest"] / 1e6, bytes["ten-gzip"] / 1e6))
	goal(bytes[one] <= 3.3e6, sprintf("one target at most 3.3 MB: %.2f", bytes[one] / 1e6))
	faster = unpack["latest-gzip"] / unpack["latest"]
	goal(faster >= 3, sprintf("decompression at least 3× faster: %.1f× (the whole pull: %.1f×)", faster, pull["latest-gzip"] / pull["latest"]))
	printf "\n%s", goals
}

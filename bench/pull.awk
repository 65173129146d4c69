# The rows of bench/pull.sh → markdown. Columns: label, tag, bytes, ms of a pull, of decompression.

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
	printf "\nAll targets are %.3f of gzip -9, which takes %.1f times as long to decompress (the whole pull: %.1f times).\n", \
		bytes["latest"] / bytes["latest-gzip"], unpack["latest-gzip"] / unpack["latest"], pull["latest-gzip"] / pull["latest"]
}

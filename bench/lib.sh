# What the parts of scripts/bench share; sourced by it, after lib/say.sh and lib/apt.sh.
# shellcheck shell=sh disable=SC2034,SC2154 # $one is for the parts; $work, $quick, $host are those of scripts/bench

# compile NAME… – bench/NAME.c into $work/NAME, small and static.
compile() {
	need musl-gcc:musl-tools gcc:gcc
	for name in "$@"; do
		musl-gcc -static -Os -s -Wall -Wextra -Werror -o "$work/$name" "bench/$name.c"
	done
}

# rounds FULL – how many rounds: FULL, or a tenth of it.
rounds() {
	[ -n "$quick" ] && echo $(($1 / 10)) || echo "$1"
}

# command_line NAME EVERY WORD… – a line of a plan for `measure`.
command_line() {
	printf '%s' "$1"
	shift
	printf '\t%s' "$@"
	echo
}

# The target for "one": any that this host does not run itself.
case $host in
arm*) one=i386 ;;
*) one=arm ;;
esac

# apart COMMAND… – in a user namespace of its own, where nothing is mounted on the directory of binfmt_misc.
apart() {
	# shellcheck disable=SC2016 # for the inner shell
	unshare --user --map-root-user --mount sh -c '
		dir=/proc/sys/fs/binfmt_misc
		[ ! -e $dir/register ] || mount -t tmpfs none $dir
		exec "$@"' sh "$@"
}

# lines – what qus would write to `register` for all targets, one line each.
lines() {
	QEMU_BIN_DIR=${1:-$PWD/$emulators} apart "target/dist/$host/qus" -s -- -p -t 2>/dev/null | sed -n 's/^  :/:/p'
}

# emulators_version, commit – what was measured.
emulators_version() {
	echo "QEMU $(sed -n 's/^version: //p' "${emulators%/bin}/package")"
}
commit() {
	echo "qus at $(git rev-parse --short HEAD 2>/dev/null || echo 'no commit')$(git diff --quiet HEAD -- src Cargo.toml || echo ', changed')"
}

# where – under what circumstances: one line of markdown.
where() {
	printf 'Measured %s on %s, %s CPUs, Linux %s' "$(date -u +%F)" \
		"$(lscpu | sed -n 's/^Model name: *//p' | head -n 1)" "$(nproc)" "$(uname -r | sed 's/[^0-9.].*//')"
	printf ', load %s; %s.\n' "$(cut -d ' ' -f 1 /proc/loadavg)" "$*"
}

# write_table PART – put $tables/PART.md into docs/performance.md, between that part's markers.
write_table() (
	doc=docs/performance.md
	awk -v part="$1" -v table="$tables/$1.md" '
		$0 == "<!-- end of scripts/bench " part " -->" { skip = 0; found = 1 }
		!skip { print }
		$0 == "<!-- written by scripts/bench " part " -->" { while ((getline row < table) > 0) print row; skip = 1 }
		END { exit !found || skip }' $doc >"$tables/doc" || fail "$doc has no place for the table of '$1'" \
		"it goes between <!-- written by scripts/bench $1 --> and <!-- end of scripts/bench $1 -->"
	replace $doc "$tables/doc"
	say "$doc: $1 is up to date"
)

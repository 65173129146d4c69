# Executing: what each registered handler costs every program on the host, what the order of registration means for a foreign
# one, and how long a foreign one takes to start through a handler, against calling QEMU by hand; sourced by scripts/bench.
# Prints markdown.
#
# Everything runs in a private user namespace (bench/execs.c). The foreign program is the probe of one target
# (docs/probes.md), a hundred bytes that exit, so all that is measured is the start. Two programs stand in for QEMU where that
# would hide what is looked for: `noop`, a static program that does nothing, and `noloader`, one whose loader doesn't exist.
# shellcheck shell=sh disable=SC2154 # $work, $host, $emulators, $one are those of scripts/bench

# handlers N – N lines for `register`: those of all targets, in turn, under other names from the second turn on.
handlers() {
	turn=0
	while [ $((turn * rows)) -lt "$1" ]; do
		sed "s/:qemu-[^:]*/&.$turn/" "$work/rows"
		turn=$((turn + 1))
	done | head -n "$1"
}

# with_first N, with_last N – N handlers; the one for $one, that calls `noloader`, is registered first or last.
with_first() {
	echo "$noloader"
	handlers "$1" | grep -v ":qemu-$one\\." | head -n $(($1 - 1))
}
with_last() {
	handlers "$1" | grep -v ":qemu-$one\\." | head -n $(($1 - 1))
	echo "$noloader"
}

# anchored DIR – a command that registers $one's emulator in DIR by an anchor.
anchored() {
	echo "QEMU_BIN_DIR=$1 $work/qus -s -- -p --no-prove $one >$work/log 2>&1"
}

plan() {
	counts="0 1 10 33 100 300"
	for n in $counts; do
		handlers "$n" >"$work/handlers.$n"
		command_line "fails.$n" 2000 ENOENT "$work/floor $work/handlers.$n" - "$work/noloader"
		command_line "noop.$n" 200 0 "$work/floor $work/handlers.$n" - "$work/noop"
	done
	for n in 33 300; do
		for place in first last; do
			"with_$place" "$n" >"$work/handlers.$place.$n"
			command_line "$place.$n" 1000 ENOENT "$work/floor $work/handlers.$place.$n" - "$work/root/$one"
		done
	done
	# The probe exits with the first byte of its path, a slash, plus the effective user, which is root.
	slash=47
	for interpreter in noop qemu; do
		status=0
		times=200
		[ $interpreter = noop ] || {
			status=$slash
			times=50
		}
		dir=$work/root/$interpreter
		sed -n "s|:$emulators_there/|:$dir/|p" "$work/one" >"$work/handler.$interpreter"
		for root in - "$work/root"; do
			there=host
			[ "$root" = - ] || there=root
			at=${dir#"${root#-}"}
			program=$work/root/$one
			[ "$root" = - ] || program=/$one
			command_line "direct.$interpreter.$there" $times $status - "$root" "$at/qemu-$one-static" "$program"
			command_line "handler.$interpreter.$there" $times $status "$work/floor $work/handler.$interpreter" "$root" "$program"
			command_line "anchor.$interpreter.$there" $times $status "$(anchored "$dir")" "$root" "$program"
		done
	done
}

case $work in *[[:space:]:]*) fail "cannot measure in $work: there is a space or a colon in it" ;; esac
compile execs
need cc:gcc python3:python3
cp "target/dist/$host/qus" "$work/qus"
echo 'int main(void) { return 0; }' | cc -x c - -Os -s -o "$work/noloader" -Wl,--dynamic-linker=/nonexistent
mkdir -p "$work/root/noop" "$work/root/qemu"
python3 scripts/lib/probes.py "$work/root"
cp "$work/noop" "$work/root/noop/qemu-$one-static"
cp "$emulators/qemu-$one-static" "$work/root/qemu"
emulators_there=$PWD/$emulators
lines >"$work/rows"
rows=$(wc -l <"$work/rows")
grep "^:qemu-$one:" "$work/rows" >"$work/one" || fail "qus would not register $one here"
noloader=$(sed "s|:$emulators_there/[^:]*:|:$work/noloader:|" "$work/one")
plan >"$work/plan"
(cd "$work" && ./execs "$(rounds 30)" <plan >results)

where "$(emulators_version), $(commit)"
awk -F '\t' -v counts="$counts" -f bench/exec.awk "$work/results"

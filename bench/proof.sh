# Hashing and proof: what each costs, target by target and for all of them, on one CPU and on two; sourced by scripts/bench.
# Prints markdown.
#
# The same registration is run without either, with one and with the other (bench/measure.c), in user namespaces of its own;
# the differences are what they cost. What QEMU itself takes is seen by calling it by hand with the same program
# (bench/execs.c).
# shellcheck shell=sh disable=SC2154 # $work, $host, $emulators are those of scripts/bench

# plan_of NAME EVERY COMMAND… [TARGETS] – without and with each of the two.
plan_of() {
	name=$1
	every=$2
	targets=$3
	shift 3
	# shellcheck disable=SC2086 # a target, or none for all
	{
		command_line "$name.plain" "$every" "QEMU_BIN_DIR=$work/bin" "$@" "$work/qus" -s -- -p --no-prove $targets
		command_line "$name.hash" "$every" "QEMU_BIN_DIR=$PWD/$emulators" "$@" "$work/qus" -s -- -p --no-prove $targets
		command_line "$name.prove" "$every" "QEMU_BIN_DIR=$work/bin" "$@" "$work/qus" -s -- -p $targets
		command_line "$name.full" "$every" "QEMU_BIN_DIR=$PWD/$emulators" "$@" "$work/qus" -s -- -p $targets
	}
}

plan() {
	while read -r target; do
		plan_of "$target" 1 "$target"
	done <"$work/targets"
	for count in 1 2; do
		cpus=$(echo "$allowed" | head -n $count | paste -sd , -)
		plan_of "on$count" 1 '' "$(command -v taskset)" -c "$cpus"
	done
}

# direct – a plan for execs: each emulator executed by name, which exits with the slash of its program's path.
direct() {
	while read -r target; do
		command_line "$target.direct" 1 47 - - "$PWD/$emulators/qemu-$target-static" "$work/probes/$target"
	done <"$work/targets"
}

need taskset:util-linux paste:coreutils python3:python3
compile execs
cp "target/dist/$host/qus" "$work/qus"
mkdir -p "$work/bin" "$work/probes"
ln -f "$emulators"/qemu-* "$work/bin" # without SHA256SUMS nothing is hashed
python3 scripts/lib/probes.py "$work/probes"
# One row of each emulator, by the name of its target.
lines | sed 's/^:qemu-\([^:]*\):.*/\1/' | while read -r row; do
	[ ! -e "$emulators/qemu-$row-static" ] || echo "$row"
done >"$work/targets"
[ -s "$work/targets" ] || fail "qus would register nothing here"
# The CPUs that this process may use, one a line.
allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr , '\n' | while IFS=- read -r first last; do
	seq "$first" "${last:-$first}"
done)
plan >"$work/plan"
direct >"$work/plan.direct"
(cd "$work" && ./measure "$(rounds 20)" <plan >results && ./execs "$(rounds 20)" <plan.direct >results.direct)
while read -r target; do
	printf '%s\t%s\n' "$target" "$(stat -L -c %s "$emulators/qemu-$target-static")"
done <"$work/targets" >"$work/sizes"

where "$(emulators_version), $(commit)"
awk -F '\t' -v cpus="$(echo "$allowed" | wc -l)" -f bench/proof.awk "$work/sizes" "$work/results" "$work/results.direct"

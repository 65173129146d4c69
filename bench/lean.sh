# The suite lean against Debian's packages, and against the same source with tonistiigi/binfmt's options (bench/tonistiigi): bytes,
# and what programs cost; sourced by scripts/bench. Prints markdown, after some 40 minutes.
#
# Bytes are those of the emulators' layer as it is published (scripts/release/finish-layout), and of the files. Programs of
# arm64 are executed in turns (bench/execs.c), by the emulators by hand; a configure script, whose shell executes others, by
# handlers and with their system as the root. They are Debian's, unpacked: a loader, libraries, a shell and its tools, Python,
# gcc. All targets are registered in user namespaces (bench/measure.c).
# shellcheck shell=sh disable=SC2154 # $work, $host, $emulators are those of scripts/bench

ten="aarch64 x86_64 riscv64 arm s390x ppc64le i386 mips64el mips64 loongarch64"

# bytes SUITE SET TARGET… – of these emulators: SUITE SET FILES ON-DISK TO-PULL.
bytes() {
	suite=$1
	set=$2
	shift 2
	rm -rf "$work/layer"
	mkdir -p "$work/layer/qus/bin"
	for target in "$@"; do
		ln "$(bin_of "$suite")/qemu-$target-static" "$work/layer/qus/bin/"
	done
	tar -C "$work/layer" --sort=name --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" qus
	case $suite in
	*-gzip) gzip -9nc "$work/layer.tar" ;;
	*) zstd -q -T1 --long=25 -19 -c "$work/layer.tar" ;;
	esac >"$work/layer.packed"
	printf '%s\t%s\t%s\t%s\t%s\n' "$suite" "$set" $# "$(cat "$work/layer/qus/bin"/* | wc -c)" "$(wc -c <"$work/layer.packed")"
}
bin_of() {
	case $1 in
	tonistiigi) echo "$theirs/bin" ;;
	*) echo "$PWD/target/dist/$host/${1%-gzip}/bin" ;;
	esac
}

# case_of NAME TIMES STATUS ARGUMENT… – for each suite.
case_of() {
	name=$1
	times=$2
	status=$3
	shift 3
	for suite in $suites; do
		command_line "$suite.$name" "$times" "$status" - - "$(bin_of "$suite")/qemu-aarch64-static" "$@"
	done
}

# shellcheck disable=SC2016 # for dash
plan() {
	case_of tiny 50 47 "$work/probes/aarch64"
	for target in $ten; do
		for suite in lean tonistiigi; do
			command_line "$suite.tiny.$target" 50 47 - - "$(bin_of $suite)/qemu-$target-static" "$work/probes/$target"
		done
	done
	case_of dynamic 10 0 -L "$root" "$root/usr/bin/true"
	case_of forks 1 0 -L "$root" "$root/usr/bin/dash" -c 'i=0; while [ $i -lt 100 ]; do x=$(echo $i); i=$((i + 1)); done'
	case_of loop 1 0 -L "$root" "$root/usr/bin/dash" -c 'i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done'
	case_of python 2 0 -L "$root" "$root/usr/bin/python3.13" -I -c 'import json, re'
	case_of gcc 1 0 -L "$root" "$root/usr/libexec/gcc/aarch64-linux-gnu/14/cc1" -quiet -O2 "$work/functions.c" -o /dev/null
	case_of gzip 1 0 -L "$root" "$root/usr/bin/gzip" -kf "$work/text"
}

# The configure script of dash: some seventy checks, with a compiler.
plan_of_configure() {
	for suite in $suites; do
		command_line "$suite.configure" 1 0 \
			"mount --rbind /dev '$root/dev' && QEMU_BIN_DIR='$(bin_of "$suite")' '$PWD/target/dist/$host/qus' install aarch64" \
			"$root" /bin/sh -c 'rm -rf /build && mkdir /build && cd /build && PATH=/usr/bin HOME=/ /dash/configure --disable-dependency-tracking >/build/said 2>&1'
	done
}

need python3:python3 zstd:zstd mmdebstrap:mmdebstrap dpkg-source:dpkg-dev
for suite in sid trixie lean; do
	scripts/fetch-emulators "$suite" "$host" >&2
done
# shellcheck disable=SC2086 # a list
theirs=$(scripts/internal/build-emulators --flags bench/tonistiigi "$host" $ten)
suites="sid trixie lean tonistiigi"
compile execs
mkdir "$work/probes"
python3 scripts/lib/probes.py "$work/probes"
root=$work/root
mmdebstrap --quiet --mode=chrootless --variant=extract --architectures=arm64 \
	--include=base-files,dash,coreutils,sed,grep,mawk,diffutils,findutils,gzip,python3,gcc,libc6-dev trixie "$root" \
	"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) trixie main" >&2
conf=$(apt_root trixie source)
(cd "$work" && APT_CONFIG=$conf apt-get -qq source --download-only dash >&2 && dpkg-source --no-check --extract dash_*.dsc "$root/dash" >&2)
seq 200000 >"$work/text"
for number in $(seq 15); do
	echo "int f$number(int *a, int n) { int s = $number; for (int i = 0; i < n; i++) s += a[i] * $number ^ s >> 3; return s; }"
done >"$work/functions.c"
plan >"$work/plan"
plan_of_configure >"$work/plan.configure"
(cd "$work" && ./execs "$(rounds 30)" <plan >results && ./execs "$([ -n "$quick" ] && echo 1 || echo 2)" <plan.configure >>results)
for suite in sid trixie lean; do
	command_line "$suite.all" 1 "QEMU_BIN_DIR=$(bin_of "$suite")" "$PWD/target/dist/$host/qus" -s -- -p
done >"$work/plan.all"
(cd "$work" && ./measure "$(rounds 20)" <plan.all >results.all)
common=$(awk '!/^#/ { print $1 }' manifests/common)
all=$(sed 's/.*  qemu-\(.*\)-static$/\1/' "$(bin_of lean)/SHA256SUMS")
{
	for suite in sid lean; do
		# shellcheck disable=SC2086 # lists
		{
			bytes "$suite" all $all
			bytes "$suite" common $common
			bytes "$suite" ten $ten
		}
		bytes "$suite" one aarch64
	done
	# shellcheck disable=SC2086
	bytes sid-gzip ten $ten
	# shellcheck disable=SC2086
	bytes tonistiigi ten $ten
	for target in $ten; do
		bytes lean "$target" "$target"
		bytes tonistiigi "$target" "$target"
	done
} >"$work/bytes"

where "sid $(sed -n 's/^version: //p' "target/dist/$host/sid/package"), trixie $(sed -n 's/^version: //p' "target/dist/$host/trixie/package"), lean $(sed -n 's/^version: //p' "target/dist/$host/lean/package"), $(commit)"
awk -F '\t' -v ten="$ten" -f bench/lean.awk "$work/bytes" "$work/results" "$work/results.all"

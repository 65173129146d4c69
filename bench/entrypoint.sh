# The entrypoint alone: registering one target and all, against the floor, and against QEMU's own script; sourced by
# scripts/bench. Prints markdown.
#
# Everything runs in a private user namespace, each run in a mount namespace of its own (bench/measure.c). The script is
# qemu-binfmt-conf.sh out of Debian's source package of QEMU, run by Debian's static busybox. It has no way to register
# one target only; for that, its list of targets is cut down to one.
# shellcheck shell=sh disable=SC2154 # $work, $host, $emulators, $peers are those of scripts/bench

# The source package that has the script (it is the same in 10.2.2), and the script's own digest.
qemu=qemu_10.0.13+ds.orig.tar.xz
qemu_sha256=6a0888e806c2ffc0c5f0733e974f9aea55491950d3c47c98669c8b236dde59ae
qemu_seen=20261123
script_sha256=5e12ef484b8364e1ba7bae4acda837d2e6320ffbeb7fab341034124553cdb137

# qemu_script – the path of the script, in the cache.
qemu_script() (
	script=$QUS_CACHE/bench/qemu-binfmt-conf.sh
	if ! { [ -e "$script" ] && is_sha256 "$script" "$script_sha256"; }; then
		need xz:xz-utils
		say "fetching $qemu for QEMU's own script"
		mkdir -p "$QUS_CACHE/bench"
		pool=pool/main/q/qemu/$qemu
		for site in "$(debian_mirror)" "${QUS_SNAPSHOT_MIRROR:+$QUS_SNAPSHOT_MIRROR/archive/debian/${qemu_seen}T235959Z}"; do
			[ -n "$site" ] || continue
			# apt-helper compares the digest.
			/usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root download-file "$site/$pool" "$work/qemu.tar.xz" \
				"SHA256:$qemu_sha256" >&2 && break
		done
		[ -e "$work/qemu.tar.xz" ] || fail "cannot fetch $qemu" \
			"where Debian has moved on, bench/entrypoint.sh takes a new name and digests; QUS_SNAPSHOT_MIRROR may have the old"
		tar -xJOf "$work/qemu.tar.xz" --wildcards '*/scripts/qemu-binfmt-conf.sh' >"$script.part"
		rm "$work/qemu.tar.xz"
		is_sha256 "$script.part" "$script_sha256" || fail "the qemu-binfmt-conf.sh in $qemu is not the expected one"
		mv "$script.part" "$script"
	fi
	echo "$script"
)

# counted NAME VARIABLES COMMAND… – a line of a plan that counts what it executes in user mode, itself and without its children,
# in $work/count.NAME. The kernel's own instructions are not counted: virtual machines rarely have the counters. Valgrind 3.19
# doesn't know open_tree(2), so qus finds that there is no anchor; another mount keeps the handlers.
counted() {
	name=$1
	variables=$2
	count="valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file=$work/count.$name"
	shift 2
	command_line "$name" 1 "$(command -v sh)" -c "mount -t binfmt_misc none $work/kept && exec env $variables $count $*"
}

plan_count() {
	for what in one all; do
		targets=
		[ $what = all ] || targets=$one
		counted $what.floor '' "$work/floor" "$work/$what"
		counted $what.plain "QEMU_BIN_DIR=$work/bin" "$work/qus" -s -- -p --no-prove "$targets"
	done
	each_peer | while IFS= read -r peer; do
		path=${peer#*=}
		counted "peer.${peer%%=*}" "QEMU_BIN_DIR=$work/bin QEMU_BINARY_PATH=$work/bin" "${path%%:*}" "${path#*:}"
	done
}

# each_peer – a line each.
each_peer() {
	printf '%s\n' "$peers" | grep . || [ $? -eq 1 ] # none is fine
}

plan() {
	set -- "$work/qus" -s -- -p
	command_line noop 1 "$work/noop"
	for what in one all; do
		targets=
		often=20
		if [ $what = one ]; then
			targets=$one
			often=5
		fi
		command_line $what.floor 1 "$work/floor" "$work/$what"
		command_line $what.anchor 1 "$work/floor" "$work/$what" "$work/bin"
		# shellcheck disable=SC2086 # one target, or none for all
		{
			command_line $what.plain 1 "QEMU_BIN_DIR=$work/bin" "$@" --no-prove $targets
			command_line $what.hash $often "QEMU_BIN_DIR=$PWD/$emulators" "$@" --no-prove $targets
			command_line $what.prove $often "QEMU_BIN_DIR=$work/bin" "$@" $targets
			command_line $what.full $often "QEMU_BIN_DIR=$PWD/$emulators" "$@" $targets
		}
		command_line $what.script $often "PATH=$work/applets" "$work/applets/sh" "$work/script-$what" \
			--qemu-path "$work/bin" --qemu-suffix -static --persistent yes --preserve-argv0 yes
	done
	# What hashing those files costs others.
	# shellcheck disable=SC2046 # paths without spaces, or nothing would have worked so far
	{
		command_line sum.openssl 20 "$(command -v openssl)" dgst -sha256 $(cat "$work/files")
		command_line sum.sha256sum 20 "$(command -v sha256sum)" $(cat "$work/files")
	}
	each_peer | while IFS= read -r peer; do
		path=${peer#*=}
		# shellcheck disable=SC2086 # arguments separated by spaces
		command_line "peer.${peer%%=*}" 5 "QEMU_BIN_DIR=$work/bin" "QEMU_BINARY_PATH=$work/bin" "${path%%:*}" ${path#*:}
	done
}

need busybox:busybox-static openssl:openssl unshare:util-linux valgrind:valgrind
case $work in *[[:space:]]*) fail "cannot measure in $work: there is a space in it" ;; esac
[ "$(apart sh -c 'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && echo yes')" = yes ] ||
	fail "this kernel does not mount binfmt_misc in a user namespace" "Linux 6.7 and later do"

cp "target/dist/$host/qus" "$work/qus"
mkdir "$work/bin" "$work/applets" "$work/kept"
ln "$emulators"/qemu-* "$work/bin" # without SHA256SUMS nothing is hashed
busybox --install -s "$work/applets"
cp "$(qemu_script)" "$work/script-all"
sed "s/^_longopts=/qemu_target_list=$one\\n&/" "$work/script-all" >"$work/script-one"
lines "$work/bin" >"$work/all"
grep "^:qemu-$one:" "$work/all" >"$work/one" || fail "qus would not register $one here"
cut -d : -f 7 "$work/all" | sort -u >"$work/files"
plan >"$work/plan"
plan_count >"$work/plan.count"
(cd "$work" && ./measure "$(rounds 200)" <plan >results && ./measure 1 <plan.count >/dev/null)
(cd "$work" && grep -H 'Collected' count.* | sed 's/^count\.\(.*\):==.*: /\1\t/') >"$work/instructions"

where "$(emulators_version), $(commit)"
xargs stat -L -c %s <"$work/files" >"$work/sizes"
awk -F '\t' -v one="$one" -v counted="$work/instructions" -v size="$(wc -c <"$work/qus")" -v sizes="$work/sizes" -v file="$(stat -L -c %s "$(cut -d : -f 7 "$work/one")")" \
	-f bench/entrypoint.awk "$work/results"

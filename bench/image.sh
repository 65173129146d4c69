# `docker run` of the image: what it takes more than that of an image that does nothing; sourced by scripts/bench.
# Prints markdown.
#
# It uses a private engine of its own, and ends it. Handlers are registered for the whole machine, and removed after each
# run by the image itself; where there are handlers of QEMU already, they would be measured as "already there" and then
# removed, so that is refused. It needs root.
# shellcheck shell=sh disable=SC2154 # $work and $emulators are those of scripts/bench

# handlers – the names of QEMU's handlers on this machine, seen through a mount of its own for a moment.
handlers() {
	unshare --mount sh -c 'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && ls /proc/sys/fs/binfmt_misc' |
		grep '^qemu-' || [ $? -eq 1 ] # none is fine
}

# engine_down – at the end, whatever happens.
engine_down() {
	scripts/internal/manage-engine down
	left=$(handlers)
	[ -z "$left" ] || fail "handlers were left on this machine: $(echo "$left" | tr '\n' ' ')" "$image -- -r removes them"
}

plan() {
	set -- "$(command -v docker)" run --rm --privileged --network none
	command_line noop 1 "$@" qus-bench-noop
	for what in one all; do
		targets=
		[ $what = all ] || targets=$one
		# shellcheck disable=SC2086 # one target, or none for all
		{
			command_line $what.plain 1 "$@" "$image" -s -- -p --no-prove $targets
			command_line $what.full 1 "$@" "$image" -s -- -p $targets
		}
	done
	command_line lean.full 1 "$@" "$lean" -s -- -p
	command_line remove 1 "$@" "$image" -- -r
}

[ "$(id -u)" -eq 0 ] || fail "cannot run a private engine: not root" "use sudo"
# The tests of the images register on this machine, too.
mkdir -p "$QUS_CACHE"
exec 6>"$QUS_CACHE/tests.lock"
flock 6
found=$(handlers)
[ -z "$found" ] || fail "this machine has handlers of QEMU: $(echo "$found" | tr '\n' ' ')" "remove them first"

unset DOCKER_HOST DOCKER_CONTEXT
export QUS_ENGINE_DIR="$QUS_CACHE/bench-engine"
trap engine_down EXIT
trap 'exit 130' HUP INT TERM
engine=$(scripts/internal/manage-engine up)
eval "$engine"
image=$(scripts/build-image | tail -n 1)
lean=$(scripts/build-image --suite lean | tail -n 1)
(cd "$work" && tar -c noop | docker import --change 'ENTRYPOINT ["/noop"]' - qus-bench-noop >&2)
plan >"$work/plan"
(cd "$work" && ./measure "$(rounds 20)" \
	"docker run --rm --privileged --network none $image -- -r >/dev/null" <plan >results)

where "$(docker version --format 'Docker {{.Server.Version}}'), $(docker info --format '{{.Driver}}'), $(emulators_version), $(commit)"
awk -F '\t' -v one="$one" -f bench/image.awk "$work/results"

# What an engine leaves outside its own folder, and how to remove that again; sourced by what sets one up.
#
# Engines make a few folders at fixed places, cgroups, and mounts. Only what was not there before the engine came up
# is removed, only folders that are empty, and only mounts below the engine's folder.
# Needs $state, the engine's folder.
# shellcheck shell=sh disable=SC2154 # $state is set there

# note_absent PATH… – remember which of these do not exist yet.
note_absent() {
	mkdir -p "$state"
	for path in "$@"; do
		[ -e "$path" ] || echo "$path"
	done >"$state/absent"
}

# cgroup_dirs NAME – the folders of that cgroup in every hierarchy, innermost first.
cgroup_dirs() {
	find /sys/fs/cgroup -depth -type d \( -path "/sys/fs/cgroup/$1" -o -path "/sys/fs/cgroup/$1/*" \
		-o -path "/sys/fs/cgroup/*/$1" -o -path "/sys/fs/cgroup/*/$1/*" \)
}

# end_cgroup NAME – end what still runs in it, then remove it. The name must be the engine's own.
end_cgroup() {
	end_leftovers "$(for dir in $(cgroup_dirs "$1"); do cat "$dir/cgroup.procs"; done | sort -u)"
	remove_cgroup "$1"
}

remove_cgroup() {
	for dir in $(cgroup_dirs "$1"); do
		retry 20 rmdir "$dir" || say "cannot remove the cgroup $dir"
	done
}

# end_leftovers "PID…"
end_leftovers() {
	for pid in $1; do
		say "ending the left-over process $pid ($(cat "/proc/$pid/comm"))"
		kill -s KILL "$pid"
	done
}

# retry TENTHS COMMAND… – until it succeeds, for so many tenths of a second.
retry() (
	tenths=$1
	shift
	until "$@" 2>/dev/null; do
		[ "$tenths" -gt 0 ] || exit 1
		tenths=$((tenths - 1))
		sleep 0.1
	done
)

# has_ended PID
has_ended() {
	! kill -0 "$1" 2>/dev/null
}

# sweep – unmount what is mounted below $state, then remove it and the empty folders that were not there before.
sweep() {
	awk -v dir="$state/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac | while read -r mount; do
		retry 20 umount "$mount" || fail "cannot unmount $mount" "fuser -vm $mount shows who uses it"
	done
	# Not there if it came to nothing.
	[ ! -e "$state/absent" ] || while read -r path; do
		[ ! -d "$path" ] || find "$path" -depth -type d -empty -delete
	done <"$state/absent"
	rm -rf --one-file-system "$state"
}

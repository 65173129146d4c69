# A private store for the distribution's Podman (rootful); sourced by scripts/internal/manage-engine.
#
# Podman has no daemon: what is private is its images, containers and configuration, through a wrapper named podman.
# Needs lib/say.sh, lib/apt.sh, lib/traces.sh and $state, the store's folder.
# shellcheck shell=sh disable=SC2154 # $state is set by scripts/internal/manage-engine

podman_up() {
	driver=${1:-overlay}
	case $driver in
	overlay | vfs) ;;
	*) misuse "Podman stores images as overlay or vfs, not $driver" ;;
	esac
	if [ -e "$state/bin/podman" ]; then
		say "the private Podman store is there already"
		return
	fi
	need podman:podman runc:runc
	note_absent /run/runc /run/crun /run/netns /run/containers /run/libpod /var/lib/containers
	[ -n "$(cgroup_dirs libpod_parent)" ] || : >"$state/first-cgroup"
	mkdir -p "$state/bin"
	# Without CAP_SYS_RESOURCE Podman's own limits cannot be set; runc copes with every cgroup layout; the rest keeps
	# Podman's files in the folder.
	cat >"$state/containers.conf" <<-CONF
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		netns = "none"
		[network]
		network_config_dir = "$state/networks"
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "none"
		lock_type = "file"
		tmp_dir = "$state/tmp"
	CONF
	cat >"$state/podman" <<-WRAPPER
		#!/bin/sh
		unset DOCKER_CONFIG REGISTRY_AUTH_FILE
		export CONTAINERS_CONF='$state/containers.conf'
		exec $(command -v podman) --root '$state/root' --runroot '$state/run' --storage-driver $driver "\$@"
	WRAPPER
	chmod +x "$state/podman"
	"$state/podman" info >"$state/log" 2>&1 || fail "Podman does not work here" "its words: $state/log"
	mv "$state/podman" "$state/bin/"
}

podman_env() {
	cat <<-ENV
		export PODMAN='$state/bin/podman'
		export PATH='$state/bin':"\$PATH"
	ENV
}

podman_down() {
	say "removing the private Podman store"
	[ ! -e "$state/bin/podman" ] || "$state/bin/podman" rm --all --force --time 0 --volumes >/dev/null
	[ ! -e "$state/first-cgroup" ] || remove_cgroup libpod_parent
	! grep -qx /var/lib/containers "$state/absent" || rm -f /var/lib/containers/cache/blob-info-cache-v1.*
	sweep
}

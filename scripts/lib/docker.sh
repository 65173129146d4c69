# A private Docker engine, unpacked from Debian packages; sourced by scripts/internal/manage-engine.
#
# Needs lib/say.sh, lib/apt.sh, lib/traces.sh and $state, the engine's folder.
# shellcheck shell=sh disable=SC2154 # $state is set by scripts/internal/manage-engine

# docker_answers – does the engine of this environment answer, and can its command line build?
docker_answers() {
	command -v docker >/dev/null && docker version >/dev/null 2>&1 || return
	docker buildx version >/dev/null 2>&1 && return
	fail "a Docker engine answers, but there is no 'docker buildx'" "install the buildx plugin"
}

# docker_debs – print the paths of the pinned packages; where Debian has dropped a version, of the one it has now.
docker_debs() (
	arch=$(dpkg --print-architecture)
	rows=$(awk -v arch="$arch" '!/^#/ && $5 == arch' manifests/engine.lock)
	[ -n "$rows" ] || fail "manifests/engine.lock pins no Docker for $arch" "scripts/update-pins engine"
	echo "$rows" | while read -r _ _ release package arch version sha256 pool seen _; do
		apt_fetch "$release" "$package" "$arch" "$version" "$sha256" "$pool" "$seen" </dev/null ||
			docker_deb_of_today "$release" "$package" "$arch" </dev/null || exit
	done
)

docker_deb_of_today() (
	today=$(newest "$@") || exit
	read -r version sha256 pool _ <<-TODAY
		$today
	TODAY
	say "UNPINNED: taking $2 $version ($sha256), as $1's signed index has it today"
	apt_fetch "$@" "$version" "$sha256" "$pool"
)

# docker_root – print the folder that the packages are unpacked in: one for each set of packages.
docker_root() (
	debs=$(docker_debs) || exit
	root=$QUS_CACHE/docker/$(echo "$debs" | sha256sum | cut -c 1-16)
	lock "$root.lock"
	if [ ! -d "$root" ]; then
		rm -rf "$root.part"
		mkdir "$root.part" || exit
		echo "$debs" | while read -r deb; do
			unpack "$deb" "$root.part"
		done || exit
		mv "$root.part" "$root" || exit
	fi
	echo "$root"
)

# overlay_works – on the file system that the engine's folder is on?
overlay_works() (
	mkdir -p "$state/try/lower" "$state/try/upper" "$state/try/work" "$state/try/on"
	cd "$state/try" || exit
	mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay on 2>/dev/null && umount on
)

docker_up() {
	case $1 in
	overlay | '') driver=overlayfs ;;
	native) driver=native ;;
	*) misuse "Docker stores images as overlay or native, not $1" ;;
	esac
	[ ${#state} -le 60 ] || fail "$state is too long for a folder with sockets" "set QUS_ENGINE_DIR to a shorter one"
	if docker_runs; then
		say "the private Docker engine is up already"
		return
	fi
	[ ! -d "$state" ] || docker_down # what a crash has left
	need runc:runc
	root=$(docker_root) || exit
	logins=${DOCKER_CONFIG:-$HOME/.docker}
	note_absent "$logins" /opt/containerd /run/containerd /run/docker /run/runc
	mkdir -p "$state/config/cli-plugins" "$logins"
	if [ -z "$1" ] && ! overlay_works; then
		say "no overlay on top of $state: images will be plain directories (slow, large)"
		driver=native
	fi
	ln -s "$root/usr/bin" "$state/bin"
	ln -s "$root/usr/libexec/docker/cli-plugins/docker-buildx" "$state/config/cli-plugins/docker-buildx"
	echo '{}' >"$state/daemon.json" # not the machine's own
	# Its logins, though; started again in its own environment, those are here.
	[ "$logins" = "$state/config" ] || ln -s "$logins/config.json" "$state/config/config.json"
	say "starting Docker; its log: $state/log"
	PATH=$root/usr/bin:$root/usr/sbin:$PATH setsid dockerd \
		--data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/pid" -H "unix://$state/docker.sock" \
		--config-file "$state/daemon.json" --cgroup-parent "/$(docker_cgroup)" --exec-opt native.cgroupdriver=cgroupfs \
		--feature containerd-snapshotter=true --storage-driver "$driver" \
		--bridge=none --iptables=false --ip6tables=false </dev/null >"$state/log" 2>&1 &
	daemon=$!
	retry 300 docker_settled "$daemon"
	docker_runs && return
	tail -n 5 "$state/log" >&2
	fail "Docker did not come up" "its log: $state/log; scripts/internal/manage-engine down docker cleans up"
}

# docker_settled PID – it answers, or it has ended.
docker_settled() {
	docker_runs || has_ended "$1"
}

docker_env() {
	cat <<-ENV
		unset DOCKER_CONTEXT DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH BUILDX_BUILDER
		export DOCKER_HOST='unix://$state/docker.sock'
		export DOCKER_CONFIG='$state/config'
		export PATH='$state/bin':"\$PATH"
	ENV
}

docker_down() {
	say "ending the private Docker engine"
	if docker_runs; then
		pid=$(cat "$state/pid")
		own_docker ps -aq | while read -r container; do
			own_docker rm --force --volumes "$container" >/dev/null
		done
		kill "$pid"
		retry 300 has_ended "$pid" || say "Docker does not end"
	fi
	end_leftovers "$(docker_pids)"
	end_cgroup "$(docker_cgroup)"
	# A shim that was killed leaves its socket, at a fixed place under a name that its folder tells.
	grep -rhos '/run/containerd/s/[0-9a-f]*' "$state/exec" | xargs -r rm -f
	sweep
}

own_docker() (
	eval "$(docker_env)"
	docker "$@"
)

docker_runs() {
	[ -e "$state/pid" ] && own_docker version >/dev/null 2>&1
}

# docker_cgroup – a name of its own for each engine folder.
docker_cgroup() {
	echo "qus$state" | tr / -
}

# docker_pids – the daemons that work in the engine's folder: told by their command lines.
docker_pids() {
	grep -lsF -e "$state/exec" /proc/[0-9]*/cmdline | cut -d / -f 3 | while read -r pid; do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in # the grep itself has ended
		dockerd | containerd | containerd-shim) echo "$pid" ;;
		esac
	done
}

# The table of hosts (manifests/hosts), read; sourced after lib/say.sh.
# shellcheck shell=sh

# hosts – the names of all hosts that have an entrypoint.
hosts() {
	awk '!/^#/ && $3 != "-" { print $1 }' manifests/hosts
}

# all_hosts – those, and the ones that have emulators only.
all_hosts() {
	awk '!/^#/ { print $1 }' manifests/hosts
}

# host_debian, host_rust, host_platform HOST – its other names. An unknown host is an error, and so is a Rust target of
# one that has none.
host_debian() { host_column "$1" 2; }
host_rust() {
	rust=$(host_column "$1" 3) || exit
	[ "$rust" != - ] || misuse "there is no entrypoint for $1, only emulators (the family pkg)"
	echo "$rust"
}
host_platform() { host_column "$1" 5; }

host_column() {
	awk -v host="$1" -v column="$2" '$1 == host { print $column; found = 1 } END { exit !found }' manifests/hosts ||
		misuse "unknown host '$1'; known: $(all_hosts | tr '\n' ' ')"
}

# locks – the files that pin the emulators' packages, or their source.
locks() {
	for of in emulators fedora lean; do
		[ ! -e manifests/$of.lock ] || echo manifests/$of.lock
	done
}

# pins SUITE HOST – the rows of the packages that have the emulators; of SUITE latest, those of the newest suite that has
# HOST. Fails if there are none.
pins() {
	# shellcheck disable=SC2046 # one file or two
	awk -v suite="$1" -v host="$2" '
		!/^#/ && $2 == host && ($1 == suite || suite == "latest") { suite = $1; print; found = 1 }
		END { exit !found }' $(locks)
}

# hosts_of SUITE – those that it has emulators for.
hosts_of() {
	for host in $(all_hosts); do
		! pins "$1" "$host" >/dev/null || echo "$host"
	done
}

# need_pins SUITE [HOST…] – end the script where the suite is not pinned, or has nothing for one of these.
need_pins() {
	[ "$1" != fedora ] || [ -e manifests/fedora.lock ] || fail "nobody has pinned Fedora's packages here" \
		"scripts/update-pins fedora does, out of Fedora's repositories; it writes manifests/fedora.lock"
	qus_there=$(hosts_of "$1" | tr '\n' ' ')
	# shellcheck disable=SC2046 # one file or two
	[ -n "$qus_there" ] || misuse "unknown suite '$1'; known: latest $(awk '!/^#/ && !seen[$1]++ { printf "%s ", $1 }' $(locks))"
	qus_suite=$1
	shift
	for host in "$@"; do
		case " $qus_there" in *" $host "*) ;; *) misuse "the suite '$qus_suite' has nothing for '$host'; it has: $qus_there" ;; esac
	done
}

# this_host – the host that this machine is.
this_host() {
	arch=$(dpkg --print-architecture) || fail "cannot tell which host this machine is" "it takes dpkg: Debian 12 or newer"
	awk -v arch="$arch" '$2 == arch { print $1; found = 1 } END { exit !found }' manifests/hosts ||
		fail "this machine's Debian architecture, $arch, is none of the hosts in manifests/hosts"
}

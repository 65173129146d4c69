# The table of hosts (manifests/hosts), read; sourced after lib/say.sh.
# shellcheck shell=sh

# hosts – the names of all hosts.
hosts() {
	awk '!/^#/ { print $1 }' manifests/hosts
}

# host_debian, host_rust, host_platform HOST – its other names. An unknown host is an error.
host_debian() { host_column "$1" 2; }
host_rust() { host_column "$1" 3; }
host_platform() { host_column "$1" 4; }

host_column() {
	awk -v host="$1" -v column="$2" '$1 == host { print $column; found = 1 } END { exit !found }' manifests/hosts ||
		misuse "no host is called '$1'; there are: $(hosts | tr '\n' ' ')"
}

# this_host – the host that this machine is.
this_host() {
	arch=$(dpkg --print-architecture)
	awk -v arch="$arch" '$2 == arch { print $1; found = 1 } END { exit !found }' manifests/hosts ||
		fail "this machine's Debian architecture, $arch, is none of the hosts in manifests/hosts"
}

# Debian packages: from the system's apt, from another release or architecture, or pinned by hash; sourced.
#
#	need CMD:PACKAGE…           what is missing (CMD may be an absolute path of any file) is installed, if may_install; else it
#	                            is named, with the command that installs it, and the script ends
#	may_install                 was it asked for (QUS_INSTALL: scripts/quickstart, scripts/test --install), or is it CI's machine?
#	apt_root RELEASE ARCH…        print the APT_CONFIG of a private apt root for that release and these architectures; ARCH `source`:
#	                            for its source packages
#	newest RELEASE PACKAGE ARCH print VERSION SHA256 POOLPATH SOURCE=VERSION of a package, as the signed index has them
#	apt_fetch RELEASE PACKAGE ARCH VERSION SHA256 POOLPATH [SEEN]
#	                            print the path of that very .deb in the cache
#	unpack DEB FOLDER           all files of a .deb
#	source_fetch FOLDER RELEASE PACKAGE VERSION SHA256 POOLPATH [SEEN]
#	                            put the files of that very source package, whose .dsc has this hash, into the folder
#
# A private root never touches the system's lists, packages or configuration; it takes Debian's archive from the
# machine's own mirror (or QUS_DEBIAN_MIRROR) and believes only what Debian's archive keys have signed. apt_fetch
# needs no index as long as the pinned file is in the cache or in the pool; whatever brought it, the hash decides.
# QUS_SNAPSHOT_MIRROR names a snapshot archive (the part before /archive), for pins that have left the pool.
#
# Needs lib/say.sh. The functions may run at the same time in several processes.
# A function whose body is in parentheses keeps its variables to itself, which shellcheck takes for a mistake.
# shellcheck shell=sh disable=SC2030,SC2031

QUS_CACHE=${XDG_CACHE_HOME:-${HOME:-}/.cache}/qus
case $QUS_CACHE in /.cache/qus | [!/]*) fail "no place for the cache: $QUS_CACHE" "set HOME, or XDG_CACHE_HOME to a path from / on" ;; esac

# as_root COMMAND… – with sudo where it must be.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "cannot run '$*': not root, and there is no sudo"
	fi
}

# system_apt ARGUMENT… – the machine's own apt-get, one of ours at a time. In a session of its own: what ends a script halfway,
# Ctrl-C or the end of a CI job, must not end dpkg, which would refuse to work until `dpkg --configure -a`.
system_apt() (
	lock "$QUS_CACHE/system-apt.lock"
	as_root env DEBIAN_FRONTEND=noninteractive setsid --wait apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >&2
)

may_install() {
	[ -n "${QUS_INSTALL:-}" ] || { [ "${CI:-}" = true ] && [ "$(id -u)" -eq 0 ]; }
}

# apt_install PACKAGE… – or say how.
apt_install() {
	command -v apt-get >/dev/null || fail "these packages are missing: $*" "only apt can install them from here"
	may_install || fail "these packages are missing: $*" "sudo apt-get install --no-install-recommends $*"
	say "installing with apt: $*"
	system_apt install -y --no-remove --no-install-recommends "$@"
}

# apt_refresh – apt's lists, or say how.
apt_refresh() {
	may_install || fail "apt's lists have to be fresh, for $1" "sudo apt-get update"
	say "refreshing apt's lists, for $1"
	system_apt update || say "apt could not refresh all of its lists"
}

# Not in a subshell: a script without `set -e` has to end as well.
need() {
	qus_missing=
	for qus_pair in "$@"; do
		case $qus_pair in
		/*) [ -e "${qus_pair%%:*}" ] ;;
		*) command -v "${qus_pair%%:*}" >/dev/null ;;
		esac || qus_missing="$qus_missing ${qus_pair#*:}"
	done
	[ -n "$qus_missing" ] || return 0
	# shellcheck disable=SC2086 # a list of package names
	(apt_install $qus_missing || { apt_refresh "${qus_missing# }" && apt_install $qus_missing; } ||
		fail "cannot install$qus_missing" "apt's own message is above") || exit 1
}

# Only an archive with Debian's own label will do: security, backports and Ubuntu carry other labels.
known_mirror() {
	# shellcheck disable=SC2016 # apt's variable, not ours
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1
}

debian_mirror() (
	mirror=${QUS_DEBIAN_MIRROR:-$(known_mirror)}
	if [ -z "$mirror" ]; then
		apt_refresh "the machine's mirror" # a fresh container has none
		mirror=$(known_mirror)
	fi
	[ -n "$mirror" ] || fail "this machine's apt knows no Debian mirror" \
		"set QUS_DEBIAN_MIRROR to the URL of one (Ubuntu's own mirror does not carry Debian's packages)"
	echo "${mirror%/}"
)

# How old, in minutes, an index may be that is used again.
: "${QUS_APT_MAX_AGE:=720}"

apt_root() (
	release=$1
	shift
	root=$QUS_CACHE/apt/$release-$(echo "$*" | tr ' ' -)
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	need "$keyring:debian-archive-keyring"
	lock "$root/lock"
	mkdir -p "$root/etc/apt/apt.conf.d" "$root/etc/apt/preferences.d" "$root/var/lib/apt/lists/partial" \
		"$root/var/cache/apt/archives/partial" || exit
	if [ -z "$(find "$root/var" -name updated -mmin "-$QUS_APT_MAX_AGE")" ]; then
		mirror=$(debian_mirror) || exit 1
		case $release in *-security) mirror=$mirror-security ;; esac
		: >"$root/status"
		case $1 in
		source) echo "deb-src [signed-by=$keyring target=Sources] $mirror $release main" ;;
		*) echo "deb [signed-by=$keyring target=Packages] $mirror $release main" ;;
		esac >"$root/etc/apt/sources.list"
		apt_conf "$root" "$@" >"$root/apt.conf"
		# sid's Release may be past its date where the mirror lags; what is fetched is pinned by hash anyway.
		[ "$release" != sid ] || echo 'Acquire::Check-Valid-Until "false";' >>"$root/apt.conf"
		say "fetching the package index of $release ($*)"
		APT_CONFIG=$root/apt.conf apt-get -qq -o APT::Update::Error-Mode=any update >&2 || {
			rm -rf "$root/var/lib/apt/lists" # apt keeps damaged ones
			fail "cannot fetch the signed index of $release ($*)" \
				"a mirror that is being synchronised is complete later; QUS_DEBIAN_MIRROR chooses another"
		}
		touch "$root/var/updated"
	fi
	echo "$root/apt.conf"
)

# apt_conf ROOT ARCH… – takes how to reach a mirror (proxies, time limits) from the system's configuration, and nothing
# else: no hooks, no pins, no other formats.
apt_conf() {
	apt-config dump | sed -n '/^Acquire::\(http\|https\|Retries\|ForceIPv[46]\)[: ]/p'
	cat <<-CONF
		Dir "$1";
		Dir::State::status "$1/status";
		Dir::Cache::srcpkgcache "";
		APT::Sandbox::User "root";
		APT::Architecture "$2";
		Acquire::Languages "none";
	CONF
	shift
	printf 'APT::Architectures { '
	printf '"%s"; ' "$@"
	echo '};'
}

newest() (
	conf=$(apt_root "$1" "$3") || exit
	APT_CONFIG=$conf apt-cache show --no-all-versions "$2:$3" | awk '
		/^[A-Z]/ { field[$1] = $2; if ($1 == "Source:" && $3) version = substr($3, 2, length($3) - 2) }
		END {
			if (!field["SHA256:"]) exit 1
			source = field["Source:"] ? field["Source:"] : field["Package:"]
			if (!version) version = field["Version:"]
			print field["Version:"], field["SHA256:"], field["Filename:"], source "=" version
		}' || fail "the index of $1 has no $2:$3"
)

# is_sha256 FILE SHA256
is_sha256() {
	echo "$2  $1" | sha256sum --check --status -
}

# The sources of a package, each into the file $part. They share the variables of apt_fetch.
from_pool() {
	mirror=$(debian_mirror) || return
	case $release in *-security) mirror=$mirror-security ;; esac
	download "$mirror/$pool"
}
from_snapshot() {
	[ -n "${QUS_SNAPSHOT_MIRROR:-}" ] && [ -n "$seen" ] &&
		download "$QUS_SNAPSHOT_MIRROR/archive/debian/${seen}T235959Z/$pool"
}

# download URL – with apt's own methods: its proxies, retries and certificates. What an interrupted download has left is
# gone on with, if the file over there is still the same.
download() {
	/usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root download-file "$1" "$part" >&2
}

# cached FILE SHA256 WHAT SOURCE… – print FILE of the cache; what is not there, the first of the sources (from_SOURCE, above) has
# to have with that hash.
cached() {
	file=$1 sha256=$2 what=$3
	part=$file.unfinished
	shift 3
	lock "$file.lock"
	if [ -e "$file" ]; then
		if is_sha256 "$file" "$sha256"; then
			echo "$file"
			return
		fi
		mv "$file" "$file.bad"
		say "the cache held a damaged $what; kept as $file.bad"
	fi
	say "fetching $what"
	for source in "$@"; do
		"from_$source" || continue
		if is_sha256 "$part" "$sha256"; then
			mv "$part" "$file"
			echo "$file"
			return
		fi
		mv "$part" "$file.bad"
		say "from $source came a $what with the wrong sha256; kept as $file.bad"
	done
	[ "$(df --output=avail -k "${file%/*}" | tail -n 1)" -ge 1024 ] || fail "cannot fetch $what: no space left in ${file%/*}" \
		"the cache can be removed at any time; XDG_CACHE_HOME chooses another place"
	suite=$(awk -v sha256="${pinned:-$sha256}" 'index($0, sha256) { print $1; exit }' manifests/*.lock)
	fail "cannot fetch $what (sha256 $sha256)" \
		"if the mirror does not answer, QUS_DEBIAN_MIRROR chooses another; if it has a newer file, scripts/update-pins ${suite:-SUITE} takes a new pin, or QUS_SNAPSHOT_MIRROR may have the old one"
}

apt_fetch() (
	release=$1 pool=$6 seen=${7:-}
	cached "$QUS_CACHE/deb/$5.deb" "$5" "$2:$3 $4 of $1" pool snapshot
)

# unpack DEB FOLDER – all of its files, into a folder that need not be there.
unpack() {
	{ mkdir -p "$2" && dpkg-deb --extract "$1" "$2"; } || fail "cannot unpack $1 in $2" "the message above says why"
}

# The .dsc is pinned, and has the hashes of the other files.
source_fetch() (
	folder=$1 release=$2 package=$3 version=$4 pinned=$5 pool=$6 seen=${7:-}
	dsc=$(cached "$QUS_CACHE/source/$pinned.dsc" "$pinned" "the source package $package $version" pool snapshot) &&
		cp "$dsc" "$folder/${pool##*/}" || exit
	sed -n '/^Checksums-Sha256:/,/^Files:/s/^ \([0-9a-f]\{64\}\) [0-9]* \(.*\.tar\.[a-z0-9]*\)$/\1 \2/p' "$dsc" |
		while read -r sha256 archive; do
			pool=${pool%/*}/$archive
			file=$(cached "$QUS_CACHE/source/$sha256.${archive##*.}" "$sha256" "$archive" pool snapshot </dev/null) &&
				cp "$file" "$folder/$archive" || exit
		done
)

# Packages of Fedora: found in its repositories' metadata and verified, or pinned by hash; sourced.
#
#	rpm_dnf RELEASE ARCH COMMAND ARGUMENT…  dnf, in the repositories of manifests/fedora.repo
#	rpm_signed RELEASE ARCH FILE…           by a key of the release, all of them?
#	rpm_fetch RELEASE PACKAGE ARCH VERSION SHA256
#	                                        print the path of that very .rpm in the cache
#	fetched ROW…                            print the path of the package that a row of a lock pins, of Debian's or of Fedora's
#	rpm_unpack FILE FOLDER PATTERN…         the files of a .rpm whose names match
#
# Debian's dnf resolves and downloads, and checks the metadata and each package against it; rpmkeys checks signatures.
# Both get a configuration and a database of their own: nothing of the system's is read or changed. A pinned package need
# not be looked up again in a repository as long as it is in the cache; whatever brought it, the hash decides.
#
# Needs lib/say.sh and lib/apt.sh. The functions may run at the same time in several processes.
# A function whose body is in parentheses keeps its variables to itself, which shellcheck takes for a mistake.
# shellcheck shell=sh disable=SC2030,SC2031,SC2154

# fedora_keys – print the folder of the pinned keys.
fedora_keys() (
	row=$(awk '$1 == "keys"' manifests/keys.lock)
	# shellcheck disable=SC2086 # the columns
	set -- $row
	keys=$QUS_CACHE/rpm/keys-$7
	if [ ! -d "$keys" ]; then
		deb=$(apt_fetch "$3" "$4" "$5" "$6" "$7" "$8" "$9") || exit
		unpack "$deb" "$keys.$$" && mv "$keys.$$" "$keys" || exit
	fi
	echo "$keys/usr/share/distribution-gpg-keys"
)

# rpm_root RELEASE ARCH – print the folder of dnf's and rpm's files for that release.
rpm_root() (
	need dnf:dnf gpg:gnupg rpmkeys:rpm /usr/lib/python3/dist-packages/dnf-plugins/download.py:dnf-plugins-core
	root=$QUS_CACHE/rpm/$1-$2
	mkdir -p "$root/root" "$root/vars" || exit
	keys=$(fedora_keys) || exit
	echo "$keys" >"$root/vars/keys"
	{
		cat <<-CONF
			[main]
			installroot=$root/root
			cachedir=/cache
			persistdir=/state
			logdir=/log
			varsdir=$root/vars
			reposdir=/dev/null
			pluginconfpath=/dev/null
			skip_if_unavailable=False
		CONF
		cat manifests/fedora.repo
	} >"$root/dnf.conf.$$" && mv "$root/dnf.conf.$$" "$root/dnf.conf" || exit
	echo "$root"
)

# With --quiet, dnf does not say why a download failed.
rpm_dnf() (
	root=$(rpm_root "$1" "$2") || exit
	release=$1
	arch=$2
	shift 2
	lock "$root/lock"
	dnf --refresh --assumeyes --config="$root/dnf.conf" --releasever="$release" --forcearch="$arch" "$@"
)

# One without any signature is not signed.
rpm_signed() (
	root=$(rpm_root "$1" "$2") || exit
	keys=$(rpm_dnf "$1" "$2" config-manager --quiet --dump '*' | sed -n 's|^gpgkey = file://||p' | sort -u)
	[ -n "$keys" ] || fail "the repositories of manifests/fedora.repo name no gpgkey"
	shift 2
	make_work
	for key in $keys; do
		[ -e "$key" ] || fail "there is no key $key" "scripts/update-pins keys takes a newer package of keys"
		rpmkeys --dbpath "$work" --import "$key" || fail "not a key: $key"
	done
	rpmkeys --dbpath "$work" --define '_pkgverify_level all' --checksig "$@" >&2
)

from_dnf() {
	rpm_dnf "$release" "$arch" download --destdir="$part.dnf" "$package-$version.$arch" >&2 && mv "$part.dnf"/*.rpm "$part"
}

rpm_fetch() (
	release=$1 package=$2 arch=$3 version=$4
	cached "$QUS_CACHE/rpm/$5.rpm" "$5" "$package-$version.$arch of Fedora $release" dnf
)

fetched() {
	case $1 in
	fedora) shift 2 && rpm_fetch "$@" ;;
	*) shift 2 && apt_fetch "$@" ;;
	esac
}

rpm_unpack() (
	need rpm2cpio:rpm2cpio cpio:cpio
	rpm=$1
	mkdir -p "$2" && cd "$2" || exit
	shift 2
	rpm2cpio "$rpm" >rpm.cpio && cpio --quiet --extract --make-directories --preserve-modification-time \
		--no-absolute-filenames "$@" <rpm.cpio && rm rpm.cpio
)

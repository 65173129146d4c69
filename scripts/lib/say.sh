# How the scripts talk; sourced by them from the root of the tree.
#
# Stdout is for results, so everything here goes to stderr. An error says what failed, on what and why; a hint on
# its own line says what to do. Exit codes: 1 it failed, 2 wrong usage.
# shellcheck shell=sh

# They make the same for every user, umask and language: a CDPATH would send every `cd` to another folder than it
# names, and git refuses a tree of another user (sudo; a job in a container), whose scripts run already.
unset CDPATH
umask 022
export LC_ALL=C.UTF-8 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d : -f 6)}"

# say TEXT… – what is being done.
say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# fail TEXT [HINT] – end with 1.
fail() {
	say "$1"
	[ $# -lt 2 ] || printf '  hint: %s\n' "$2" >&2
	exit 1
}

# self – the path of the script from the root of the tree.
self() {
	find scripts -type f -name "${0##*/}"
}

# usage – the head comment of the script, which is its manual.
usage() {
	sed -n '2,/^[^#]/s/^#\( \|$\)//p' "$(self)"
}
# Tests print theirs.
case ${1:-} in -h | --help) [ -z "$(self)" ] || { usage && exit; } ;; esac

# misuse TEXT – end with 2.
misuse() {
	say "$1"
	printf '  hint: %s -h shows how it is used\n' "$(self)" >&2
	exit 2
}

# options "--NAME… --NAME=… --NAME+…" ARGUMENT… – read those that a script begins with: --NAME sets the variable NAME (- is _
# in there) to itself, one with = to the value that follows, one with + adds that. $taken is how many arguments they were.
options() {
	qus_known=" $1 "
	shift
	taken=$#
	while [ $# -gt 0 ]; do
		case $1 in
		-h | --help) usage && exit ;;
		-*[!a-z-]*) misuse "unknown option: $1" ;;
		-*) ;;
		*) break ;;
		esac
		qus_name=$(echo "${1#--}" | tr - _)
		case $qus_known in
		*" $1 "*) eval "$qus_name=\$1" ;;
		*" $1"[=+]" "*)
			[ $# -ge 2 ] || misuse "$1 needs a value"
			case $qus_known in *" $1= "*) eval "$qus_name=\$2" ;; *) eval "$qus_name=\"\$$qus_name \$2\"" ;; esac
			shift
			;;
		*) misuse "unknown option: $1" ;;
		esac
		shift
	done
	taken=$((taken - $#))
}

# from_here PATH – from the folder that the script was started in.
from_here() {
	case $1 in /*) ;; *) printf %s/ "$OLDPWD" ;; esac
	echo "$1"
}

# make_work [FOLDER] – make the folder $work, in FOLDER or where temporary files go; it goes when the script ends, however it ends.
# shellcheck disable=SC2120 # or none
make_work() {
	work=$(mktemp -d --tmpdir="${1:-}" qus.XXXXXX) || fail "cannot make a temporary folder" "mktemp's own message is above"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' HUP INT TERM
}

# replace FILE NEW – by the file NEW, unless they are the same. Without space for it, FILE stays as it was.
replace() {
	! cmp -s "$2" "$1" || return 0
	{ cp "$2" "$1.new" && mv "$1.new" "$1"; } || {
		rm -f "$1.new"
		fail "cannot replace $1" "the message above says why; nothing in it has changed"
	}
}

# lock FILE – wait for others that hold it, then hold it, as 9, as long as this shell and what it starts. Makes its folder.
lock() {
	{ mkdir -p "${1%/*}" && (: >>"$1"); } || fail "cannot write $1" \
		"the message above says why; if root made the folder: sudo chown -R $(id -un) '${1%/*}'; XDG_CACHE_HOME moves the cache"
	exec 9>"$1"
	flock 9
}

# Pushing to a registry by skopeo; sourced after lib/say.sh.
# shellcheck shell=sh

# name_repository REGISTRY[:PORT]/NAME – where push goes.
name_repository() {
	case $1 in */*) name=$1 ;; *) misuse "not REGISTRY/NAME: $1" ;; esac
}

# push FROM :TAG|@DIGEST – copy images, as they are.
push() {
	set -- "$1" "docker://$name$2"
	plain=
	case $name in
	localhost:* | 127.0.0.1:*)
		plain='--tls-verify=false '
		set -- --src-tls-verify=false --dest-tls-verify=false "$@"
		;;
	esac
	said=$(skopeo copy --quiet --all --preserve-digests "$@" 2>&1) && return
	printf '%s\n' "$said" >&2
	case $said in
	*[Uu]nauthorized* | *'authentication required'*) hint="log in: skopeo login $plain${name%%/*}" ;;
	*denied* | *[Ff]orbidden*) hint="who is logged in to ${name%%/*} may not push there; skopeo login changes that" ;;
	*refused* | *'no such host'* | *'i/o timeout'*) hint="is ${name%%/*} the right address, and does it answer?" ;;
	*) hint="skopeo's own message is above" ;;
	esac
	fail "cannot push to $name" "$hint"
}

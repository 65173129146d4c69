# What the entrypoint and an image say of the commit that they were made from; sourced after lib/say.sh and
# lib/apt.sh.
# shellcheck shell=sh

# version – that of the entrypoint.
version() {
	sed -n '/^version = /{s/.*"\(.*\)".*/\1/p;q;}' Cargo.toml
}

# revision – print the commit, and whether what is built is something else; nothing where this is no git checkout.
revision() {
	[ -e .git ] || return 0
	need git:git
	# The paths are what .dockerignore lets in, and what tells how to use it.
	{ commit=$(git rev-parse --verify HEAD) && changed=$(git status --porcelain -- Cargo.lock Cargo.toml LICENSE \
		manifests scripts src Containerfile docker-bake.hcl .dockerignore); } ||
		fail "cannot tell the commit of $PWD" "git's own message is above"
	echo "$commit${changed:+-modified}"
}

# name_commit – export VERSION, and in a git checkout REVISION and SOURCE_DATE_EPOCH, for docker-bake.hcl.
#
# The time is that of the commit that last changed the pins of the emulators: so their layer stays the same, byte for byte,
# until they change, and who has it need not pull it again for a new entrypoint.
name_commit() {
	VERSION=$(version)
	export VERSION
	REVISION=$(revision)
	if [ -n "$REVISION" ]; then
		SOURCE_DATE_EPOCH=$(git log -1 --format=%ct -- manifests/emulators.lock)
		export REVISION SOURCE_DATE_EPOCH
	else
		unset REVISION
		say "not a git checkout: the image says nothing of its commit, and its files have the time of their making"
	fi
}

# What an image says of the commit that it was made from; sourced after lib/say.sh.
# shellcheck shell=sh

# name_commit – export VERSION, and in a git checkout REVISION and SOURCE_DATE_EPOCH, for docker-bake.hcl.
#
# The time is that of the commit that last changed the pins of the emulators: so their layer stays the same, byte for byte,
# until they change, and who has it need not pull it again for a new entrypoint.
name_commit() {
	VERSION=$(sed -n '/^version = /{s/.*"\(.*\)".*/\1/p;q;}' Cargo.toml)
	export VERSION
	if REVISION=$(git rev-parse HEAD); then
		SOURCE_DATE_EPOCH=$(git log -1 --format=%ct -- manifests/emulators.lock)
		export REVISION SOURCE_DATE_EPOCH
	else
		say "not a git checkout: the image says nothing of its commit, and its files have the time of their making"
	fi
}

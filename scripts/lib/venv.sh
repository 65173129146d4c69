# Tools from PyPI that Debian doesn't have; sourced after lib/say.sh and lib/apt.sh.
# shellcheck shell=sh

# venv REQUIREMENTS – print the folder of a virtual environment in the cache that has exactly these, each pinned by hash.
venv() (
	need python3:python3
	python3 -c 'import ensurepip' 2>/dev/null || need "no ensurepip":python3-venv
	folder=$QUS_CACHE/venv/$(sha256sum "$1" | cut -c 1-16)
	lock "$folder.lock"
	if [ ! -e "$folder/ready" ]; then
		say "installing what $1 names into $folder"
		python3 -m venv --clear "$folder" >&2 || exit
		"$folder/bin/pip" --quiet --disable-pip-version-check install --require-hashes --only-binary :all: -r "$1" >&2 ||
			fail "cannot install what $1 names" "pip's own message is above; it takes PyPI, or a mirror that pip is configured for"
		: >"$folder/ready"
	fi
	echo "$folder"
)

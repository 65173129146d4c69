# What is linked into a program that cargo built, for its bill of materials, and what its licences want to be said with it;
# sourced after lib/say.sh, needs jq.
# shellcheck shell=sh

# of_crate NAME VERSION FILE – the path of that file of a crate: of the standard library's, or of ours.
of_crate() {
	set -- "$1-$2/$3" /usr/lib/rustlib/src/rust/library/vendor "${CARGO_HOME:-$HOME/.cargo}/registry/src"
	find "$2" "$3" -path "*/$1" 2>/dev/null | head -n 1
}

# linked SBOM – rows out of what cargo itself says it linked (its precursor of an SBOM), one for each crate and one for
# Rust's standard library: KIND NAME VERSION SHA256 SOURCE LICENCE…, with - for what there is not.
#
# The sha256 of a crate's archive is in Cargo.lock, ours or that of the standard library; its licence is in its manifest.
linked() {
	library=/usr/lib/rustlib/src/rust/library
	jq -r '
		def reached($now; $all): if $now == [] then $all else
			([.crates[$now[]].dependencies[] | select(.kind == "normal") | .index] | unique - $all) as $next |
			reached($next; $all + $next) end;
		.crates[reached([.root]; [.root])[]] | select(.kind != ["proc-macro"]) | .id |
		capture("^registry.*#(?<name>.*)@(?<version>.*)$") | .name + " " + .version' "$1" | sort -u |
		while read -r name version; do
			manifest=$(of_crate "$name" "$version" Cargo.toml)
			licence=$(sed -n 's,/, OR ,; s/^license = "\(.*\)"/\1/p' "${manifest:-/dev/null}")
			[ -n "$licence" ] || fail "cannot tell the licence of the crate $name $version" "it has no manifest with one"
			sha256=$(awk -v name="name = \"$name\"" -v version="version = \"$version\"" '
				/^name = / { here = $0 == name }
				/^version = / { here = here && $0 == version }
				here && /^checksum = / { print $3; exit }' Cargo.lock $library/Cargo.lock | tr -d '"')
			[ -n "$sha256" ] || fail "no Cargo.lock has the crate $name $version"
			echo "crate $name $version $sha256 - $licence"
		done || return
	# The latter parts are those of compiler_builtins, as its manifest says.
	jq -r '"std rust " + .rustc.version + " - " + .rustc.commit_hash +
		" (MIT OR Apache-2.0) AND MIT AND Apache-2.0 WITH LLVM-exception"' "$1"
}

# notices ROWS COPYRIGHT – what goes with a program: the licences of its parts, and the texts that must be there. ROWS is a file
# of rows as above, COPYRIGHT is Debian's account of musl's.
notices() {
	cat <<-TEXT
		What is linked into qus, and is not its own. Where there is a choice of licences, it is the Apache License 2.0,
		which is in the file LICENSE.

	TEXT
	sed -n 's/^[a-z]* \([^ ]*\) \([^ ]*\) [^ ]* [^ ]* \(.*[^-].*\)/\1 \2: \3/p' "$1" | sed 1d
	awk '$1 == "crate" && !/Apache-2.0/ { print $2, $3 }' "$1" | while read -r name version; do
		text=$(of_crate "$name" "$version" LICENSE)
		[ -n "$text" ] || fail "the crate $name $version has no file LICENSE"
		printf '\n\n== %s\n\n' "$name"
		cat "$text"
	done || return
	printf '\n\n== libm, in the standard library: under the same MIT licence\n\nCopyright (c) 2018 Jorge Aparicio\n'
	printf '\n\n== musl, some of which is in libm, too\n\n'
	cat "$2"
}

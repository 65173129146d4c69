# What is linked into a program that cargo built, for its bill of materials; sourced after lib/say.sh, needs jq.
# shellcheck shell=sh

# linked SBOM – rows out of what cargo itself says it linked (its precursor of an SBOM), one for each crate and one for
# Rust's standard library: KIND NAME VERSION SHA256 SOURCE LICENCE…, with - for what there is not.
#
# The sha256 of a crate's archive is in Cargo.lock, ours or that of the standard library; its licence is in its manifest.
linked() {
	library=/usr/lib/rustlib/src/rust/library
	registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
	jq -r '
		def reached($now; $all): if $now == [] then $all else
			([.crates[$now[]].dependencies[] | select(.kind == "normal") | .index] | unique - $all) as $next |
			reached($next; $all + $next) end;
		.crates[reached([.root]; [.root])[]] | select(.kind != ["proc-macro"]) | .id |
		capture("^registry.*#(?<name>.*)@(?<version>.*)$") | .name + " " + .version' "$1" | sort -u |
		while read -r name version; do
			manifest=$(find $library/vendor "$registry" -path "*/$name-$version/Cargo.toml" 2>/dev/null | head -n 1)
			licence=$(sed -n 's,/, OR ,; s/^license = "\(.*\)"/\1/p' "${manifest:-/dev/null}")
			[ -n "$licence" ] || fail "cannot tell the licence of the crate $name $version" "it has no manifest with one"
			sha256=$(awk -v name="name = \"$name\"" -v version="version = \"$version\"" '
				/^name = / { here = $0 == name }
				/^version = / { here = here && $0 == version }
				here && /^checksum = / { print $3; exit }' Cargo.lock $library/Cargo.lock | tr -d '"')
			[ -n "$sha256" ] || fail "no Cargo.lock has the crate $name $version"
			echo "crate $name $version $sha256 - $licence"
		done || return
	jq -r '"std rust " + .rustc.version + " - " + .rustc.commit_hash + " MIT OR Apache-2.0"' "$1"
}

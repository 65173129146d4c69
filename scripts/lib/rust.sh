# Debian's Rust, where the machine has none that is new enough; sourced after lib/say.sh and lib/apt.sh.
# shellcheck shell=sh

# rust_wanted – the oldest Rust that the crate takes.
rust_wanted() {
	sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml
}

# rust_is_new_enough RUSTC
rust_is_new_enough() {
	found=$("$1" --version | cut -d ' ' -f 2) || return
	[ "$(printf '%s\n' "$(rust_wanted)" "$found" | sort -V | head -n 1)" = "$(rust_wanted)" ]
}

# need_rust – the machine's own cargo if it is new enough, else Debian's.
need_rust() {
	need cc:gcc /usr/include/stdio.h:libc6-dev
	command -v cargo >/dev/null && command -v rustc >/dev/null && rust_is_new_enough rustc && return
	need_debian_rust
	export PATH="/usr/bin:$PATH"
}

# need_debian_rust – need /usr/bin/cargo, /usr/bin/rustc and the standard library's source, new enough for the crate.
# Bookworm and trixie have a current compiler beside their own old one, for web browsers; sid has one only. It comes
# with security updates: what is installed, or offered by lists of long ago, may be older than what there is.
need_debian_rust() {
	library=/usr/lib/rustlib/src/rust/library
	if [ -e $library ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && rust_is_new_enough /usr/bin/rustc; then
		return
	fi
	! may_install || apt_refresh "a current Rust"
	flavour=
	[ -z "$(apt-cache show --no-all-versions rustc-web 2>/dev/null)" ] || flavour=-web
	apt_install "rustc$flavour" "cargo$flavour" "rust$flavour-src" || fail "cannot install Debian's Rust" "apt's own message is above"
	rust_is_new_enough /usr/bin/rustc ||
		fail "this system's Rust is older than $(rust_wanted), which Cargo.toml asks for" \
			"build on Debian 12 or newer, with its security updates, or in a container of it"
}

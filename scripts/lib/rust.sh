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

# need_debian_rust [PACKAGE…] – install /usr/bin/cargo and /usr/bin/rustc, with the standard library's source for `-source`.
# Bookworm and trixie have a current compiler beside their own old one, for web browsers; sid has one only.
need_debian_rust() {
	library=/usr/lib/rustlib/src/rust/library
	if ! offered rustc-web && ! offered rustc; then
		say "fetching apt's package lists"
		system_apt update
	fi
	if offered rustc-web; then
		need /usr/bin/rustc:rustc-web /usr/bin/cargo:cargo-web $library:rust-web-src
	else
		need /usr/bin/rustc:rustc /usr/bin/cargo:cargo $library:rust-src
	fi
	rust_is_new_enough /usr/bin/rustc ||
		fail "this system's Rust is older than $(rust_wanted), which Cargo.toml asks for" \
			"build on Debian 12 or newer, or in a container of it"
}

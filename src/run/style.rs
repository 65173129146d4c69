//! How a handler shall be → the rule that makes it so.

use std::sync::LazyLock;

use nix::sys::utsname::uname;

use super::Style;
use crate::arch::{Arch, PREFIX};
use crate::rule::{Flags, Rule};

/// From this kernel on, QEMU learns through `AT_FLAGS` that flag `P` is set; before, it would take `argv[0]` for an argument.
const PRESERVE_ARGV0_SINCE: (u32, u32) = (5, 12);

/// The binary's name, as asked for.
pub(in crate::run) fn file_name(arch: &Arch, style: &Style) -> String {
    format!("{}{PREFIX}{}{}", style.prefix, arch.emulator, style.suffix)
}

/// The handler of a row; `file` is the binary that was found for it.
pub(in crate::run) fn rule(arch: &Arch, style: &Style, file: Option<&str>) -> Rule {
    let file = file.map_or_else(|| file_name(arch, style), str::to_owned);
    let path = style.dir().join(file);
    // The kernel would look for a relative path from wherever each program is started.
    let path = std::path::absolute(&path).unwrap_or(path);
    Rule {
        name: arch.entry(),
        matches: (&arch.pattern).into(),
        // A path that is not UTF-8 could only be said as another: none can't be registered.
        interpreter: path.into_os_string().into_string().unwrap_or_default(),
        flags: flags(style),
    }
}

/// Is this kernel one of those? Where it says nothing that makes sense, it is a new one.
static PRESERVES_ARGV0: LazyLock<bool> = LazyLock::new(|| {
    let version = |release: &str| {
        let mut numbers = release.split(['.', '-', '+']).map_while(|n| n.parse::<u32>().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    uname().ok().and_then(|u| version(u.release().to_str()?)).is_none_or(|v| v >= PRESERVE_ARGV0_SINCE)
});

/// The flags of a handler.
fn flags(style: &Style) -> Flags {
    Flags {
        preserve_argv0: style.preserve_argv0.unwrap_or_else(|| *PRESERVES_ARGV0),
        open_binary: style.credentials,
        credentials: style.credentials,
        fix_binary: style.persistent,
    }
}

/// Under which name a handler is tried out before it takes another one's place.
pub(in crate::run) fn trial_name(name: &str) -> String {
    format!("{name}.new")
}

//! How a handler shall be → the rule that makes it so.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;

use nix::sys::utsname::uname;

use crate::arch::{Arch, PREFIX};
use crate::emulators::Requirements;
use crate::error::{Error, Step};
use crate::host;
use crate::probe;
use crate::request::{HOST_DIR, HandlerOptions};
use crate::rule::{Flags, Rule};

/// From this kernel on, QEMU learns through `AT_FLAGS` that flag `P` is set; before, it would take `argv[0]` for an argument.
const PRESERVE_ARGV0_SINCE: (u32, u32) = (5, 12);

/// Where the binaries are in our image.
const IMAGE_DIR: &str = "/qus/bin";

impl HandlerOptions {
    /// The directory of the QEMU binaries.
    pub(crate) fn dir(&self) -> &Path {
        // One that is there and can't be looked at is not passed over: to open it says why.
        let is_missing = || std::fs::metadata(IMAGE_DIR).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        let usual = || if is_missing() { HOST_DIR } else { IMAGE_DIR };
        self.dir.as_deref().unwrap_or_else(|| Path::new(usual()))
    }
}

/// The binary's name, as asked for.
pub(in crate::commands) fn file_name(arch: &Arch, options: &HandlerOptions) -> String {
    format!("{}{PREFIX}{}{}", options.prefix, arch.emulator, options.suffix)
}

/// What is demanded of an emulator that is to run on this host, which runs programs of these machines itself.
pub(in crate::commands) fn requirements(is_static: bool) -> Requirements<'static> {
    Requirements { runs: probe::is_runnable, host: host::arch(), is_static }
}

/// The error where there is no emulator at all.
pub(in crate::commands) fn has_none(options: &HandlerOptions) -> Error {
    Error::new(Step::Open, options.dir().display().to_string(), "there is no QEMU binary in it")
        .hint("QEMU_BIN_DIR or --path says where they are; images tagged `register` carry none")
}

/// A remark on the binaries that were found under another name than was asked for, if there are any.
pub(in crate::commands) fn renamed<'a>(
    found: &mut dyn Iterator<Item = (&'a Arch, &'a str)>,
    options: &HandlerOptions,
) -> Option<String> {
    let mut others = found.filter(|(arch, file)| file_name(arch, options) != *file);
    let (arch, file) = others.next()?;
    let asked = file_name(arch, options);
    let more = if others.next().is_some() { ", and likewise for others" } else { "" };
    Some(format!("there is no {asked} in {}: using {file}{more}", options.dir().display()))
}

/// The handler of a row; `file` is the binary that was found for it.
pub(in crate::commands) fn rule(arch: &Arch, options: &HandlerOptions, file: Option<&str>) -> Rule {
    let file = file.map_or_else(|| file_name(arch, options), str::to_owned);
    let path = options.dir().join(file);
    // The kernel would look for a relative path from wherever each program is started.
    let path = std::path::absolute(&path).unwrap_or(path);
    Rule {
        name: arch.handler_name(),
        matches: (&arch.pattern).into(),
        // A path that is not UTF-8 could only be said as another: none can't be registered.
        interpreter: path.into_os_string().into_string().unwrap_or_default(),
        flags: flags(options),
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
fn flags(options: &HandlerOptions) -> Flags {
    Flags {
        preserve_argv0: options.preserve_argv0.unwrap_or_else(|| *PRESERVES_ARGV0),
        open_binary: options.credentials,
        credentials: options.credentials,
        fix_binary: options.persistent,
    }
}

/// Under which name a handler is tried out before it takes another one's place.
pub(in crate::commands) fn trial_name(name: &str) -> String {
    format!("{name}.new")
}

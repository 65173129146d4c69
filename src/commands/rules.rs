//! Options of handlers → rules.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;

use nix::sys::utsname::uname;

use crate::arch::{Arch, PREFIX};
use crate::emulators::{EmulatorDir, Requirements};
use crate::error::{Error, Result, Step};
use crate::host;
use crate::probe;
use crate::request::{HOST_DIR, HandlerOptions};
use crate::rule::{Flags, Rule};

/// Since this kernel, `AT_FLAGS` tells QEMU that flag `P` is set; before, it would take `argv[0]` for an argument.
const PRESERVE_ARGV0_SINCE: (u32, u32) = (5, 12);

/// The directory of the emulators in the image.
const IMAGE_DIR: &str = "/qus/bin";

impl HandlerOptions {
    /// The directory of the emulators.
    pub(crate) fn dir(&self) -> &Path {
        // Before anything is mounted over it. Any other error is reported when it is opened.
        static USUAL: LazyLock<&str> = LazyLock::new(|| match std::fs::symlink_metadata(IMAGE_DIR) {
            Err(e) if e.kind() == ErrorKind::NotFound => HOST_DIR,
            _ => IMAGE_DIR,
        });
        self.dir.as_deref().unwrap_or_else(|| Path::new(*USUAL))
    }

    /// Opens it.
    ///
    /// # Errors
    /// As for [`EmulatorDir::open`].
    pub(crate) fn open_dir(&self) -> Result<EmulatorDir> {
        EmulatorDir::open(self.dir(), &self.prefix, &self.suffix)
    }
}

/// The requested file name of an emulator.
pub(in crate::commands) fn file_name(arch: &Arch, options: &HandlerOptions) -> String {
    format!("{}{PREFIX}{}{}", options.prefix, arch.emulator, options.suffix)
}

/// The requirements for emulators on this host.
pub(in crate::commands) fn requirements(is_static: bool) -> Requirements<'static> {
    Requirements { runs: probe::is_runnable, host: host::arch(), is_static }
}

/// A hint for every command line.
pub(in crate::commands) const OTHER_DIR: &str =
    "QEMU_BIN_DIR sets the directory of the emulators, or --path, as for `qus install`";

/// The error if the directory has no emulator.
pub(in crate::commands) fn has_none(options: &HandlerOptions) -> Error {
    Error::at(Step::Check, options.dir(), "it has no emulators (qemu-TARGET)")
        .hint(format!("{OTHER_DIR}; images tagged `register` have none"))
}

/// A note about emulators that have another name than requested, if there are any.
pub(in crate::commands) fn renamed<'a>(
    found: &mut dyn Iterator<Item = (&'a Arch, &'a str)>,
    options: &HandlerOptions,
) -> Option<String> {
    let mut others = found.filter(|(arch, file)| file_name(arch, options) != *file);
    let (arch, file) = others.next()?;
    let asked = file_name(arch, options);
    let more = if others.next().is_some() { ", the same for others" } else { "" };
    Some(format!("no {asked} in {}: using {file}{more}", options.dir().display()))
}

/// The rule for an architecture; `file` is its emulator, if there is one.
pub(in crate::commands) fn rule(arch: &Arch, options: &HandlerOptions, file: Option<&str>) -> Rule {
    let file = file.map_or_else(|| file_name(arch, options), str::to_owned);
    // The kernel would resolve a relative path from the directory of each process. That of this one may be deleted.
    let path = std::path::absolute(options.dir().join(file)).unwrap_or_default();
    Rule {
        name: arch.handler_name(),
        matches: (&arch.pattern).into(),
        // An empty path can't be registered, and neither can one that isn't UTF-8.
        interpreter: path.into_os_string().into_string().unwrap_or_default(),
        flags: flags(options),
    }
}

/// Is this kernel new enough? Assumed if its version makes no sense.
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

/// The name of a trial handler, or of a stand-in.
pub(in crate::commands) fn trial_name(name: &str) -> String {
    format!("{name}{TRIAL}")
}

const TRIAL: &str = ".new";

/// The handler that one with such a name is for; a number follows where the usual name was taken.
pub(in crate::commands) fn tried_by(name: &str) -> Option<&str> {
    let unnumbered = || {
        let (usual, number) = name.split_at_checked(name.len().checked_sub(9)?)?;
        let is_number = number.strip_prefix('-')?.bytes().all(|b| b.is_ascii_hexdigit());
        is_number.then_some(usual)?.strip_suffix(TRIAL)
    };
    name.strip_suffix(TRIAL).or_else(unnumbered)
}

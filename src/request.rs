//! What can be requested. Data only; no I/O.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::arch::{ARCHES, Arch};
use crate::emulators::STATIC;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Print this text.
    Say(&'static str),
    /// Show the handlers.
    List,
    /// Show which platforms run here.
    Status {
        /// Where to mount binfmt_misc.
        mount: Option<PathBuf>,
    },
    /// Diagnose this host.
    Doctor,
    /// Register handlers.
    Install(Install),
    /// Register these handlers, and remove all others named `qemu-*`.
    Reset(Install),
    /// Remove handlers.
    Remove(Remove),
    /// Write files for the host's own tools, which register the handlers at boot.
    Export(Export),
    /// Write files that run qus at boot, in a cluster or before a service.
    Deploy(Deploy),
    /// Check the emulators.
    Verify(HandlerOptions),
    /// Show the versions of qus and of an emulator.
    Version(HandlerOptions),
    /// Check whether programs of these targets run here.
    Check {
        /// Which.
        targets: Targets,
        /// Also show the versions of their interpreters.
        version: bool,
    },
    /// Execute a program with private handlers.
    Run {
        /// The targets of these handlers.
        targets: Targets,
        /// Their options.
        options: HandlerOptions,
        /// The program and its arguments.
        words: Vec<OsString>,
    },
    /// Execute `sh` with these words.
    Shell(Vec<OsString>),
}

/// A set of targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// All.
    #[default]
    All,
    /// All but these. As with all, missing emulators are no error.
    AllBut(Vec<&'static str>),
    /// These.
    These(Vec<&'static str>),
}

impl Targets {
    /// Was each of them requested by its name?
    #[must_use]
    pub const fn are_named(&self) -> bool {
        matches!(self, Self::These(_))
    }

    /// The rows of the table, in its order.
    pub fn rows(&self) -> impl Iterator<Item = &'static Arch> + '_ {
        ARCHES.iter().filter(move |a| match self {
            Self::All => true,
            Self::AllBut(targets) => !targets.contains(&a.target),
            Self::These(targets) => targets.contains(&a.target),
        })
    }
}

/// Where packages install emulators.
pub const HOST_DIR: &str = "/usr/bin";

/// Options of handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerOptions {
    /// The directory of the emulators; `None`: the image's or the host's.
    pub dir: Option<PathBuf>,
    /// What precedes `qemu-TARGET` in their names.
    pub prefix: String,
    /// What follows `qemu-TARGET` in their names.
    pub suffix: String,
    /// Flag `F`: the kernel opens the emulator now, and keeps it open.
    pub persistent: bool,
    /// Flag `C`: setuid programs gain privileges.
    pub credentials: bool,
    /// Flag `P`: programs see their own `argv[0]`. `None`: if kernel and QEMU support it.
    pub preserve_argv0: Option<bool>,
}

impl Default for HandlerOptions {
    /// As for `-s -- -p`.
    fn default() -> Self {
        Self {
            dir: None,
            prefix: String::new(),
            suffix: STATIC.to_owned(),
            persistent: true,
            credentials: false,
            preserve_argv0: None,
        }
    }
}

/// Register handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// For which targets.
    pub targets: Targets,
    /// Of the handlers.
    pub options: HandlerOptions,
    /// Only show what would be done.
    pub dry_run: bool,
    /// Run a program of each target.
    pub prove: bool,
    /// Take precedence over third-party handlers.
    pub force: bool,
    /// Register again what is there already.
    pub replace: bool,
    /// In a user namespace: register even if that shadows handlers of the host.
    pub shadow_host: bool,
    /// Stay, and keep the handlers.
    pub hold: Option<Hold>,
    /// Where to mount binfmt_misc, instead of the usual directory.
    pub mount: Option<PathBuf>,
}

impl Install {
    /// Register these handlers, with the defaults of everything else.
    #[must_use]
    pub const fn new(targets: Targets, options: HandlerOptions) -> Self {
        Self {
            targets,
            options,
            dry_run: false,
            prove: true,
            force: false,
            replace: false,
            shadow_host: false,
            hold: None,
            mount: None,
        }
    }
}

/// Options of `hold`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Finally remove what this run has registered.
    pub clean: bool,
    /// Exit when a handler is lost, instead of registering it again.
    pub strict: bool,
}

/// Remove handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// Of which targets. All, or all but some, includes handlers named `qemu-*` of no known target.
    pub targets: Targets,
    /// Full names of other handlers, `qemu-*`, with the target that is meant if no handler has that name; or patterns of names.
    pub handlers: Vec<(String, Option<&'static str>)>,
    /// Full names of handlers to leave, whatever is requested.
    pub spared: Vec<String>,
    /// Remove them even if third-party handlers vanish with them.
    pub force: bool,
    /// Only show what would be done.
    pub dry_run: bool,
    /// Where to mount binfmt_misc, instead of the usual directory.
    pub mount: Option<PathBuf>,
}

impl Remove {
    /// Remove these, with the defaults of everything else.
    #[must_use]
    pub const fn of(targets: Targets) -> Self {
        Self { targets, handlers: Vec::new(), spared: Vec::new(), force: false, dry_run: false, mount: None }
    }
}

/// Does the name match a pattern with `*` (anything) and `?` (one byte)? Only the last `*` is ever extended, so the time is at
/// most the product of both lengths.
#[must_use]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The format of a file with handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// binfmt.d(5), read by systemd-binfmt.
    BinfmtD,
    /// The templates of binfmt-support's update-binfmts(8).
    UpdateBinfmts,
}

/// Write files with handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// For which targets.
    pub targets: Targets,
    /// Of the handlers.
    pub options: HandlerOptions,
    /// The format.
    pub format: Format,
    /// The directory to write to; `None`: stdout.
    pub to: Option<PathBuf>,
    /// The host that they are for, named as by `uname -m`; `None`: this one.
    pub host: Option<String>,
    /// Also if there is no emulator.
    pub force: bool,
    /// Only show what would be written.
    pub dry_run: bool,
}

/// What runs qus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// A systemd unit with an engine.
    Systemd(Engine),
    /// A systemd unit without one.
    SystemdHost,
    /// An `OpenRC` service without an engine.
    OpenRc,
    /// A `DaemonSet`.
    Kubernetes,
    /// A Compose service.
    Compose,
}

/// What runs the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker, which is a service.
    Docker,
    /// Podman, which isn't.
    Podman,
}

/// Write files that run qus. Its strings must have no character with a meaning in these files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// What runs it.
    pub by: Runner,
    /// For which targets.
    pub targets: Targets,
    /// The image.
    pub image: String,
    /// The path of qus on that host.
    pub program: String,
    /// The directory of the emulators on that host.
    pub dir: String,
    /// The directory to write to; `None`: stdout.
    pub to: Option<PathBuf>,
    /// Only show what would be written.
    pub dry_run: bool,
}

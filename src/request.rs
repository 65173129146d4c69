//! What can be asked for. Data only: nothing here touches a file.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::arch::{ARCHES, Arch};
use crate::emulators::STATIC;

/// One thing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Print this text.
    Say(&'static str),
    /// Show the handlers.
    List,
    /// Tell which platforms run here.
    Status {
        /// Where to mount binfmt_misc.
        mount: Option<PathBuf>,
    },
    /// Look for what is wrong.
    Doctor,
    /// Register handlers.
    Install(Install),
    /// Register these handlers, and remove all others that are called `qemu-*`.
    Reset(Install),
    /// Remove handlers. All, or all but some, are those that no target is known for, too.
    Remove(Remove),
    /// Write files of handlers for the host's own tools, which register at boot.
    Export(Export),
    /// Write files that have qus run: at boot, in a cluster, before a service.
    Deploy(Deploy),
    /// Check the binaries, and register nothing.
    Verify(HandlerOptions),
    /// Tell our version, and that of the binaries.
    Version(HandlerOptions),
    /// Tell whether programs of these targets run here.
    Check {
        /// Which.
        targets: Targets,
        /// Ask what runs them for its version, too.
        version: bool,
    },
    /// Execute a program with handlers of its own, in our place.
    Run {
        /// Which handlers it gets.
        targets: Targets,
        /// How they are.
        options: HandlerOptions,
        /// The program and its arguments.
        words: Vec<OsString>,
    },
    /// Give `sh` these words, in our place.
    Shell(Vec<OsString>),
}

/// Which targets are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// All that there are.
    #[default]
    All,
    /// All but these: as with all, what is not there is not missed.
    AllBut(Vec<&'static str>),
    /// These, by their own names.
    These(Vec<&'static str>),
}

impl Targets {
    /// Was each of them asked for by its name?
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

/// Where a host's package has the QEMU binaries.
pub const HOST_DIR: &str = "/usr/bin";

/// How a handler shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerOptions {
    /// The directory of the QEMU binaries; `None`: the image's own, or the host's.
    pub dir: Option<PathBuf>,
    /// What stands before `qemu-TARGET` in their names.
    pub prefix: String,
    /// What follows `qemu-TARGET` in their names.
    pub suffix: String,
    /// Flag `F`: open the binary now and keep it.
    pub persistent: bool,
    /// Flag `C`: credentials of the program.
    pub credentials: bool,
    /// Flag `P`: the program's own `argv[0]`. `None`: where the kernel supports it end to end.
    pub preserve_argv0: Option<bool>,
}

impl Default for HandlerOptions {
    /// As in `-s -- -p`.
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
    /// How they shall be.
    pub options: HandlerOptions,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Execute a program of each target at the end.
    pub prove: bool,
    /// Override handlers of other makers.
    pub force: bool,
    /// Register anew what would be kept.
    pub replace: bool,
    /// In a user namespace: go on where handlers of the host will be missed.
    pub shadow_host: bool,
    /// Stay, and keep them alive.
    pub hold: Option<Hold>,
    /// Where to mount binfmt_misc, if not where it is mounted usually.
    pub mount: Option<PathBuf>,
}

impl Install {
    /// Register these handlers, with proof, over nobody else's, and end.
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

/// How to stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Remove at the end what this run has registered.
    pub clean: bool,
    /// End when a handler is lost, rather than register it again.
    pub strict: bool,
}

/// Remove handlers. All, or all but some, are those that no target is known for, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// Of which targets; all: every handler named `qemu-*`.
    pub targets: Targets,
    /// Handlers called `qemu-*` that are no target's, by their whole names.
    pub handlers: Vec<String>,
    /// Remove them although that would take handlers of others along.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where to mount binfmt_misc, if not where it is mounted usually.
    pub mount: Option<PathBuf>,
}

impl Remove {
    /// Remove these, now.
    #[must_use]
    pub const fn of(targets: Targets) -> Self {
        Self { targets, handlers: Vec::new(), force: false, dry_run: false, mount: None }
    }
}

/// Whose file describes the handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// binfmt.d(5), read by systemd-binfmt.
    BinfmtD,
    /// The templates of binfmt-support's update-binfmts(8).
    UpdateBinfmts,
}

/// Write files of handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// For which targets.
    pub targets: Targets,
    /// How the handlers shall be.
    pub options: HandlerOptions,
    /// In which format.
    pub format: Format,
    /// Into which directory; `None`: to stdout.
    pub to: Option<PathBuf>,
    /// For which host (as `uname -m` or `HOST_ARCH` calls it); `None`: for this one.
    pub host: Option<String>,
    /// Only say what would be written.
    pub dry_run: bool,
}

/// What has qus run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// A unit of systemd, by an engine.
    Systemd(Engine),
    /// A unit of systemd, that needs no engine.
    SystemdHost,
    /// A service of `OpenRC`, that needs no engine.
    OpenRc,
    /// A `DaemonSet`.
    Kubernetes,
    /// A service of compose.
    Compose,
}

/// What runs the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker, which has a service of its own.
    Docker,
    /// Podman, which has none.
    Podman,
}

/// Write files that have qus run. The texts in it must have been checked for characters that have a meaning in such files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// By what.
    pub by: Runner,
    /// For which targets, in this order.
    pub targets: Targets,
    /// Which image.
    pub image: String,
    /// Where qus is on that host.
    pub program: String,
    /// Where the QEMU binaries are on that host.
    pub dir: String,
    /// Into which directory; `None`: to stdout.
    pub to: Option<PathBuf>,
    /// Only say what would be written.
    pub dry_run: bool,
}

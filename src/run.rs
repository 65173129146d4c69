//! What can be asked for, and the order in which it is done.
//!
//! This room says what a run is; the steps are told in `run/`, a file each.

mod alone;
mod deploy;
mod doctor;
mod export;
mod files;
mod hold;
mod install;
mod look;
mod platforms;
mod remove;
mod style;
mod verify;
mod version;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::anchor::Keeper;
use crate::arch::{ARCHES, Arch};
use crate::emulators::STATIC;
use crate::error::{Error, Result, Step};
use crate::probe::By;
use crate::rule::Entry;
use crate::sys;
pub use doctor::{Finding, Grade};
pub use hold::Stay;
pub use version::{REVISION, VERSION};

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
    /// Remove handlers.
    Remove(Remove),
    /// Write files of handlers for the host's own tools, which register at boot.
    Export(Export),
    /// Write files that have qus run: at boot, in a cluster, before a service.
    Deploy(Deploy),
    /// Check the binaries, and register nothing.
    Verify(Style),
    /// Tell our version, and that of the binaries.
    Version(Style),
    /// Tell whether programs of these targets run here.
    Check {
        /// Which.
        wanted: Wanted,
        /// Ask what runs them for its version, too.
        version: bool,
    },
    /// Execute a program with handlers of its own, in our place.
    RunAlone {
        /// Which handlers it gets.
        wanted: Wanted,
        /// How they are.
        style: Style,
        /// The program and its arguments.
        words: Vec<OsString>,
    },
    /// Give `sh` these words, in our place.
    Shell(Vec<OsString>),
}

/// Which targets are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All that there are.
    #[default]
    All,
    /// These, by their own names.
    These(Vec<&'static str>),
}

impl Wanted {
    /// The rows of the table, in its order.
    pub fn rows(&self) -> impl Iterator<Item = &'static Arch> + '_ {
        ARCHES.iter().filter(move |a| match self {
            Self::All => true,
            Self::These(targets) => targets.contains(&a.target),
        })
    }
}

/// How a handler shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
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

impl Default for Style {
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

impl Style {
    /// The directory of the QEMU binaries.
    #[must_use]
    pub fn dir(&self) -> &Path {
        // One that is there and can't be looked at is not passed over: to open it says why.
        let is_missing = || std::fs::metadata(IMAGE_DIR).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        let usual = || if is_missing() { HOST_DIR } else { IMAGE_DIR };
        self.dir.as_deref().unwrap_or_else(|| Path::new(usual()))
    }
}

/// Where the binaries are in our image.
const IMAGE_DIR: &str = "/qus/bin";
/// Where a host's package has them.
pub const HOST_DIR: &str = "/usr/bin";

/// Register handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// For which targets.
    pub wanted: Wanted,
    /// How they shall be.
    pub style: Style,
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
    /// Stay and keep them alive; `Some(true)`: remove them at the end.
    pub hold: Option<bool>,
    /// Where to mount binfmt_misc, if not where it is mounted usually.
    pub mount: Option<PathBuf>,
}

impl Install {
    /// Register these handlers, with proof, over nobody else's, and end.
    #[must_use]
    pub const fn new(wanted: Wanted, style: Style) -> Self {
        Self {
            wanted,
            style,
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

/// Remove handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// Of which targets; all: every handler named `qemu-*`.
    pub wanted: Wanted,
    /// Of all, these are kept.
    pub except: Vec<&'static str>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where to mount binfmt_misc, if not where it is mounted usually.
    pub mount: Option<PathBuf>,
}

impl Remove {
    /// Remove these, now.
    #[must_use]
    pub const fn of(wanted: Wanted) -> Self {
        Self { wanted, except: Vec::new(), dry_run: false, mount: None }
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
    pub wanted: Wanted,
    /// How the handlers shall be.
    pub style: Style,
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
    pub wanted: Wanted,
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

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// This text is the answer.
    Text(&'static str),
    /// These are the handlers.
    Listing {
        /// In the order of their names.
        entries: Vec<Entry>,
        /// `false`: the kernel uses none of them.
        enabled: bool,
    },
    /// What runs here.
    Status {
        /// OCI platforms, those that this kernel runs itself first.
        supported: Vec<&'static str>,
        /// The names of the handlers that are enabled.
        emulators: Vec<String>,
    },
    /// These architectures' programs ran, through what, and how long each took.
    Checked {
        /// In the order of the table.
        answers: Vec<Answer>,
    },
    /// What is right and wrong.
    Findings {
        /// In the order in which they are to be read.
        findings: Vec<Finding>,
    },
    /// The binaries were checked.
    Verified {
        /// How many are good.
        files: usize,
        /// How long these are together.
        bytes: u64,
        /// Were their digests compared?
        hashed: bool,
        /// How long it took.
        took: Duration,
    },
    /// What became of each target.
    Targets {
        /// A line each.
        lines: Vec<Line>,
        /// What keeps new handlers alive when we are gone.
        keeper: Option<Keeper>,
        /// Nothing was done; the lines say what would be.
        dry_run: bool,
    },
    /// This is qus [`VERSION`], of [`REVISION`].
    Version {
        /// One of the emulators: its path, and the first line of what it says.
        emulator: Option<(String, String)>,
    },
    /// These files were written, or would be.
    Files {
        /// Their paths, with what is in each where nothing was written.
        files: Vec<(PathBuf, Option<String>)>,
    },
    /// These files are the answer.
    Printed {
        /// Their names, and what is in each.
        files: Vec<(String, String)>,
        /// How they are told apart.
        apart: Apart,
    },
}

/// How several files are told apart where they are printed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// Not at all: together they are such a file, too.
    Not,
    /// By their names, in a comment.
    ByName,
    /// As documents of YAML.
    AsDocuments,
}

/// A program of one architecture ran.
#[derive(Debug)]
pub struct Answer {
    /// The name of its row.
    pub name: &'static str,
    /// What ran it.
    pub by: By,
    /// From fork to exit.
    pub took: Duration,
    /// What its interpreter says of itself, if that was asked for.
    pub version: Option<String>,
}

/// What became of one row of the table, or of one handler.
#[derive(Debug)]
pub struct Line {
    /// The handler's name without `qemu-`.
    pub name: String,
    /// What was done.
    pub state: State,
    /// The interpreter and the flags, where there is a handler.
    pub handler: Option<(String, String)>,
    /// How the binary was verified; `None` where it was not.
    pub verified: bool,
    /// How long a program of that architecture took to run.
    pub proof: Option<Duration>,
    /// The line that would be written to `register`, where nothing was done.
    pub rule: Option<String>,
}

impl Line {
    /// A line that says no more than this.
    fn new(name: &str, state: State) -> Self {
        Self { name: name.to_owned(), state, handler: None, verified: false, proof: None, rule: None }
    }
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Registered.
    Registered,
    /// Registered in the place of another handler of that name.
    Replaced,
    /// The same handler was there.
    Already,
    /// This kernel runs it itself.
    Native,
    /// Another maker's handler runs it.
    Foreign,
    /// Removed.
    Removed,
    /// There was none.
    Absent,
    /// There is no binary for it here.
    NotCarried,
    /// It failed; an error says why.
    Failed,
}

/// All that a run has to say.
#[derive(Debug, Default)]
pub struct Report {
    /// What came of each command.
    pub outcomes: Vec<Outcome>,
    /// What a user should know, though nothing failed.
    pub notes: Vec<String>,
    /// What failed.
    pub errors: Vec<Error>,
    /// Something that was only looked at is broken.
    pub is_unwell: bool,
    /// What is to be held from now on, once this report was read.
    pub stay: Option<Stay>,
}

impl Report {
    /// Something that a user should know; said once.
    fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}

/// Does what the commands say, one after the other. What fails stands in the report; later commands are still tried.
#[must_use]
pub fn run(commands: &[Command]) -> Report {
    let mut report = Report::default();
    sys::keep_ended_children();
    for command in commands {
        let done = match command {
            Command::Say(text) => Ok(Outcome::Text(text)),
            Command::List => look::list(),
            Command::Status { mount } => look::status(mount.as_deref()),
            Command::Install(request) => install::install(request, &mut report),
            Command::Remove(request) => remove::remove(request, &mut report),
            Command::Export(request) => export::export(request, &mut report),
            Command::Deploy(request) => Ok(deploy::deploy(request, &mut report)),
            Command::Doctor => doctor::doctor(&mut report),
            Command::Verify(style) => verify::verify(style, &mut report),
            Command::Version(style) => version::version(style, &mut report),
            Command::Check { wanted, version } => look::check(wanted, *version, &mut report),
            Command::RunAlone { wanted, style, words } => Err(alone::run(wanted, style, words)),
            Command::Shell(words) => Err(shell(words)),
        };
        match done {
            Ok(outcome) => report.outcomes.push(outcome),
            Err(error) => report.errors.push(error),
        }
    }
    report
}

/// Gives the words to `sh -c`, as one command line; without any, starts an interactive shell. Returns only if that fails.
fn shell(words: &[OsString]) -> Error {
    let mut command = std::process::Command::new("sh");
    if !words.is_empty() {
        command.arg("-c").arg(words.join(&OsString::from(" ")));
    }
    let error = Error::new(Step::Execute, "sh", command.exec());
    if matches!(&error.why, crate::error::Why::Errno(nix::errno::Errno::ENOENT)) {
        error.hint("this image is built from scratch and has no shell in it; -i works where there is one")
    } else {
        error
    }
}

fn rows_of(wanted: &Wanted) -> Vec<&'static Arch> {
    wanted.rows().collect()
}

type Done = Result<Outcome>;

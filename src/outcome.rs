//! What came of a run. Data only: the reports are made from this.

use std::path::PathBuf;
use std::time::Duration;

use crate::anchor::Keeper;
use crate::error::Error;
use crate::probe::RanBy;
use crate::rule::Entry;

/// The version of qus.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that scripts/build-entrypoint built this from, in a git checkout; `-modified` follows if there were changes.
pub const REVISION: Option<&str> = option_env!("QUS_REVISION");

/// The result of one command.
#[derive(Debug)]
pub enum Outcome {
    /// A text to print.
    Text(&'static str),
    /// The handlers.
    Listing {
        /// Sorted by name.
        entries: Vec<Entry>,
        /// `false`: binfmt_misc is disabled, and the kernel uses none of them.
        enabled: bool,
    },
    /// The platforms that run here.
    Status {
        /// OCI platforms, native ones first.
        supported: Vec<&'static str>,
        /// The names of the handlers that are enabled.
        emulators: Vec<String>,
        /// Could all programs be tried?
        is_known: bool,
    },
    /// Programs of these architectures ran.
    Checked {
        /// In the order of the table.
        results: Vec<CheckResult>,
    },
    /// A diagnosis.
    Findings {
        /// In reading order.
        findings: Vec<Finding>,
    },
    /// The emulators were checked.
    Verified {
        /// The targets that have a good one.
        targets: Vec<&'static str>,
        /// How many files are good.
        files: usize,
        /// Their total size.
        bytes: u64,
        /// Were digests compared?
        hashed: bool,
        /// How long it took.
        took: Duration,
    },
    /// The result for each target.
    Targets {
        /// Sorted by name.
        results: Vec<TargetResult>,
        /// Nothing was changed: the results are those that a run would have.
        dry_run: bool,
        /// They are for a user namespace, and end with it.
        in_user_namespace: bool,
    },
    /// [`VERSION`] and [`REVISION`].
    Version {
        /// The path of one emulator, and the first line of its version.
        emulator: Option<(String, String)>,
    },
    /// Files that were written, or would be.
    Files {
        /// Their paths; with contents if they were not written.
        files: Vec<(PathBuf, Option<String>)>,
    },
    /// Files to print.
    Printed {
        /// Their names and contents.
        files: Vec<(String, String)>,
        /// What separates them.
        separator: Separator,
    },
}

/// What separates several files on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// Nothing: together they are a file of that format.
    Not,
    /// Their names, in a comment.
    ByName,
    /// `---`, as YAML documents.
    AsDocuments,
}

/// A program that ran.
#[derive(Debug)]
pub struct CheckResult {
    /// The name of its architecture.
    pub name: &'static str,
    /// What ran it.
    pub by: RanBy,
    /// From fork to exit.
    pub took: Duration,
    /// The version of its interpreter, if requested.
    pub version: Option<String>,
}

/// The result for one architecture, or for one handler.
#[derive(Debug)]
pub struct TargetResult {
    /// The handler's name without `qemu-`.
    pub name: String,
    /// What was done, or is there.
    pub state: State,
    /// Interpreter and flags, if there is a handler.
    pub handler: Option<(String, String)>,
    /// Does the emulator match `SHA256SUMS`?
    pub verified: bool,
    /// How long a program of that architecture took to run.
    pub proof: Option<Duration>,
    /// The rule, for a dry run.
    pub rule: Option<String>,
    /// What keeps the handler after qus exits.
    pub keeper: Option<Keeper>,
    /// The third-party handler that runs its programs.
    pub left_to: Option<String>,
}

impl TargetResult {
    pub(crate) fn new(name: &str, state: State) -> Self {
        let name = name.to_owned();
        Self {
            name,
            state,
            handler: None,
            verified: false,
            proof: None,
            rule: None,
            keeper: None,
            left_to: None,
        }
    }
}

/// What was done for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Registered.
    Registered,
    /// Registered; it replaced another handler of that name.
    Replaced,
    /// The handler was there already.
    Already,
    /// This kernel runs its programs natively.
    Native,
    /// A third-party handler runs its programs.
    ThirdParty,
    /// Removed.
    Removed,
    /// There was no such handler.
    Absent,
    /// There is no emulator for it here.
    NotCarried,
    /// It failed; an error has the reason.
    Failed,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Of each command.
    pub outcomes: Vec<Outcome>,
    /// What users should know, although nothing failed.
    pub notes: Vec<String>,
    /// What failed.
    pub errors: Vec<Error>,
    /// `doctor` found something broken.
    pub unhealthy: bool,
}

impl Report {
    /// Adds a note, once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Fine.
    Good,
    /// It works, but may stop working.
    Warning,
    /// It doesn't work.
    Broken,
}

/// The diagnosis of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The thing.
    pub about: String,
    /// How bad it is.
    pub grade: Grade,
    /// What it is like.
    pub seen: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

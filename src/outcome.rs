//! What came of a run. Data only: the reports are made from this.

use std::path::PathBuf;
use std::time::Duration;

use crate::anchor::Keeper;
use crate::error::Error;
use crate::probe::RanBy;
use crate::rule::Entry;

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this was built from, if scripts/build-entrypoint built it in a git checkout; what follows it says that
/// there were changes.
pub const REVISION: Option<&str> = option_env!("QUS_REVISION");

/// What came of one command.
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
        results: Vec<CheckResult>,
    },
    /// What is right and wrong.
    Findings {
        /// In the order in which they are to be read.
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
        /// Were their digests compared?
        hashed: bool,
        /// How long it took.
        took: Duration,
    },
    /// What became of each target.
    Targets {
        /// Sorted by name.
        results: Vec<TargetResult>,
        /// Nothing was done; the results say what would be.
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
        separator: Separator,
    },
}

/// How several files are told apart where they are printed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// Not at all: together they are such a file, too.
    Not,
    /// By their names, in a comment.
    ByName,
    /// As documents of YAML.
    AsDocuments,
}

/// A program of one architecture ran.
#[derive(Debug)]
pub struct CheckResult {
    /// The name of its row.
    pub name: &'static str,
    /// What ran it.
    pub by: RanBy,
    /// From fork to exit.
    pub took: Duration,
    /// What its interpreter says of itself, if that was asked for.
    pub version: Option<String>,
}

/// What became of one row of the table, or of one handler.
#[derive(Debug)]
pub struct TargetResult {
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
    /// What keeps the handler alive when qus has exited.
    pub keeper: Option<Keeper>,
}

impl TargetResult {
    /// A line that says no more than this.
    pub(crate) fn new(name: &str, state: State) -> Self {
        let name = name.to_owned();
        Self { name, state, handler: None, verified: false, proof: None, rule: None, keeper: None }
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
    ThirdParty,
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
    pub unhealthy: bool,
}

impl Report {
    /// Something that a user should know; said once.
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
    /// As it should be.
    Good,
    /// It works, and may stop doing so.
    Warning,
    /// It doesn't work.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: String,
    /// How bad it is.
    pub grade: Grade,
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub remedy: Option<String>,
}

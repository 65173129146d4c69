//! What came of a run → text or JSON, and the exit code. It decides nothing else and writes nothing.

mod json;
mod text;
mod value;

use crate::arch::{ARCHES, Arch};
use crate::error::{Error, Exit, printable};
use crate::outcome::{Grade, REVISION, Report, VERSION};
use crate::probe::RanBy;
use crate::rule::{Entry, Match, Owner};

/// What is to be written where, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Results.
    pub stdout: String,
    /// Notes and errors.
    pub stderr: String,
    /// How it ended.
    pub exit: Exit,
}

/// A command line that was not understood.
#[must_use]
pub fn misuse(error: &Error) -> Rendered {
    Rendered { stdout: String::new(), stderr: error.line(), exit: error.exit() }
}

/// Everything that a run has to say, or with `quiet` what went wrong; a document that is asked for is printed all the same.
#[must_use]
pub fn render(report: &Report, json: bool, quiet: bool) -> Rendered {
    let unwell = report.unhealthy.then_some(Exit::Failed);
    let exit = report.errors.iter().map(Error::exit).chain(unwell).max().unwrap_or(Exit::Done);
    let stdout = match (json, quiet) {
        (true, _) => json::document(report, exit),
        (false, true) => String::new(),
        (false, false) => report.outcomes.iter().map(text::outcome).collect(),
    };
    let notes = report.notes.iter().filter(|_| !quiet).map(|n| format!("qus: note: {}\n", printable(n)));
    let stderr = notes.chain(report.errors.iter().map(Error::line)).collect();
    Rendered { stdout, stderr, exit }
}

const fn grade_key(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "ok",
        Grade::Warning => "warn",
        Grade::Broken => "broken",
    }
}

const fn by_key(by: &RanBy) -> Option<&'static str> {
    match by {
        RanBy::Kernel => Some("kernel"),
        RanBy::Interpreter(_) => Some("interpreter"),
        RanBy::Unknown => None,
    }
}

/// Which row of the table its programs are of.
fn architecture(entry: &Entry) -> String {
    let takes = |a: &&Arch| Entry { enabled: true, ..entry.clone() }.matches(a.pattern.magic());
    match (&entry.matches, ARCHES.iter().find(takes)) {
        (_, Some(arch)) => arch.name.to_owned(),
        (Match::Extension(dot), None) => format!("*.{dot}"),
        (_, None) => "-".to_owned(),
    }
}

/// Whose a handler is, as it is called in all reports.
fn owner(entry: &Entry) -> &'static str {
    match entry.owner() {
        Owner::Qus => "qus",
        Owner::Distribution => "distribution",
        Owner::Qemu => "qemu",
        Owner::Wsl => "wsl",
        Owner::ThirdParty => "third-party",
    }
}

fn version(emulator: Option<&(String, String)>) -> String {
    let revision = REVISION.map(|r| format!(" ({r})")).unwrap_or_default();
    let emulator = emulator.map(|(path, says)| format!("{path}: {says}\n")).unwrap_or_default();
    format!("qus {VERSION}{revision}\n{emulator}")
}

//! Renders a report as text or JSON, with its exit code. Writes nothing.

mod json;
mod text;
mod value;

use crate::arch::{ARCHES, Arch};
use crate::error::{Error, Exit, printable};
use crate::outcome::{Grade, REVISION, Report, VERSION};
use crate::probe::RanBy;
use crate::rule::{Entry, Match, Owner};

/// A rendered report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Results.
    pub stdout: String,
    /// Notes and errors.
    pub stderr: String,
    /// The exit code.
    pub exit: Exit,
}

/// Renders a usage error.
#[must_use]
pub fn misuse(error: &Error) -> Rendered {
    Rendered { stdout: String::new(), stderr: error.line(), exit: error.exit() }
}

/// Renders a report: notes before errors, so that stderr ends with an error. `quiet` leaves only errors, and the JSON document if
/// requested.
#[must_use]
pub fn render(report: &Report, json: bool, quiet: bool) -> Rendered {
    let unhealthy = report.unhealthy.then_some(Exit::Failed);
    let exit = report.errors.iter().map(Error::exit).chain(unhealthy).max().unwrap_or(Exit::Done);
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

/// The architecture of its programs.
fn architecture(entry: &Entry) -> String {
    let takes = |a: &&Arch| Entry { enabled: true, ..entry.clone() }.matches(a.pattern.magic());
    match (&entry.matches, ARCHES.iter().find(takes)) {
        (_, Some(arch)) => arch.name.to_owned(),
        (Match::Extension(dot), None) => format!("*.{dot}"),
        (_, None) => "-".to_owned(),
    }
}

/// The owner of a handler, in text and JSON.
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

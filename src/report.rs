//! Renders a report as text or JSON, with its exit code. Writes nothing.

mod json;
mod text;
mod value;

use crate::anchor::Keeper;
use crate::arch::ARCHES;
use crate::error::{Error, Exit, printable};
use crate::outcome::{Grade, Outcome, REVISION, Report, TargetResult, VERSION};
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

/// What to render.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// A JSON document to stdout.
    pub json: bool,
    /// Only errors, and the JSON document.
    pub quiet: bool,
    /// The status alone as JSON, and the results of targets as text to stderr.
    pub brief: bool,
}

/// Renders a report. Errors come last, so that stderr ends with one.
#[must_use]
pub fn render(report: &Report, Form { json, quiet, brief }: Form) -> Rendered {
    let unhealthy = report.unhealthy.then_some(Exit::Failed);
    let exit = report.errors.iter().map(Error::exit).chain(unhealthy).max().unwrap_or(Exit::Done);
    let is_short = |o: &&Outcome| brief && matches!(o, Outcome::Targets { .. });
    let stdout = match (json || brief, quiet) {
        (true, _) => json::document(report, report.outcomes.iter().filter(|o| !is_short(o)), exit),
        (false, true) => String::new(),
        (false, false) => report.outcomes.iter().map(text::outcome).collect(),
    };
    let short = report.outcomes.iter().filter(|o| is_short(o) && !quiet).map(text::outcome);
    let notes = report.notes.iter().filter(|_| !quiet).map(|n| format!("qus: note: {}\n", printable(n)));
    let stderr = short.chain(notes).chain(report.errors.iter().map(Error::line)).collect();
    Rendered { stdout, stderr, exit }
}

/// The least sure keeper of all; none where that of one isn't known.
fn least_keeper<'a>(mut results: impl Iterator<Item = &'a TargetResult>) -> Option<Keeper> {
    let least = |least: Option<Keeper>, line: &TargetResult| match line.handler {
        Some(_) => Some(least.max(Some(line.keeper?))),
        None => Some(least),
    };
    results.try_fold(None, least).flatten()
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

/// The architecture of its programs, if it takes those of one machine only.
fn architecture(entry: &Entry) -> String {
    let entry = Entry { enabled: true, ..entry.clone() };
    let mut taken = ARCHES.iter().filter(|a| entry.matches(a.pattern.magic()));
    match (&entry.matches, taken.next()) {
        (_, Some(arch)) if taken.all(|a| a.machine_bytes() == arch.machine_bytes()) => arch.name.to_owned(),
        (Match::Extension(dot), None) => format!("*.{dot}"),
        _ => "-".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_of_all_machines_has_no_architecture() {
        let of =
            |magic: &str| architecture(&Entry::parse("x", format!("enabled\nmagic {magic}\n").as_bytes()));
        // All ELF files, and those of 64 bits with the big end first.
        assert_eq!((of("7f454c46"), of("7f454c460202")), ("-".into(), "-".into()));
        let of_flags = Entry::parse("x", b"enabled\noffset 18\nmagic 0008\n");
        assert_eq!(architecture(&of_flags), "-", "mips and mips64");
        let mips = "7f454c460102010000000000000000000002000800000001000000000000000000000000";
        assert_eq!(of(mips), "mips");
        assert_eq!(of(&mips[..40]), "mips", "and mipsn32, of the same machine");
    }
}

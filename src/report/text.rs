//! A report as text.

use std::fmt::Write;
use std::time::Duration;

use super::{architecture, grade_key, least_keeper, owner, version};
use crate::anchor::Keeper;
use crate::error::printable;
use crate::outcome::{CheckResult, Finding, Outcome, Separator, State, TargetResult};
use crate::probe::RanBy;
use crate::rule::Entry;

pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Text(text) => (*text).to_owned(),
        Outcome::Listing { entries, enabled } => listing(entries, *enabled),
        Outcome::Status { supported, emulators, is_known } => {
            let list = |title: &str, items: String, none: &str| {
                let items = if items.is_empty() { none.to_owned() } else { items };
                format!("{title}: {}\n", printable(&items))
            };
            let none = if *is_known { "none" } else { "unknown" };
            list("runs here", supported.join(" "), none) + &list("handlers", emulators.join(" "), "none")
        }
        Outcome::Checked { results } => {
            let row = |a: &CheckResult| {
                vec![
                    a.name.to_owned(),
                    by_text(&a.by),
                    milliseconds(a.took),
                    a.version.clone().unwrap_or_default(),
                ]
            };
            table(&results.iter().map(row).collect::<Vec<_>>())
        }
        Outcome::Findings { findings } => findings.iter().map(finding).collect(),
        Outcome::Verified { targets, files, bytes, hashed, took } => {
            let what = if *hashed { "verified" } else { "checked" };
            // Integers: formatting floats would add 2% to the program.
            let hundredths = bytes * 100 / u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
            let rate = format!(", {}.{:02} GB/s", hundredths / 100, hundredths % 100);
            let rate = if *hashed { rate } else { String::new() };
            let (size, took) = (bytes / 1_000_000, milliseconds(*took));
            format!("targets: {}\n{what} {files} files, {size} MB in {took}{rate}\n", targets.join(" "))
        }
        Outcome::Version { emulator } => version(emulator.as_ref()),
        Outcome::Targets { results, dry_run, in_user_namespace } => {
            targets(results, *dry_run, *in_user_namespace)
        }
        Outcome::Files { files } => files
            .iter()
            .map(|(path, text)| match text {
                None => format!("wrote {}\n", printable(&path.to_string_lossy())),
                Some(text) => {
                    format!("would write {}:\n{}", printable(&path.to_string_lossy()), indented(text))
                }
            })
            .collect(),
        Outcome::Printed { files, separator } => files
            .iter()
            .map(|(name, text)| match separator {
                Separator::Not => text.clone(),
                Separator::ByName => format!("# {name}\n{text}"),
                Separator::AsDocuments => format!("---\n{text}"),
            })
            .collect(),
    }
}

fn finding(f: &Finding) -> String {
    let remedy = f.remedy.as_ref().map(|r| format!("{:11}→ {}\n", "", printable(r))).unwrap_or_default();
    format!("{:9}  {}: {}\n{remedy}", grade_key(f.grade), printable(&f.about), printable(&f.seen))
}

fn by_text(by: &RanBy) -> String {
    match by {
        RanBy::Kernel => "runs natively",
        RanBy::Interpreter(_) => "runs through an interpreter",
        RanBy::Unknown => "runs",
    }
    .to_owned()
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", (took.as_millis() as u64).max(1))
}

fn indented(text: &str) -> String {
    text.lines().map(|l| format!("  {l}\n")).collect()
}

/// Columns as wide as their contents, without trailing spaces.
fn table(rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let shown = |row: &Vec<String>| row.iter().map(|cell| printable(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}  ")).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn listing(entries: &[Entry], enabled: bool) -> String {
    let header =
        ["NAME", "STATE", "FLAGS", "ARCHITECTURE", "OWNER", "INTERPRETER"].map(str::to_owned).to_vec();
    let rows = entries.iter().map(|e| {
        let state = if e.enabled { "enabled" } else { "disabled" };
        vec![
            e.name.clone(),
            state.into(),
            dash(&e.flags),
            architecture(e),
            owner(e).into(),
            e.interpreter.clone(),
        ]
    });
    let mut out = if entries.is_empty() {
        "no handlers\n".to_owned()
    } else {
        table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
    };
    if !enabled {
        out.push_str("binfmt_misc is disabled: the kernel uses none of them\n");
    }
    out
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn targets(lines: &[TargetResult], dry_run: bool, in_user_namespace: bool) -> String {
    let shown: Vec<_> = lines.iter().filter(|l| l.state != State::NotCarried).collect();
    let rows: Vec<_> = shown
        .iter()
        .map(|l| {
            let (interpreter, flags) = l.handler.clone().unwrap_or_default();
            let proof = match (l.state, l.proof) {
                (State::Native, _) => "native, nothing to do".to_owned(),
                (State::ThirdParty, _) => {
                    format!("handled by {}, left alone", l.left_to.as_deref().unwrap_or("-"))
                }
                (_, Some(took)) => format!("runs ({})", milliseconds(took)),
                (_, None) => String::new(),
            };
            vec![l.name.clone(), word(l.state, dry_run).to_owned(), flags, interpreter, proof]
        })
        .collect();
    let mut out = table(&rows);
    for line in shown {
        if let Some(rule) = &line.rule {
            let _ = writeln!(out, "  {rule}");
        }
    }
    let left_out: Vec<_> =
        lines.iter().filter(|l| l.state == State::NotCarried).map(|l| l.name.as_str()).collect();
    if !left_out.is_empty() {
        let _ = writeln!(out, "no emulator here for: {}", left_out.join(" "));
    }
    if rows.is_empty() && left_out.is_empty() {
        out.push_str("nothing to do\n");
    }
    if let Some(keeper) = least_keeper(lines.iter()) {
        let _ = writeln!(out, "they stay {}", keeper_text(keeper, in_user_namespace));
    }
    out
}

const fn word(state: State, dry_run: bool) -> &'static str {
    match (state, dry_run) {
        (State::Registered, true) => "would be registered",
        (State::Replaced, true) => "would be replaced",
        (State::Removed, true) => "would be removed",
        (State::Registered, false) => "registered",
        (State::Replaced, false) => "replaced",
        (State::Removed, false) => "removed",
        (State::Already, _) => "already there",
        (State::Native, _) => "native",
        (State::ThirdParty, _) => "third-party",
        (State::Absent, _) => "not there",
        (State::NotCarried, _) => "no emulator",
        (State::Failed, _) => "failed",
    }
}

const fn keeper_text(keeper: Keeper, in_user_namespace: bool) -> &'static str {
    match keeper {
        Keeper::Host => "until the next boot (the host has binfmt_misc mounted)",
        Keeper::Anchor if in_user_namespace => {
            "until this user namespace ends (anchored: the handlers hold the mount of binfmt_misc)"
        }
        Keeper::Anchor => "until the next boot (anchored: the handlers hold the mount of binfmt_misc)",
        Keeper::Unseen => "as long as something that qus cannot see holds binfmt_misc",
        Keeper::Process => "as long as this process runs",
    }
}

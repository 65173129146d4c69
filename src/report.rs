//! What came of a run → text or JSON, and the exit code. It decides nothing else and writes nothing.

mod json;

use std::fmt::Write;
use std::time::Duration;

use crate::anchor::Keeper;
use crate::arch::{ARCHES, PREFIX};
use crate::error::{Error, Exit, printable};
use crate::plan::is_qemu;
use crate::probe::By;
use crate::rule::{Entry, Match};
use crate::run::{Answer, Apart, Finding, Grade, Line, Outcome, REVISION, Report, State, VERSION};
use json::Json;

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
    Rendered { stdout: String::new(), stderr: format!("qus: {error}\n"), exit: error.exit() }
}

/// Everything that a run has to say, or with `quiet` what went wrong; a document that is asked for is printed all the same.
#[must_use]
pub fn render(report: &Report, json: bool, quiet: bool) -> Rendered {
    let unwell = report.is_unwell.then_some(Exit::Failed);
    let exit = report.errors.iter().map(Error::exit).chain(unwell).max().unwrap_or(Exit::Done);
    let stdout = match (json, quiet) {
        (true, _) => as_json(report, exit),
        (false, true) => String::new(),
        (false, false) => report.outcomes.iter().map(text).collect(),
    };
    let notes = report.notes.iter().filter(|_| !quiet).map(|n| format!("qus: note: {}\n", printable(n)));
    let stderr = notes.chain(report.errors.iter().map(|e| format!("qus: {e}\n"))).collect();
    Rendered { stdout, stderr, exit }
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Text(text) => (*text).to_owned(),
        Outcome::Listing { entries, enabled } => listing(entries, *enabled),
        Outcome::Status { supported, emulators } => {
            let list = |title: &str, items: String| {
                let items = if items.is_empty() { "none".to_owned() } else { items };
                format!("{title}: {}\n", printable(&items))
            };
            list("runs here", supported.join(" ")) + &list("handlers", emulators.join(" "))
        }
        Outcome::Checked { answers } => {
            let row = |a: &Answer| {
                [
                    a.name.to_owned(),
                    by_text(&a.by),
                    milliseconds(a.took),
                    a.version.clone().unwrap_or_default(),
                ]
            };
            table(&answers.iter().map(row).collect::<Vec<_>>())
        }
        Outcome::Findings { findings } => findings.iter().map(finding).collect(),
        Outcome::Verified { files, bytes, hashed, took } => {
            let what = if *hashed { "verified" } else { "checked" };
            // In whole numbers: what writes fractions would be 2% of the program.
            let hundredths = u128::from(*bytes) * 100 / took.as_nanos().max(1);
            let rate = format!(", {}.{:02} GB/s", hundredths / 100, hundredths % 100);
            let rate = if *hashed { rate } else { String::new() };
            format!("{what} {files} binaries, {} MB in {}{rate}\n", bytes / 1_000_000, milliseconds(*took))
        }
        Outcome::Version { emulator } => version(emulator.as_ref()),
        Outcome::Targets { lines, keeper, dry_run } => targets(lines, *keeper, *dry_run),
        Outcome::Files { files } => files
            .iter()
            .map(|(path, text)| match text {
                None => format!("wrote {}\n", printable(&path.to_string_lossy())),
                Some(text) => {
                    format!("would write {}:\n{}", printable(&path.to_string_lossy()), indented(text))
                }
            })
            .collect(),
        Outcome::Printed { files, apart } => files
            .iter()
            .map(|(name, text)| match apart {
                Apart::Not => text.clone(),
                Apart::ByName => format!("# {name}\n{text}"),
                Apart::AsDocuments => format!("---\n{text}"),
            })
            .collect(),
    }
}

fn version(emulator: Option<&(String, String)>) -> String {
    let revision = REVISION.map(|r| format!(" ({r})")).unwrap_or_default();
    let emulator = emulator.map(|(path, says)| format!("{path}: {says}\n")).unwrap_or_default();
    format!("qus {VERSION}{revision}\n{emulator}")
}

fn finding(f: &Finding) -> String {
    let remedy = f.remedy.as_ref().map(|r| format!("{:11}→ {}\n", "", printable(r))).unwrap_or_default();
    format!("{:9}  {}: {}\n{remedy}", grade_key(f.grade), printable(&f.about), printable(&f.seen))
}

const fn grade_key(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "ok",
        Grade::Doubtful => "doubtful",
        Grade::Broken => "broken",
    }
}

const fn by_key(by: &By) -> Option<&'static str> {
    match by {
        By::Kernel => Some("kernel"),
        By::Interpreter(_) => Some("interpreter"),
        By::Unknown => None,
    }
}

fn by_text(by: &By) -> String {
    match by {
        By::Kernel => "runs natively",
        By::Interpreter(_) => "runs through an interpreter",
        By::Unknown => "runs",
    }
    .to_owned()
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", took.as_millis().max(1))
}

fn indented(text: &str) -> String {
    text.lines().map(|l| format!("  {l}\n")).collect()
}

/// Columns as wide as what stands in them, the last one without trailing spaces.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut out = String::new();
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}  ")).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn listing(entries: &[Entry], enabled: bool) -> String {
    let header = ["NAME", "STATE", "FLAGS", "ARCHITECTURE", "OWNER", "INTERPRETER"].map(str::to_owned);
    let rows = entries.iter().map(|e| {
        let state = if e.enabled { "enabled" } else { "disabled" };
        [
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
        out.push_str("binfmt_misc is switched off: the kernel uses none of them\n");
    }
    out
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Which row of the table its programs are of.
fn architecture(entry: &Entry) -> String {
    let takes = |a: &&crate::arch::Arch| Entry { enabled: true, ..entry.clone() }.takes(a.pattern.magic());
    match (&entry.matches, ARCHES.iter().find(takes)) {
        (_, Some(arch)) => arch.name.to_owned(),
        (Match::Extension(dot), None) => format!("*.{dot}"),
        (_, None) => "-".to_owned(),
    }
}

/// Whose it is, as far as its name and its interpreter tell.
fn owner(entry: &Entry) -> &'static str {
    match entry {
        e if e.name.starts_with(PREFIX) && e.interpreter.starts_with("/qus/") => "qus",
        e if is_qemu(e) => "qemu",
        e if e.name.starts_with("WSLInterop") => "wsl",
        _ => "other",
    }
}

fn targets(lines: &[Line], keeper: Option<Keeper>, dry_run: bool) -> String {
    let shown: Vec<_> = lines.iter().filter(|l| l.state != State::NotCarried).collect();
    let rows: Vec<_> = shown
        .iter()
        .map(|l| {
            let (interpreter, flags) = l.handler.clone().unwrap_or_default();
            let proof = match (l.state, l.proof) {
                (State::Native, _) => "this kernel runs it itself: nothing to do".to_owned(),
                (State::Foreign, _) => "another maker's handler runs it: left alone".to_owned(),
                (_, Some(took)) => format!("runs ({})", milliseconds(took)),
                (_, None) => String::new(),
            };
            [l.name.clone(), word(l.state, dry_run).to_owned(), flags, interpreter, proof]
        })
        .collect();
    let mut out = table(&rows);
    for line in shown {
        if let Some(rule) = &line.rule {
            // Writing to a String can't fail.
            let _ = writeln!(out, "  {rule}");
        }
    }
    let left_out: Vec<_> =
        lines.iter().filter(|l| l.state == State::NotCarried).map(|l| l.name.as_str()).collect();
    if !left_out.is_empty() {
        let _ = writeln!(out, "not carried here: {}", left_out.join(" "));
    }
    if rows.is_empty() && left_out.is_empty() {
        out.push_str("nothing to do\n");
    }
    if let Some(keeper) = keeper {
        let _ = writeln!(out, "kept by {}", keeper_text(keeper));
    }
    out
}

const fn word(state: State, dry_run: bool) -> &'static str {
    match (state, dry_run) {
        (State::Registered, true) => "would be registered",
        (State::Replaced, true) => "would replace another",
        (State::Removed, true) => "would be removed",
        (State::Registered, false) => "registered",
        (State::Replaced, false) => "replaced",
        (State::Removed, false) => "removed",
        (State::Already, _) => "already there",
        (State::Native, _) => "native",
        (State::Foreign, _) => "foreign",
        (State::Absent, _) => "not there",
        (State::NotCarried, _) => "not carried",
        (State::Failed, _) => "failed",
    }
}

const fn keeper_text(keeper: Keeper) -> &'static str {
    match keeper {
        Keeper::Host => "the host's mount of binfmt_misc",
        Keeper::Anchor => "an anchor: the handlers themselves hold the mount of binfmt_misc",
        Keeper::AnchorOnDirectory => {
            "an anchor, until the emulators' directory is deleted: this kernel has no overlay"
        }
        Keeper::AnchorOnCopy => {
            "an anchor, with copies in memory of the emulators that were mounted one by one"
        }
        Keeper::Other => "a mount of binfmt_misc that is not ours",
        Keeper::Ourselves => "this process",
    }
}

const fn key(state: State) -> &'static str {
    match state {
        State::Registered => "registered",
        State::Replaced => "replaced",
        State::Already => "already",
        State::Native => "native",
        State::Foreign => "foreign",
        State::Removed => "removed",
        State::Absent => "absent",
        State::NotCarried => "not-carried",
        State::Failed => "failed",
    }
}

/// One document for the whole run; docs/json.md has its schema.
fn as_json(report: &Report, exit: Exit) -> String {
    let mut fields = Vec::new();
    for outcome in &report.outcomes {
        match outcome {
            Outcome::Text(text) => fields.push(("text", Json::text(*text))),
            Outcome::Listing { entries, enabled } => {
                fields.push(("enabled", Json::Bool(*enabled)));
                fields.push(("handlers", Json::list(entries.iter().map(handler))));
            }
            Outcome::Status { supported, emulators } => {
                fields.push(("supported", Json::list(supported.iter().map(|p| Json::text(*p)))));
                fields.push(("emulators", Json::list(emulators.iter().map(Json::text))));
            }
            Outcome::Targets { .. } if fields.iter().any(|(key, _)| *key == "targets") => {}
            Outcome::Targets { dry_run, .. } => {
                // What was removed and what was registered by one command line stands in one list.
                let all = report.outcomes.iter().filter_map(|o| match o {
                    Outcome::Targets { lines, keeper, .. } => Some((lines, keeper)),
                    _ => None,
                });
                let keeper = all.clone().find_map(|(_, keeper)| *keeper);
                fields.push(("dry_run", Json::Bool(*dry_run)));
                fields.push(("targets", Json::list(all.flat_map(|(lines, _)| lines).map(target))));
                let keeper = keeper.map(|k| match k {
                    Keeper::Host => "host",
                    Keeper::Anchor => "anchor",
                    Keeper::AnchorOnDirectory => "anchor-on-directory",
                    Keeper::AnchorOnCopy => "anchor-on-copy",
                    Keeper::Other => "other",
                    Keeper::Ourselves => "process",
                });
                fields.push(("keeper", Json::or_null(keeper)));
            }
            Outcome::Checked { answers } => {
                let answer = |a: &Answer| {
                    Json::Object(vec![
                        ("name", Json::text(a.name)),
                        ("by", Json::or_null(by_key(&a.by))),
                        ("proof_us", microseconds(a.took)),
                        ("version", Json::or_null(a.version.clone())),
                    ])
                };
                fields.push(("runs", Json::list(answers.iter().map(answer))));
            }
            Outcome::Findings { findings } => {
                let one = |f: &Finding| {
                    Json::Object(vec![
                        ("about", Json::text(&f.about)),
                        ("grade", Json::text(grade_key(f.grade))),
                        ("seen", Json::text(&f.seen)),
                        ("remedy", Json::or_null(f.remedy.clone())),
                    ])
                };
                fields.push(("findings", Json::list(findings.iter().map(one))));
            }
            Outcome::Verified { files, bytes, hashed, took } => {
                let numbers =
                    [("files", *files as u64), ("bytes", *bytes)].map(|(k, n)| (k, Json::Number(n)));
                let rest = [("hashed", Json::Bool(*hashed)), ("took_us", microseconds(*took))];
                fields.push(("verified", Json::Object(numbers.into_iter().chain(rest).collect())));
            }
            Outcome::Version { emulator } => {
                let (path, says) = emulator.clone().unzip();
                fields.push(("text", Json::text(version(emulator.as_ref()))));
                fields.push((
                    "version",
                    Json::Object(vec![
                        ("qus", Json::text(VERSION)),
                        ("revision", Json::or_null(REVISION)),
                        ("emulator", Json::or_null(path)),
                        ("emulator_says", Json::or_null(says)),
                    ]),
                ));
            }
            Outcome::Files { files } => {
                let files = files.iter().map(|(path, text)| file(path.display().to_string(), text.clone()));
                fields.push(("files", Json::list(files)));
            }
            Outcome::Printed { files, .. } => {
                let files = files.iter().map(|(name, text)| file(name.clone(), Some(text.clone())));
                fields.push(("files", Json::list(files)));
            }
        }
    }
    fields.push(("notes", Json::list(report.notes.iter().map(Json::text))));
    let error = |e: &Error| {
        Json::Object(vec![
            ("message", Json::text(e.to_string().lines().next().unwrap_or_default())),
            ("hint", Json::or_null(e.hint.clone())),
        ])
    };
    fields.push(("errors", Json::list(report.errors.iter().map(error))));
    fields.push(("exit", Json::Number(exit as u64)));
    Json::Object(fields).render()
}

fn microseconds(took: Duration) -> Json {
    Json::Number(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

fn file(path: String, content: Option<String>) -> Json {
    Json::Object(vec![("path", Json::Text(path)), ("content", Json::or_null(content))])
}

fn handler(e: &Entry) -> Json {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut fields = vec![
        ("name", Json::text(&e.name)),
        ("enabled", Json::Bool(e.enabled)),
        ("interpreter", Json::text(&e.interpreter)),
        ("flags", Json::text(&e.flags)),
        ("architecture", Json::text(architecture(e))),
        ("owner", Json::text(owner(e))),
    ];
    match &e.matches {
        Match::Magic { offset, magic, mask } => fields.extend([
            ("offset", Json::Number(*offset as u64)),
            ("magic", Json::Text(hex(magic))),
            ("mask", Json::Text(hex(mask))),
        ]),
        Match::Extension(dot) => fields.push(("extension", Json::text(dot))),
        Match::Unknown => {}
    }
    Json::Object(fields)
}

fn target(line: &Line) -> Json {
    let (interpreter, flags) = line.handler.clone().unzip();
    Json::Object(vec![
        ("name", Json::text(&line.name)),
        ("state", Json::text(key(line.state))),
        ("interpreter", Json::or_null(interpreter)),
        ("flags", Json::or_null(flags)),
        ("verified", Json::Bool(line.verified)),
        ("proof_us", line.proof.map_or(Json::Null, microseconds)),
        ("rule", Json::or_null(line.rule.clone())),
    ])
}

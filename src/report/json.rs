//! A report as one JSON document; docs/json.md has its schema.

use std::time::Duration;

use super::value::Json;
use super::{architecture, by_key, grade_key, least_keeper, owner, version};
use crate::anchor::Keeper;
use crate::error::{Error, Exit};
use crate::outcome::{CheckResult, Finding, Outcome, REVISION, Report, State, TargetResult, VERSION};
use crate::rule::{Entry, Match};

const fn key(state: State) -> &'static str {
    match state {
        State::Registered => "registered",
        State::Replaced => "replaced",
        State::Already => "already",
        State::Native => "native",
        State::ThirdParty => "third-party",
        State::Removed => "removed",
        State::Absent => "absent",
        State::NotCarried => "not-carried",
        State::Failed => "failed",
    }
}

pub(super) fn document<'a>(
    report: &Report,
    outcomes: impl Iterator<Item = &'a Outcome> + Clone,
    exit: Exit,
) -> String {
    let mut fields = Vec::new();
    for outcome in outcomes.clone() {
        match outcome {
            Outcome::Text(text) => fields.push(("text", Json::text(*text))),
            Outcome::Listing { entries, enabled } => {
                fields.push(("enabled", Json::Bool(*enabled)));
                fields.push(("handlers", Json::list(entries.iter().map(handler))));
            }
            Outcome::Status { supported, emulators, .. } => {
                fields.push(("supported", Json::texts(supported)));
                fields.push(("emulators", Json::texts(emulators)));
            }
            Outcome::Targets { .. } if fields.iter().any(|(key, _)| *key == "targets") => {}
            Outcome::Targets { dry_run, .. } => {
                // One list, of what was removed and what was registered.
                let all = outcomes.clone().filter_map(|o| match o {
                    Outcome::Targets { results, .. } => Some(results),
                    _ => None,
                });
                let all = all.flatten();
                let keeper = least_keeper(all.clone());
                fields.push(("dry_run", Json::Bool(*dry_run)));
                fields.push(("targets", Json::list(all.map(target))));
                let keeper = keeper.map(keeper_key);
                fields.push(("keeper", Json::or_null(keeper)));
            }
            Outcome::Checked { results } => {
                let answer = |a: &CheckResult| {
                    Json::Object(vec![
                        ("name", Json::text(a.name)),
                        ("by", Json::or_null(by_key(&a.by))),
                        ("proof_us", microseconds(a.took)),
                        ("version", Json::or_null(a.version.clone())),
                    ])
                };
                fields.push(("runs", Json::list(results.iter().map(answer))));
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
            Outcome::Verified { targets, files, bytes, hashed, took } => {
                let verified = vec![
                    ("targets", Json::texts(targets)),
                    ("files", Json::Number(*files as u64)),
                    ("bytes", Json::Number(*bytes)),
                    ("hashed", Json::Bool(*hashed)),
                    ("took_us", microseconds(*took)),
                ];
                fields.push(("verified", Json::Object(verified)));
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
    fields.push(("notes", Json::texts(&report.notes)));
    let error = |e: &Error| {
        Json::Object(vec![("message", Json::Text(e.to_string())), ("hint", Json::or_null(e.hint.clone()))])
    };
    fields.push(("errors", Json::list(report.errors.iter().map(error))));
    fields.push(("exit", Json::Number(exit as u64)));
    Json::Object(fields).render()
}

const fn keeper_key(keeper: Keeper) -> &'static str {
    match keeper {
        Keeper::Host => "host",
        Keeper::Anchor => "anchor",
        Keeper::Unseen => "unseen",
        Keeper::Process => "process",
    }
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

fn target(line: &TargetResult) -> Json {
    let (interpreter, flags) = line.handler.clone().unzip();
    Json::Object(vec![
        ("name", Json::text(&line.name)),
        ("state", Json::text(key(line.state))),
        ("interpreter", Json::or_null(interpreter)),
        ("flags", Json::or_null(flags)),
        ("verified", Json::Bool(line.verified)),
        ("proof_us", line.proof.map_or(Json::Null, microseconds)),
        ("keeper", Json::or_null(line.keeper.map(keeper_key))),
        ("left_to", Json::or_null(line.left_to.clone())),
        ("rule", Json::or_null(line.rule.clone())),
    ])
}

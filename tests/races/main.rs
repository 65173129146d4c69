//! Races: several runs of qus, or one and another tool, at the same time, many times. Exit code 0 is true, and nobody loses anything
//! by qus.
//!
//! Each kind of round is in `rounds.rs`, which this program runs inside of a sandbox (tests/kernel/sandbox.rs) by executing itself
//! there. Nothing is judged before all processes of a round have ended, so a slow machine changes what is met, not what is right.
//!
//! `QUS_TEST_RACES=long` has ten times as many rounds; `QUS_TEST_RACES=KIND` has that many of one kind only, and
//! `QUS_TEST_RACES=KIND:ROUND` repeats one. What was seen is written to docs/races.md; with CI set, a change of it is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod places;
mod rounds;
#[allow(dead_code)] // much of it is for the other tests
#[path = "../kernel/sandbox.rs"]
mod sandbox;
#[path = "../transcript/mod.rs"]
mod transcript;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use rounds::KINDS;
use sandbox::Sandbox;

/// How many sandboxes work at the same time: their processes mostly wait, for each other and for mounts to go.
const WIDTH: usize = 4;

/// How many rounds are done by one process inside.
const STEP: usize = 25;

/// What is said of a kind.
#[derive(Default)]
struct Seen {
    rounds: usize,
    lies: Vec<String>,
    losses: Vec<String>,
    failures: Vec<String>,
}

#[test]
fn concurrent_runs_neither_lie_nor_lose() {
    if let Ok(step) = std::env::var("QUS_ROUNDS") {
        return rounds_of_one_kind(&step); // inside of a sandbox
    }
    let how = std::env::var("QUS_TEST_RACES").unwrap_or_default();
    let (only, round) = how.split_once(':').map_or((&*how, None), |(kind, n)| (kind, n.parse().ok()));
    let times = if how == "long" { 10 } else { 1 };
    let mut steps = Vec::new();
    for kind in KINDS.iter().filter(|k| matches!(only, "" | "long") || k.name == only) {
        let rounds = kind.rounds * times;
        match round {
            Some(n) => steps.push((kind.name, n, 1)),
            None => steps.extend((0..rounds).step_by(STEP).map(|n| (kind.name, n, STEP.min(rounds - n)))),
        }
    }
    assert!(!steps.is_empty(), "there is no kind {only}");
    let wanted: usize = steps.iter().map(|(_, _, count)| count).sum();
    let waiting = Mutex::new(steps.into_iter());
    let seen = Mutex::new(BTreeMap::<_, Seen>::new());
    let is_done = std::thread::scope(|scope| {
        let work = || {
            let Some(place) = prepared() else { return false };
            loop {
                let next = waiting.lock().unwrap().next();
                let Some((kind, first, count)) = next else { return true };
                let said = rounds_in(&place, kind, first, count);
                let mut seen = seen.lock().unwrap();
                for line in said.lines() {
                    note(seen.entry(kind).or_default(), kind, line);
                }
            }
        };
        let workers: Vec<_> = (0..WIDTH).map(|_| scope.spawn(work)).collect();
        workers.into_iter().all(|w| w.join().unwrap())
    });
    if !is_done {
        return; // it was said why
    }
    let seen = seen.into_inner().unwrap();
    let table = table(&seen);
    print(&table);
    assert_eq!(seen.values().map(|s| s.rounds).sum::<usize>(), wanted, "rounds that were not run");
    let wrong: Vec<_> = seen.values().flat_map(|s| [&s.lies, &s.losses, &s.failures]).flatten().collect();
    assert!(wrong.is_empty(), "\n{table}\n{}", first_of(&wrong));
    if !how.is_empty() || std::env::var_os("QUS_TEST_HOST").is_some() {
        return; // the document is for the usual number of all, and for this machine's own entrypoint
    }
    let document = include_str!("head.md").to_owned() + &table;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/races.md");
    let difference = transcript::diff(&path, &document);
    std::fs::write(&path, document).unwrap();
    assert!(
        difference.is_empty() || std::env::var_os("CI").is_none(),
        "docs/races.md has changed; it is to be committed:\n{difference}"
    );
}

/// The rounds of a step, KIND FIRST COUNT; what they have to tell goes to stderr, a line each.
fn rounds_of_one_kind(what: &str) {
    let mut words = what.split(' ');
    let (kind, first, count) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (first, count) = (first.parse::<usize>().unwrap(), count.parse::<usize>().unwrap());
    let kind = KINDS.iter().find(|k| k.name == kind).unwrap();
    for round in first..first + count {
        let mut told = "round\n".to_owned();
        for line in (kind.run)(round) {
            writeln!(told, "{line}").unwrap();
        }
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }
}

/// A sandbox with what the rounds use, this program among it.
fn prepared() -> Option<Sandbox> {
    let place = Sandbox::new()?;
    place.quietly(rounds::SET_UP);
    let this = File::open(std::env::current_exe().unwrap()).unwrap();
    let copied = place.enter("cat >/races && chmod +x /races").stdin(this).status().unwrap();
    assert!(copied.success());
    Some(place)
}

fn rounds_in(place: &Sandbox, kind: &str, first: usize, count: usize) -> String {
    let script = format!(
        "QUS_ROUNDS='{kind} {first} {count}' /races --exact concurrent_runs_neither_lie_nor_lose --nocapture --test-threads 1"
    );
    let output = place.run(&script);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{kind}, rounds from {first} on: {}{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    said.into_owned()
}

/// A line of the rounds: what it is, which round, and what happened.
fn note(seen: &mut Seen, kind: &str, line: &str) {
    let (what, text) = line.split_once(' ').unwrap_or((line, ""));
    let into = match what {
        "round" => {
            seen.rounds += 1;
            return;
        }
        "lie" => &mut seen.lies,
        "loss" => &mut seen.losses,
        "failure" => &mut seen.failures,
        _ => panic!("{kind}: {line}"),
    };
    into.push(format!("{what}, {kind}:{text}"));
}

fn table(seen: &BTreeMap<&str, Seen>) -> String {
    let mut out =
        "| kind | at the same time | rounds | lies | losses | failures |\n|---|---|---|---|---|---|\n"
            .to_owned();
    let mut sums = [0; 4];
    for kind in KINDS {
        let nothing = Seen::default();
        let of = seen.get(kind.name).unwrap_or(&nothing);
        let row = [of.rounds, of.lies.len(), of.losses.len(), of.failures.len()];
        let [rounds, lies, losses, failures] = row;
        writeln!(out, "| {} | {} | {rounds} | {lies} | {losses} | {failures} |", kind.name, kind.what)
            .unwrap();
        sums.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    let [rounds, lies, losses, failures] = sums;
    writeln!(out, "| all | | {rounds} | {lies} | {losses} | {failures} |").unwrap();
    out
}

/// Shown with `--nocapture`.
fn print(table: &str) {
    let _ = write!(std::io::stdout(), "{table}");
}

/// Some of them: there may be hundreds.
fn first_of(wrong: &[&String]) -> String {
    let mut shown = BTreeMap::<&str, usize>::new();
    let mut out = String::new();
    for text in wrong {
        let n = shown.entry(text.split(':').next().unwrap_or_default()).or_default();
        *n += 1;
        if *n <= 3 {
            writeln!(out, "{text}").unwrap();
        }
    }
    out
}

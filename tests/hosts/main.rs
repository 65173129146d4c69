//! Whole hosts: Debian in an emulated machine, and what qus says there is true for the people on that host.
//!
//! The scenarios are data: the file `scenarios` beside this one. Each starts from a state that was saved (tests/hosts/state).
//! What was seen is written to docs/hosts.md: a heading that differs is a failure, and `BLESS=1` takes it. `QUS_TEST_HOSTS` is
//! `default`, `all`, or words of headings or titles, with `|` between. tests/hosts/run sets all up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // tests

mod scenario;
#[path = "../transcript/mod.rs"]
mod transcript;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use scenario::{Group, Row, Scenario};
use transcript::steady;

/// How many machines run at the same time.
fn width() -> usize {
    std::env::var("QUS_HOSTS_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// Above the rows of docs/hosts.md.
const HEADER: &str = "| given | command | exit | runs afterwards | it says |\n|---|---|---|---|---|\n";

/// What was seen of a row.
#[derive(Clone, Default)]
struct Seen {
    exit: String,
    runs: Vec<String>,
    says: Vec<String>,
    wrong: Vec<String>,
}

#[test]
fn what_is_said_on_a_host_is_true_for_the_people_there() {
    let groups = scenario::read(include_str!("scenarios"));
    let chosen = std::env::var("QUS_TEST_HOSTS").unwrap_or_else(|_| "default".to_owned());
    let is_chosen = |group: &Group, scenario: &Scenario| match chosen.as_str() {
        "all" => true,
        "default" => group.by_default,
        words => {
            let name = format!("{} / {}", group.heading, scenario.rows[0].title);
            words.split('|').any(|words| name.contains(words))
        }
    };
    let todo: Vec<_> = groups
        .iter()
        .flat_map(|g| g.scenarios.iter().map(move |s| (g, s)))
        .filter(|(g, s)| is_chosen(g, s))
        .collect();
    assert!(!todo.is_empty(), "no scenario matches {chosen}");
    let started = Instant::now();
    let machines: BTreeSet<_> = todo.iter().map(|(group, _)| group.machine.as_str()).collect();
    let states = Mutex::new(BTreeMap::new());
    at_once(machines.into_iter().collect(), |machine| {
        let state = state(machine);
        states.lock().unwrap().insert(machine, state);
    });
    let states = states.into_inner().unwrap();
    let seen = Mutex::new(BTreeMap::new());
    // The longest first, so that the machines end at about the same time.
    let mut order: Vec<_> = todo.iter().enumerate().collect();
    order.sort_by_key(|(_, (_, scenario))| Reverse(scenario.rows.len()));
    at_once(order, |(at, (group, scenario))| {
        let name = format!("scenario-{}-{at}", std::process::id());
        let rows = observe(&name, &states[group.machine.as_str()], group, scenario);
        seen.lock().unwrap().insert(at, rows);
    });
    let seen = seen.into_inner().unwrap();
    let rows = || todo.iter().flat_map(|(_, scenario)| &scenario.rows);
    eprintln!(
        "hosts: {} scenarios, {} rows, {} reboots, {} s",
        todo.len(),
        rows().count(),
        rows().filter(|row| row.run.starts_with("reboot")).count(),
        started.elapsed().as_secs()
    );
    let mut wrong = String::new();
    for ((group, scenario), rows) in todo.iter().zip(seen.values()) {
        for (row, seen) in scenario.rows.iter().zip(rows) {
            for what in &seen.wrong {
                writeln!(wrong, "{} / {}: {what}", group.heading, row.title).unwrap();
            }
        }
    }
    let good =
        todo.iter().zip(seen.values()).filter(|(_, rows)| rows.iter().all(|seen| seen.wrong.is_empty()));
    let good = good.map(|((group, scenario), rows)| {
        ((group.heading.as_str(), scenario.rows[0].title.as_str()), lines(group, scenario, rows))
    });
    compare(&groups, &good.collect());
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Does that with each of them, in this order, as many at a time as machines may run.
fn at_once<T: Send>(all: Vec<T>, each: impl Fn(T) + Sync) {
    let next = Mutex::new(all.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..width() {
            scope.spawn(|| {
                loop {
                    let one = next.lock().unwrap().next();
                    let Some(one) = one else { break };
                    each(one);
                }
            });
        }
    });
}

/// Prepares a machine and prints where it is saved.
fn state(machine: &str) -> String {
    let made = Command::new("tests/hosts/state").arg(machine).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success(), "cannot prepare {machine}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// A machine that runs, until this is dropped.
struct Vm(String);

impl Vm {
    fn driver(&self, words: &[&str], input: &str) -> Output {
        let mut driver = Command::new("tests/hosts/vm");
        driver.arg(words[0]).arg(&self.0).args(&words[1..]);
        driver.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut driver = driver.spawn().unwrap();
        let _ = driver.stdin.take().unwrap().write_all(input.as_bytes()); // it may not want any
        driver.wait_with_output().unwrap()
    }

    fn script(&self, user: &str, script: &str) -> Output {
        self.driver(&["run", user], &format!("{}\n{script}", include_str!("prelude")))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.driver(&["end"], "");
    }
}

/// Goes through a scenario on a machine of its own.
fn observe(name: &str, state: &str, group: &Group, scenario: &Scenario) -> Vec<Seen> {
    let started = Instant::now();
    let vm = Vm(name.to_owned());
    let resumed = vm.driver(&["resume", state], "");
    let mut rows: Vec<Seen> = Vec::new();
    if !resumed.status.success() {
        return vec![Seen { wrong: vec![text(&resumed)], ..Seen::default() }];
    }
    let mut helps: Option<&String> = None;
    for row in &scenario.rows {
        let before = rows.last().cloned().unwrap_or_default();
        if !row.given.is_empty() {
            let made = vm.script("root", &format!("set -e\n{}", row.given));
            if !made.status.success() {
                let wrong = vec![format!("cannot make it so: {}", text(&made))];
                rows.push(Seen { wrong, ..Seen::default() });
                break;
            }
        }
        let words: Vec<_> = row.run.split_whitespace().collect();
        let output = if words[0] == "reboot" { vm.driver(&words, "") } else { vm.script(&row.by, &row.run) };
        let looked = vm.script("root", &format!("look {}", group.places.join(" ")));
        let stdout = String::from_utf8_lossy(&looked.stdout);
        let mut seen = Seen {
            exit: output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string()),
            runs: stdout.split_whitespace().map(str::to_owned).collect(),
            says: said(row, &output),
            wrong: Vec::new(),
        };
        judge(row, &mut seen, &before, &output);
        if let Some(words) = helps.filter(|words| !row.run.contains(*words) || seen.exit != "0") {
            seen.wrong.push(format!("'{words}' was said to help, and is not tried, or does not"));
        }
        helps = row.helps.as_ref();
        rows.push(seen);
    }
    let title = &scenario.rows[0].title;
    let bad = rows.iter().filter(|seen| !seen.wrong.is_empty()).count();
    let end = if bad == 0 { "as expected".to_owned() } else { format!("{bad} rows are not as expected") };
    for (row, seen) in scenario.rows.iter().zip(&rows) {
        for what in &seen.wrong {
            eprintln!("hosts: {} / {title} / {}: {what}", group.heading, row.title);
        }
    }
    eprintln!(
        "hosts: {} / {title}: {end}, {} rows, {} s",
        group.heading,
        rows.len(),
        started.elapsed().as_secs()
    );
    rows
}

/// Compares what was seen with what the row expects, and with what is true of all.
fn judge(row: &Row, seen: &mut Seen, before: &Seen, output: &Output) {
    let mut wrong = Vec::new();
    let mut differs = |what: &str, expected: &str, is: &str| {
        if expected != is {
            wrong.push(format!("{what}: expected '{expected}', got '{is}'\n{}", text(output)));
        }
    };
    differs("exit code", &row.exit, &seen.exit);
    differs("runs", &row.runs.join(" "), &seen.runs.join(" "));
    let all = text(output);
    for words in row.says.iter().chain(&row.helps) {
        if !all.contains(words.as_str()) {
            wrong.push(format!("it does not say '{words}':\n{all}"));
        }
    }
    if !row.asked.is_empty() {
        let missing: Vec<_> = row.asked.iter().filter(|place| !seen.runs.contains(place)).collect();
        if seen.exit == "0" && !missing.is_empty() {
            wrong.push(format!("it lies: exit code 0, and nothing runs for {missing:?}"));
        }
        if seen.exit != "0" && seen.runs.iter().any(|place| !before.runs.contains(place)) {
            wrong.push(format!("it lies: exit code {}, and programs run for {:?}", seen.exit, seen.runs));
        }
    }
    seen.wrong = wrong;
}

/// Errors and their hints, and what the row says is said, a line each.
fn said(row: &Row, output: &Output) -> Vec<String> {
    let text = steady(&text(output));
    let is_told = |line: &&str| {
        line.starts_with("qus: ")
            || line.starts_with("  hint: ")
            || row.says.iter().any(|words| line.contains(words))
    };
    text.lines().filter(is_told).map(|l| l.trim_start_matches("qus: ").trim().to_owned()).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What docs/hosts.md says of a scenario.
fn lines(group: &Group, scenario: &Scenario, rows: &[Seen]) -> String {
    let mut out = String::new();
    let cell = |text: &str| text.replace('|', "\\|");
    for (number, (row, seen)) in scenario.rows.iter().zip(rows).enumerate() {
        let runs = match seen.runs.len() {
            0 => "for nobody".to_owned(),
            all if all == group.places.len() => "for all".to_owned(),
            _ => format!("for {}", seen.runs.join(", ")),
        };
        let by = if row.by == "root" { String::new() } else { format!("{}: ", row.by) };
        let then = if number > 0 { "… " } else { "" };
        let says: Vec<_> = seen.says.iter().map(|line| cell(line)).collect();
        let (title, run) = (cell(&row.title), cell(&row.run));
        writeln!(out, "| {then}{title} | {by}`{run}` | {} | {runs} | {} |", seen.exit, says.join("<br>"))
            .unwrap();
    }
    out
}

/// Puts what was seen into docs/hosts.md, in the order of the scenarios; what was not looked at stays as it is there.
fn compare(groups: &[Group], seen: &BTreeMap<(&str, &str), String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hosts.md");
    let now = std::fs::read_to_string(&path).unwrap_or_default();
    let mut page = include_str!("head.md").to_owned();
    for group in groups {
        let old =
            now.split("\n## ").find_map(|section| section.strip_prefix(&format!("{}\n", group.heading)));
        let mut rows = String::new();
        for scenario in &group.scenarios {
            let title = scenario.rows[0].title.as_str();
            rows += seen
                .get(&(group.heading.as_str(), title))
                .map_or_else(|| old_lines(old.unwrap_or_default(), title), String::clone)
                .as_str();
        }
        if !rows.is_empty() {
            let places = group.places.join(", ");
            write!(page, "\n## {}\n\nLooked at: {places}.\n\n{HEADER}{rows}", group.heading).unwrap();
        }
    }
    let rows = |begin: fn(&str) -> bool| page.lines().filter(|line| begin(line)).count();
    let all = rows(|line| line.starts_with("| ") && !line.starts_with("| given |"));
    let later = rows(|line| line.starts_with("| … "));
    let page = page.replace("@ROWS@", &all.to_string()).replace("@SCENARIOS@", &(all - later).to_string());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let difference = transcript::diff(&path, &page);
    assert!(
        difference.is_empty(),
        "docs/hosts.md differs; BLESS=1 tests/hosts/run rewrites it:\n{difference}"
    );
}

/// The rows of a scenario in a section of the page.
fn old_lines(section: &str, title: &str) -> String {
    let first = format!("| {title} |");
    let lines = section.split_inclusive('\n').skip_while(|line| !line.starts_with(&first)).enumerate();
    lines.take_while(|(n, line)| *n == 0 || line.starts_with("| … ")).map(|(_, line)| line).collect()
}

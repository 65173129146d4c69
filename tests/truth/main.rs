//! The table of truth: exit code 0 means that what was asked for executes afterwards, and any other that it doesn't.
//!
//! The scenarios are data: the file `scenarios` beside this one, whose head says how it is read. Each runs in a private place
//! (tests/kernel/sandbox.rs). What was seen is written to docs/truth.md; with CI set, a change of that file is a failure.
//! `QUS_TEST_TRUTH=TEXT` tries only those that have it in their heading or title.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

#[allow(dead_code)] // transcripts are for tests/kernel
#[path = "../kernel/sandbox.rs"]
mod sandbox;
mod scenario;
#[path = "../transcript/mod.rs"]
mod transcript;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;

use sandbox::Sandbox;
use scenario::{Place, Scenario};
use transcript::steady;

/// How many scenarios run at the same time: they mostly wait for processes to start and end.
const WIDTH: usize = 4;

/// How many lines of what is said are shown: with all targets, there may be a hundred.
const SAYS_AT_MOST: usize = 6;

/// Everything but the handlers of qus: other handlers byte for byte, mounts, processes.
const SURROUNDINGS: &str = r#"
for entry in *; do
	case $entry in qemu-* | register) ;; *) echo "$entry"; cat "$entry" ;; esac
done
cut -d ' ' -f 4- /proc/1/mountinfo
ls -d /proc/[0-9]*/exe | while read -r exe; do readlink "$exe"; done | grep /qus/register || echo no process of ours"#;

/// What was seen of one scenario.
struct Seen {
    exit: String,
    runs: Vec<String>,
    left: String,
    says: Vec<String>,
    wrong: Vec<String>,
}

#[test]
fn exit_code_0_means_that_it_works() {
    let mut scenarios = scenario::read(include_str!("scenarios"));
    let only = std::env::var("QUS_TEST_TRUTH").ok();
    if let Some(words) = &only {
        scenarios.retain(|s| format!("{} / {}", s.group, s.title).contains(words));
    }
    let waiting = Mutex::new(scenarios.iter().enumerate());
    let seen = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..WIDTH {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some((at, scenario)) = next else { break };
                    let result = observe(scenario);
                    seen.lock().unwrap().insert(at, result);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let mut wrong = String::new();
    for (at, scenario) in scenarios.iter().enumerate() {
        for what in seen[&at].iter().flat_map(|s| &s.wrong) {
            writeln!(wrong, "{} / {}: {what}", scenario.group, scenario.title).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    if only.is_some() || seen.values().any(Option::is_none) || std::env::var_os("QUS_TEST_HOST").is_some() {
        return; // the document is for all of them, and for this machine's own entrypoint; of what is missing, it was said why
    }
    let document = document(&scenarios, seen.values().flatten());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/truth.md");
    let difference = transcript::diff(&path, &document);
    std::fs::write(&path, document).unwrap();
    assert!(
        difference.is_empty() || std::env::var_os("CI").is_none(),
        "docs/truth.md has changed; it is to be committed:\n{difference}"
    );
}

/// Runs a scenario; `None` where that place can't be had here.
fn observe(scenario: &Scenario) -> Option<Seen> {
    let place = match scenario.place {
        Place::Usual => Sandbox::new(),
        Place::WithUsers => Sandbox::with_many_users(),
        Place::WithArm64 => Sandbox::with_arm64_entrypoint(),
    }?;
    place.quietly(&format!("{}\n{}", include_str!("prelude.sh"), scenario.set_up));
    // A look from a mount namespace that ends at once, so that nothing is kept by looking.
    let look = |script: &str| {
        let inside = format!("mount -t binfmt_misc b /look; cd /look\n{script}").replace('\'', r"'\''");
        text(&place.run(&format!("unshare --mount --propagation=private sh -euc '{inside}'")))
    };
    let before = look(SURROUNDINGS);
    let all = "for entry in qemu-*; do [ ! -e $entry ] || { echo $entry; cat $entry; }; done";
    let ours = look(all);
    let kept =
        || scenario.kept.iter().map(|name| (name, look(&format!("cat qemu-{name}")))).collect::<Vec<_>>();
    let kept_before = kept();
    let mut wrong = Vec::new();
    if let Some(dry) = scenario.dry_run() {
        let output = place.run(&dry);
        let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
        let expected = scenario.dry.as_ref().map_or(&scenario.exit, |(code, _)| code);
        if code != *expected {
            wrong.push(format!("a dry run: expected '{expected}', got '{code}'\n{}", text(&output)));
        }
        if look(SURROUNDINGS) != before || look(all) != ours {
            wrong.push(format!("a dry run changes something: {dry}"));
        }
        let removes = dry.contains(" remove ") || dry.contains(" -r");
        if !removes && text(&output).contains("would be removed") {
            wrong.push(format!("a dry run of an installation would remove: {dry}\n{}", text(&output)));
        }
    }
    let output = place.run(&format!(". kept.sh\n{}", scenario.run));
    let after = look(SURROUNDINGS);
    let left = look("ls -d qemu-* 2>/dev/null || echo");
    let runs = |target: &str, how: &str| {
        // Where something that never ends has been left, this does.
        let ran = place.run(&format!("timeout -s KILL 5 {how}/busybox-{target} true"));
        ran.status.success()
    };
    let mut runs_now = Vec::new();
    for target in &scenario.looked_at() {
        let here = runs(target, "/foreign");
        let elsewhere = runs(target, "unshare --mount --pid --fork --kill-child chroot /new ");
        match (here, elsewhere) {
            (true, true) => runs_now.push(target.clone()),
            (false, false) => {}
            (true, false) => runs_now.push(format!("{target} here")),
            (false, true) => runs_now.push(format!("{target} elsewhere")),
        }
    }
    for ((name, before), (_, after)) in kept_before.iter().zip(kept()) {
        if *before != after {
            wrong.push(format!("{name} has changed from\n{before}to\n{after}"));
        }
    }
    for (claim, script) in &scenario.then {
        let checked = place.run(script);
        if !checked.status.success() {
            wrong.push(format!("it is not true that {claim}: {}", text(&checked)));
        }
    }
    let seen = Seen {
        exit: output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string()),
        runs: runs_now,
        left: left.split_whitespace().map(|n| n.trim_start_matches("qemu-")).collect::<Vec<_>>().join(" "),
        says: said(&output),
        wrong,
    };
    Some(judge(scenario, seen, &before, &after, &output))
}

/// Compares what was seen with what the scenario expects, and with what is true of all.
fn judge(scenario: &Scenario, mut seen: Seen, before: &str, after: &str, output: &Output) -> Seen {
    let mut differs = |what: &str, expected: &str, is: &str| {
        if expected != is {
            seen.wrong.push(format!("{what}: expected '{expected}', got '{is}'\n{}", text(output)));
        }
    };
    differs("exit code", &scenario.exit, &seen.exit);
    differs("runs", &scenario.runs.join(" "), &seen.runs.join(" "));
    differs("handlers", &scenario.left, &seen.left);
    differs("surroundings", before, after);
    if !scenario.asked.is_empty() {
        let works = scenario.asked.iter().all(|t| seen.runs.contains(t));
        if works != (seen.exit == "0") && scenario.because.is_none() {
            seen.wrong.push(format!("it lies: exit code {}, and it works: {works}", seen.exit));
        }
        if seen.exit != "0" && seen.says.is_empty() {
            seen.wrong.push("it fails without a word".to_owned());
        }
    }
    seen
}

/// Errors and their hints, a line each.
fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = steady(&text);
    let is_ours = |line: &&str| line.starts_with("qus: ") || line.starts_with("  hint: ");
    let lines = text.lines().filter(is_ours).filter(|l| !transcript::NAMESPACE_NOTES.contains(l));
    lines.map(|l| l.trim_start_matches("qus: ").trim().to_owned()).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn document<'a>(scenarios: &[Scenario], seen: impl Iterator<Item = &'a Seen>) -> String {
    let mut out = include_str!("head.md").to_owned();
    let cell = |text: &str| text.replace('|', "\\|");
    let mut group = "";
    for (scenario, seen) in scenarios.iter().zip(seen) {
        if scenario.group != group {
            group = &scenario.group;
            write!(out, "\n## {group}\n\n| given | command | exit | runs afterwards | handlers left | it says |\n|---|---|---|---|---|---|\n").unwrap();
        }
        let mut runs = seen.runs.join(" ");
        if runs.is_empty() && !scenario.asked.is_empty() {
            runs.push_str("nothing");
        }
        let claims = scenario.then.iter().map(|(claim, _)| claim.clone());
        let kept = (!scenario.kept.is_empty())
            .then(|| format!("{} as before, byte for byte", scenario.kept.join(", ")));
        let dry = scenario.dry.iter().map(|(code, reason)| format!("a dry run ends with {code}: {reason}"));
        let more: Vec<_> = scenario.because.iter().cloned().chain(kept).chain(claims).chain(dry).collect();
        for text in more {
            let break_ = if runs.is_empty() { "" } else { "; " };
            write!(runs, "{break_}{text}").unwrap();
        }
        let mut says: Vec<_> = seen.says.iter().take(SAYS_AT_MOST).map(|l| cell(l)).collect();
        if seen.says.len() > SAYS_AT_MOST {
            says.push("…".to_owned());
        }
        writeln!(
            out,
            "| {} | `{}` | {} | {} | {} | {} |",
            cell(&scenario.title),
            cell(scenario.shown.as_ref().unwrap_or(&scenario.run)),
            seen.exit,
            cell(&runs),
            seen.left,
            says.join("<br>")
        )
        .unwrap();
    }
    out
}

//! Every system call of a run fails in turn, with each error that it may end with. Whatever happens: others' handlers, mounts
//! and files are untouched, exit code 0 is said only where everything works, each line of the report is true, and a failure
//! says what failed, on what and why.
//!
//! strace gives the answers. By default, of calls that look alike the first and the last are tried with one or two errors each;
//! with `QUS_TEST_FAULTS=all`, every call with every error (some minutes). `QUS_TEST_FAULTS=call:ERROR:nth` tries one.

mod errors;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, tell};
use errors::{Fault, faults};

/// How many sandboxes work at the same time, for each test.
const WIDTH: usize = 2;

/// Nothing that fails may make a run longer than this: a fault that leads to waiting is a fault of ours.
const PATIENCE: Duration = Duration::from_secs(15);

/// One kind of run.
#[derive(Clone, Copy)]
struct Way<'a> {
    /// Makes a sandbox fit for it; done once.
    place: &'a str,
    /// Makes everything as it is before the run.
    reset: &'a str,
    /// The run.
    run: &'a str,
    /// A function of look.sh that the run is an argument of.
    by: &'a str,
    /// Where handlers are looked at; nothing is mounted there if that is only for looking.
    dir: &'a str,
    /// What strace follows: children, too?
    strace: &'a str,
    /// Which calls fail, if there is little time.
    only: &'a [&'a str],
}

/// Somebody holds a mount of binfmt_misc, as most hosts do.
const HELD: Way<'_> = Way {
    place: "mount -t binfmt_misc b /mnt; cd /mnt; others; qus -s -- -p --no-prove aarch64 >/dev/null 2>&1; none",
    reset: "cd /mnt; none; cat /debian >register",
    run: "qus -s -- -p aarch64 arm i386",
    by: "",
    dir: "/mnt",
    strace: "",
    only: &[],
};

/// Nobody: the handlers of qus keep themselves.
const ANCHORED: Way<'_> = Way { place: "mkdir /look", reset: IN_PASSING, dir: "/look", ..HELD };

const IN_PASSING: &str = "unshare --mount --propagation=private sh -c '. /path/look.sh; mount -t binfmt_misc b /look; cd /look; none'";

const LINES: &str = "for target in aarch64 arm; do echo \":qemu-$target:$(line $target):/qus/bin/qemu-$target-static:PF\" | tr -d '\\n' >/line-$target; done";

#[test]
fn a_registration_beside_others_may_fail_at_any_system_call() {
    try_all(&HELD);
}

#[test]
fn a_registration_that_is_anchored_may_fail_at_any_system_call() {
    try_all(&ANCHORED);
}

#[test]
fn a_removal_may_fail_at_any_system_call() {
    try_all(&Way { reset: "cd /mnt; none; ours", run: "qus -- -r aarch64 arm", ..HELD });
}

#[test]
fn a_hold_may_fail_at_any_system_call() {
    // Up to where it stays, it does what a registration does.
    let only = &["rt_sigtimedwait", "write", "mount", "umount2", "flock", "getdents64", "wait4"];
    try_all(&Way { run: "qus hold --clean aarch64 arm", by: "staying", only, ..ANCHORED });
}

#[test]
fn the_kernel_may_refuse_to_execute_a_probe_with_any_error() {
    try_all(&Way { strace: "-f -e trace=execve", ..HELD });
}

/// What a run that stays has promised is seen while it stays; what is left by it depends on what keeps handlers, then.
fn stays(way: &Way<'_>) -> bool {
    way.by == "staying"
}

/// What is seen after a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    exit: i32,
    out: String,
    err: String,
    /// Handlers, by name.
    entries: BTreeMap<String, String>,
    surroundings: String,
    runs: BTreeSet<String>,
    /// What ran while it stayed, if it did.
    during: Option<BTreeSet<String>>,
    /// Was anything made to fail? Not every run makes as many calls.
    is_hit: bool,
    took: Duration,
}

impl Way<'_> {
    fn prepared(&self) -> Option<Sandbox> {
        let s = Sandbox::with_static_entrypoint()?;
        s.quietly(&format!(
            "cat >/path/look.sh <<'SH'\n{}\nSH\n. /path/look.sh\n{LINES}\n{}",
            include_str!("faults/look.sh"),
            self.place
        ));
        Some(s)
    }

    /// Resets everything, does a run under strace with these options, and looks.
    fn observe(&self, s: &Sandbox, strace: &str) -> Seen {
        let Self { reset, run, by, dir, .. } = self;
        let look = if *dir == "/look" {
            "unshare --mount --propagation=private sh -c '. /path/look.sh; mount -t binfmt_misc b /look; cd /look; entries'"
        } else {
            "cd /mnt; entries"
        };
        let script = format!(
            ". /path/look.sh; {reset}; cd /; rm -f /tmp/during; : >/tmp/hit
            {by} strace {strace} {run} >/tmp/out 2>/tmp/err
            echo $?
            for part in /tmp/out /tmp/err; do cat $part; echo '##'; done
            grep -c INJECTED /tmp/hit; echo '##'; {look}; echo '##'; surroundings; echo '##'; runs; echo '##'
            [ ! -e /tmp/during ] || {{ cat /tmp/during; echo yes; }}"
        );
        let started = Instant::now();
        let output = s.run(&script);
        let took = started.elapsed();
        let text = String::from_utf8_lossy(&output.stdout);
        let (exit, rest) =
            text.split_once('\n').unwrap_or_else(|| panic!("{script}: {:?} after {took:?}", output));
        let parts: Vec<_> = rest.split("##\n").collect();
        let [out, err, hit, entries, surroundings, runs, during] = parts[..] else {
            panic!("{script}: {output:?}")
        };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let mut by_name = BTreeMap::<_, String>::new();
        for line in entries.lines() {
            let (name, text) = line.split_once(':').unwrap();
            writeln!(by_name.entry(name.to_owned()).or_default(), "{text}").unwrap();
        }
        Seen {
            exit: exit.parse().unwrap(),
            out: out.to_owned(),
            err: err.to_owned(),
            entries: by_name,
            surroundings: surroundings.to_owned(),
            runs: words(runs),
            during: (!during.is_empty()).then(|| words(during.trim_end_matches("yes\n"))),
            is_hit: hit.trim() != "0",
            took,
        }
    }
}

/// What is compared with: nothing done, all done, and all done without being taken back at the end.
struct Expected {
    before: Seen,
    after: Seen,
    uncleaned: Seen,
}

fn try_all(way: &Way<'_>) {
    let Some(s) = way.prepared() else { return };
    let before = way.observe(&s, "-qq -o /dev/null -e trace=none true #");
    let run = way.run.replace("--clean ", "");
    let uncleaned = Way { run: &run, ..*way }.observe(&s, "-qq -o /dev/null -e trace=none");
    let after = way.observe(&s, &format!("-qq {} -o /tmp/calls", way.strace));
    assert_eq!(after.exit, 0, "{after:?}");
    assert_ne!((&after.entries, &after.during), (&before.entries, &None), "{after:?}");
    let expected = Expected { before, uncleaned, after };
    let faults = chosen(&s.quietly("cat /tmp/calls"), way);
    let total = faults.len();
    let waiting = Mutex::new(faults.into_iter());
    let wrong = Mutex::new(Vec::new());
    let hits = AtomicUsize::new(0);
    let is_left_out = std::env::var_os("QUS_TEST_LEFT_OUT").is_some();
    std::thread::scope(|scope| {
        for _ in 0..WIDTH {
            scope.spawn(|| {
                let Some(mut s) = way.prepared() else { return };
                // Where it is left out, it is to fail, and once is enough.
                while !is_left_out || wrong.lock().unwrap().is_empty() {
                    let next = waiting.lock().unwrap().next();
                    let Some(fault) = next else { break };
                    let seen =
                        way.observe(&s, &format!("-qq {} -o /tmp/hit {}", way.strace, fault.injected()));
                    hits.fetch_add(usize::from(seen.is_hit), Ordering::Relaxed);
                    let complaints = judge(&fault, stays(way), &expected, &seen);
                    if seen.surroundings != expected.before.surroundings {
                        // The next one is to be judged by what it leaves itself.
                        let Some(fresh) = way.prepared() else { return };
                        s = fresh;
                    }
                    if !complaints.is_empty() {
                        let list = complaints.join("\n    ");
                        wrong.lock().unwrap().push(format!("{fault}\n    {list}\n{}{}", seen.out, seen.err));
                    }
                }
            });
        }
    });
    let (wrong, hits) = (wrong.into_inner().unwrap(), hits.into_inner());
    tell(&format!("{hits} of {total} faults took place in: {}", way.run));
    assert!(hits > 0 && hits * 10 > total * 9, "only {hits} of {total} faults took place");
    assert!(wrong.is_empty(), "{}\n{} of {total} faults in: {}", wrong.join("\n"), wrong.len(), way.run);
}

/// The faults to be tried: those that the environment asks for.
fn chosen(trace: &str, way: &Way<'_>) -> Vec<Fault> {
    let asked = std::env::var("QUS_TEST_FAULTS").unwrap_or_default();
    let one: Vec<_> = asked.split(':').collect();
    let thorough = asked == "all" || one.len() == 3;
    let mut all = faults(trace, thorough);
    all.retain(|f| thorough || way.only.is_empty() || way.only.contains(&f.call.as_str()));
    if let [call, errno, nth] = one[..] {
        all.retain(|f| f.call == call && f.errno == errno && f.nth.to_string() == nth);
    }
    all
}

/// What is wrong with what was seen.
fn judge(fault: &Fault, stays: bool, expected: &Expected, seen: &Seen) -> Vec<String> {
    let Expected { before, after, uncleaned } = expected;
    let mut wrong = Vec::new();
    if seen.took > PATIENCE {
        wrong.push(format!("it took {:?}", seen.took));
    }
    if seen.surroundings != before.surroundings {
        wrong.push(format!(
            "mounts, files or processes differ:\n{}\n{}",
            before.surroundings, seen.surroundings
        ));
    }
    // Without memory nothing can be done any more, as after a kill (killed.rs).
    let is_aborted = seen.exit == 134 && seen.err.contains("memory allocation of");
    let names: BTreeSet<_> = [before, after, uncleaned, seen].iter().flat_map(|s| s.entries.keys()).collect();
    for name in names {
        let (was, shall, is) = (before.entries.get(name), after.entries.get(name), seen.entries.get(name));
        let states = [("as before", before), ("as it should be", after), ("not taken back", uncleaned)];
        let now: Vec<_> =
            states.iter().filter(|(_, s)| s.entries.get(name) == is).map(|(word, _)| *word).collect();
        let now = now.first().copied().unwrap_or("neither of both");
        let is_explained = seen.err.contains(&format!("qus: cannot remove {name}: "))
            || stays && is == uncleaned.entries.get(name) && seen.err.contains("; hint: they stay; ");
        if is != was && is != shall && !is_explained && !is_aborted {
            wrong.push(format!("{name} is {now}: {is:?}"));
        }
        if seen.exit == 0 && is != shall && !stays {
            wrong.push(format!("exit code 0, and {name} is {now}"));
        }
        let Some(target) = name.strip_prefix("qemu-").filter(|t| !t.ends_with(".new")) else { continue };
        if is_aborted && before.runs.contains(target) == after.runs.contains(target) {
            // A hold that is aborted leaves what it has registered.
            if seen.runs.contains(target) != before.runs.contains(target) && !stays {
                wrong.push(format!("{target} programs ran before and would run after, and don't now"));
            }
            continue;
        }
        let runs = seen.runs.contains(target);
        if !states.iter().any(|(_, s)| s.entries.get(name) == is && s.runs.contains(target) == runs) {
            wrong.push(format!("{name} is {now}, and its programs run: {runs}"));
        }
        if was != shall {
            let done = ["registered", "replaced", "removed"];
            let line = seen.out.lines().find(|l| l.split_whitespace().next() == Some(target));
            match line.and_then(|l| l.split_whitespace().nth(1)) {
                // What this run has registered and taken back.
                Some("removed") if is == was => {}
                Some(word) if done.contains(&word) && is != shall && !stays => {
                    wrong.push(format!("{target} is said to be {word}, and is {now}"))
                }
                Some(word) if !done.contains(&word) && is != was => {
                    wrong.push(format!("{target} is said to be {word}, and is {now}"))
                }
                None if is != was && fault.call != "write" && !is_aborted => {
                    wrong.push(format!("{name} is {now}, and nothing is said of it"))
                }
                _ => {}
            }
        }
    }
    if seen.exit == 0 {
        if seen.err.lines().any(|l| l.starts_with("qus: cannot")) {
            wrong.push("exit code 0, and something failed".to_owned());
        }
        if seen.during != after.during || seen.runs != after.runs && !stays {
            wrong.push(format!("exit code 0, and what runs is {:?}, {:?}", seen.runs, seen.during));
        }
    } else {
        let errno = format!("({})", fault.errno);
        let words = match fault.errno {
            "ENOENT" => "there is no ",
            "ENOMEM" => "out of memory",
            _ => &errno,
        };
        let says = |l: &str| l.starts_with("qus: cannot ") && (l.contains(&errno) || l.contains(words));
        let explained = seen.err.lines().any(says);
        // Before main, Rust's own runtime speaks.
        let by_runtime = seen.exit == 134 && seen.err.contains("alternative stack");
        if !explained && !is_aborted && !by_runtime {
            wrong.push(format!("exit code {}, and it isn't said why", seen.exit));
        }
    }
    wrong
}

//! The kinds of rounds, and what is right afterwards.

use crate::places::{
    Ended, Entries, Running, clear, entries, hold, mounts, pause, qus, qus_with, register, runs_elsewhere,
    runs_here, unregister, without_open_tree,
};

/// Prepares a sandbox: a root with nothing but foreign programs, two builds of an emulator, another tool with a copy of it.
pub(crate) const SET_UP: &str = r"
set -e
mkdir /new /look /build /build-a /build-b /tool
cp /foreign/busybox-* /new/
cp /qus/bin/qemu-aarch64-static /build-a
cp /qus/bin/qemu-aarch64-static /build-b
printf x >>/build-b/qemu-aarch64-static # after the loaded segments
for build in a b; do (cd /build-$build; sha256sum qemu-* >SHA256SUMS); done
cp /qus/bin/qemu-aarch64-static /tool/qemu";

/// One kind of round.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How many there are by default.
    pub(crate) rounds: usize,
    /// Plays one, and says what was wrong: `lie`, `loss` or `failure`, the number of the round, and what it was.
    pub(crate) run: fn(usize) -> Vec<String>,
}

#[rustfmt::skip]
pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "bare", rounds: 150, run: bare, what: "two runs without `-p`, where nothing is mounted" },
    Kind { name: "refused", rounds: 150, run: refused, what: "two runs with `-p`, where the kernel refuses open_tree" },
    Kind { name: "builds", rounds: 150, run: builds, what: "two runs with two builds of one emulator" },
    Kind { name: "looks", rounds: 150, run: looks, what: "a run, and others that only look (`-l`, `status`, `doctor`)" },
    Kind { name: "removal", rounds: 160, run: removal, what: "a run, and a removal of the same target or of another" },
    Kind { name: "hold", rounds: 120, run: stay, what: "a run, and a `hold` that is ended, with and without `--clean`" },
    Kind { name: "tool", rounds: 160, run: tool, what: "a run, and another tool that registers and removes" },
];

/// What one round has to tell.
struct Round {
    number: usize,
    is_held: bool,
    /// Handlers of others.
    others: Entries,
    mounts: usize,
    told: Vec<String>,
}

impl Round {
    /// Where it is held, others have handlers, too.
    fn new(number: usize, is_held: bool) -> Self {
        let mounts = mounts();
        let mut others = Entries::new();
        if is_held {
            hold();
            for line in [
                r":python3.11:M::\xa7\x0d\x0d\x0a::/usr/bin/env:",
                ":WSLInterop:M::MZ::/usr/bin/env:PF",
                ":qemu-cris:E::cris::/usr/bin/env:PF",
                ":jar:E::jar::/usr/bin/env:",
            ] {
                assert!(register(line));
            }
            std::fs::write("/mnt/jar", "0").unwrap();
            others = entries();
        }
        Self { number, is_held, others, mounts, told: Vec::new() }
    }

    fn bit(&self, n: usize) -> bool {
        self.number >> n & 1 == 1
    }

    fn tell(&mut self, what: &str, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.told.push(format!("{what} {}: {text}", self.number));
    }

    /// A run ended with 0: then its target runs.
    fn is_true(&mut self, run: &Ended, target: &str, runs: bool) {
        if run.is_good() && !runs {
            self.tell("lie", &format!("{target} doesn't run: {}", run.says));
        }
    }

    /// A run that nothing stood in the way of.
    fn is_fine(&mut self, run: &Ended) {
        if !run.is_good() {
            self.tell("failure", &format!("{:?}: {}", run.code, run.says));
        }
    }

    /// A look. Where a handler without F runs, and nobody has binfmt_misc mounted in sight, it can't be told whose that is, and to
    /// mount it could hide it: that is an answer, too.
    fn is_answered(&mut self, look: &Ended) {
        if !look.says.contains("a first mount of binfmt_misc would hide the outer handlers") {
            self.is_fine(look);
        }
    }

    /// Checks what is left when all have ended: everything of others, and otherwise only `allowed`.
    fn left(&mut self, allowed: &[&str]) -> Entries {
        let left = entries();
        for (name, text) in self.others.clone() {
            match left.get(&name) {
                None => self.tell("loss", &format!("{name} is gone")),
                Some(now) if *now != text => {
                    self.tell("loss", &format!("{name} is now {}", String::from_utf8_lossy(now)));
                }
                Some(_) => {}
            }
        }
        for (name, text) in &left {
            if !self.others.contains_key(name) && !allowed.contains(&name.as_str()) {
                self.tell("lie", &format!("{name} is left: {}", String::from_utf8_lossy(text)));
            }
        }
        left
    }

    fn end(mut self) -> Vec<String> {
        clear(self.is_held);
        if mounts() != self.mounts {
            self.tell("loss", "there are other mounts than before");
        }
        self.told
    }
}

/// The name of the target's handler, where one of these runs said that it is there.
fn if_any<'a>(runs: &[&Ended], name: &'a str) -> Vec<&'a str> {
    if runs.iter().any(|run| run.is_good()) { vec![name] } else { vec![] }
}

const AARCH64: &str = "qemu-aarch64";

fn bare(number: usize) -> Vec<String> {
    let mut round = Round::new(number, false);
    let a = Running::start(qus(&["-s", "--", "aarch64"]));
    pause(number, 30);
    let b = Running::start(qus(&["-s", "--", "aarch64"]));
    let (a, b) = (a.wait(), b.wait());
    let runs = runs_here("aarch64");
    round.left(&if_any(&[&a, &b], AARCH64));
    round.is_true(&a, "aarch64", runs);
    round.is_true(&b, "aarch64", runs);
    round.end()
}

fn refused(number: usize) -> Vec<String> {
    let mut round = Round::new(number, false);
    let run = || Running::start(without_open_tree(qus(&["-s", "--", "-p", "aarch64"])));
    let a = run();
    pause(number, 60);
    let b = run();
    let (a, b) = (a.wait(), b.wait());
    let runs = runs_elsewhere("aarch64");
    round.left(&if_any(&[&a, &b], AARCH64));
    round.is_true(&a, "aarch64", runs);
    round.is_true(&b, "aarch64", runs);
    round.end()
}

fn builds(number: usize) -> Vec<String> {
    let mut round = Round::new(number, number % 2 == 1);
    let run = |dir| Running::start(qus_with(dir, "/build", &["install", "--path", "/build", "aarch64"]));
    let a = run("/build-a");
    pause(number, 60);
    let b = run("/build-b");
    let (a, b) = (a.wait(), b.wait());
    let runs = runs_elsewhere("aarch64");
    round.left(&if_any(&[&a, &b], AARCH64));
    round.is_true(&a, "aarch64", runs);
    round.is_true(&b, "aarch64", runs);
    if !a.is_good() {
        round.is_fine(&b);
    }
    round.end()
}

fn looks(number: usize) -> Vec<String> {
    let mut round = Round::new(number, number % 8 > 5);
    let is_persistent = round.bit(0);
    let look = || {
        let [list, status, doctor]: [&[&str]; 3] = [&["-l"], &["status", "--json"], &["doctor"]];
        Running::start(qus([list, status, doctor][number % 3]))
    };
    let first = look();
    pause(number, 10);
    let run: &[&str] = if is_persistent { &["-s", "--", "-p", "aarch64"] } else { &["-s", "--", "aarch64"] };
    let run = Running::start(qus(run));
    pause(number * 7, 40);
    let second = look();
    let (run, first, second) = (run.wait(), first.wait(), second.wait());
    let runs = if is_persistent { runs_elsewhere("aarch64") } else { runs_here("aarch64") };
    round.left(&if_any(&[&run], AARCH64));
    round.is_true(&run, "aarch64", runs);
    if is_persistent || round.is_held {
        round.is_fine(&run);
    }
    // What doctor finds may be worth an exit code.
    if number % 3 != 2 {
        round.is_answered(&first);
        round.is_answered(&second);
    }
    round.end()
}

fn removal(number: usize) -> Vec<String> {
    let mut round = Round::new(number, number % 2 == 1);
    let (is_same, is_there) = (round.bit(1), round.bit(2));
    // Without -p, what is registered is kept by what s390x's handler holds.
    let is_bare = !round.is_held && !is_same && round.bit(3);
    let mut given = vec!["install", "s390x"];
    given.extend((is_same && is_there).then_some("aarch64"));
    let given = Running::start(qus(&given)).wait();
    round.is_fine(&given);
    let run: &[&str] = match is_bare {
        true => &["install", "--json", "--persistent", "no", "aarch64", "arm"],
        false => &["install", "--json", "aarch64", "arm"],
    };
    let removed = if is_same { "aarch64" } else { "s390x" };
    let run = Running::start(qus(run));
    pause(number, 70);
    let removal = Running::start(qus(&["remove", "--json", removed]));
    let (run, removal) = (run.wait(), removal.wait());
    let runs = |target| if is_bare { runs_here(target) } else { runs_elsewhere(target) };
    let (aarch64, arm) = (runs("aarch64"), runs("arm"));
    let left = round.left(&[AARCH64, "qemu-arm", "qemu-s390x"]);
    let is_removed = removal.has(removed, "removed");
    // If the removal has met it there, it may have done so after that exit.
    round.is_true(&run, "aarch64", aarch64 || is_same && is_removed);
    round.is_true(&run, "arm", arm);
    if !is_same && !is_bare {
        round.is_fine(&run);
        round.is_fine(&removal);
    }
    if left.contains_key("qemu-s390x") {
        if removal.is_good() && !is_same {
            round.tell("lie", &format!("s390x is there: {}", removal.says));
        }
        if !runs_elsewhere("s390x") {
            round.tell("loss", "s390x doesn't run any more");
        }
    } else if is_same || !removal.is_good() {
        round.tell("loss", "s390x is gone");
    }
    if left.contains_key(AARCH64) && !aarch64 {
        round.tell("lie", &format!("aarch64 is half there: {}", run.says));
    }
    round.end()
}

fn stay(number: usize) -> Vec<String> {
    let mut round = Round::new(number, number % 2 == 1);
    let (is_clean, is_bare) = (round.bit(1), round.bit(2));
    let stay: &[&str] =
        if is_clean { &["hold", "--json", "--clean", "aarch64"] } else { &["hold", "--json", "aarch64"] };
    let stay = Running::start(qus(stay));
    pause(number * 3, 60);
    let run: &[&str] = match is_bare {
        true => &["install", "--json", "--persistent", "no", "aarch64"],
        false => &["install", "--json", "aarch64"],
    };
    let run = Running::start(qus(run));
    pause(number, 60);
    stay.terminate();
    let run = run.wait();
    stay.wait();
    let runs = if is_bare { runs_here("aarch64") } else { runs_elsewhere("aarch64") };
    let mut allowed = if_any(&[&run], AARCH64);
    if !is_clean {
        allowed.push(AARCH64);
    }
    round.left(&allowed);
    round.is_true(&run, "aarch64", runs);
    if !is_bare && !is_clean {
        round.is_fine(&run);
    }
    round.end()
}

fn tool(number: usize) -> Vec<String> {
    let mut round = Round::new(number, true);
    let (is_same, is_bare, removes, is_early) = (round.bit(0), round.bit(1), round.bit(2), round.bit(3));
    let name = if is_same { AARCH64 } else { "fex-aarch64" };
    // As QEMU's own script does: all of e_ident counts, but the ABI.
    let line = format!(
        r":{name}:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/tool/qemu:F"
    );
    let mut is_registered = is_early && register(&line);
    let run: &[&str] = match is_bare {
        true => &["install", "--json", "--persistent", "no", "aarch64"],
        false => &["install", "--json", "aarch64"],
    };
    let run = Running::start(qus(run));
    pause(number, 50);
    is_registered = is_registered || register(&line);
    let mut is_removed = false;
    if removes {
        pause(number * 7, 30);
        is_removed = unregister(name);
    }
    let run = run.wait();
    let runs = if is_bare { runs_here("aarch64") } else { runs_elsewhere("aarch64") };
    let mut allowed = if_any(&[&run], AARCH64);
    allowed.push(name);
    let left = round.left(&allowed);
    let is_its = |text: &Vec<u8>| String::from_utf8_lossy(text).contains("interpreter /tool/qemu\n");
    let there = left.get(name);
    // Of another name, it has taken away what only a run that relied on it may have reported.
    let is_taken =
        is_removed && (is_same || run.has("aarch64", "third-party") || run.has("aarch64", "foreign"));
    round.is_true(&run, "aarch64", runs || is_taken);
    if is_registered && !is_removed {
        // What works as it was asked for is to be kept; with -p, one that lacks a flag makes way for one of ours.
        let may_be_ours = is_same && !is_bare && run.is_good();
        match there {
            Some(text) if is_its(text) || may_be_ours => {}
            Some(_) => round.tell("loss", &format!("{name} is another's now: {}", run.says)),
            None => round.tell("loss", &format!("{name} is gone: {}", run.says)),
        }
        if !runs {
            round.tell("loss", &format!("nothing runs any more: {}", run.says));
        }
    }
    if !run.is_good() && there.is_some_and(|text| !is_its(text)) {
        round.tell("lie", &format!("{name} is left: {}", run.says));
    }
    round.end()
}

//! Many runs, one after the other and at the same time, and a long hold: nothing piles up.
//!
//! Short by default; `QUS_TEST_LOAD=long` takes some minutes, and is to be run alone:
//! `QUS_TEST_LOAD=long cargo test --test kernel load -- --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, is_emulated, tell};

fn is_long() -> bool {
    std::env::var_os("QUS_TEST_LOAD").is_some_and(|v| v == "long")
}

/// How many mounts this kernel knows, those that no namespace shows among them; `None` where only root may ask.
fn mounts() -> Option<usize> {
    // What was unmounted is freed a moment later.
    std::thread::sleep(Duration::from_secs(2));
    let slabs = std::fs::read_to_string("/proc/slabinfo").ok()?;
    slabs.lines().find(|l| l.starts_with("mnt_cache "))?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn registering_and_removing_repeatedly_leaves_nothing() {
    let Some(s) = Sandbox::with_static_entrypoint() else { return };
    let (rounds, step) = match is_long() {
        true => (1000, 10),
        false if is_emulated() => (5, 5),
        false => (30, 30),
    };
    let before = mounts();
    let started = Instant::now();
    for _ in 0..rounds / step {
        // Anchored, each time: nobody else holds a mount.
        s.quietly(&format!(
            "for i in $(seq {step}); do
                qus -s -- -p arm >/dev/null 2>&1 && /foreign/busybox-arm true && qus -- -r arm >/dev/null 2>&1 || exit
                ! /foreign/busybox-arm true 2>/dev/null || exit
            done"
        ));
    }
    let took = started.elapsed();
    // Which processes there are, and whether one waits for somebody to ask how it ended.
    const LOOK: &str = "mount -t binfmt_misc b /mnt; ls /mnt; umount /mnt; wc -l </proc/self/mountinfo
        sed -n 's/^Name:\t//p; /^State:\tZ/p' /proc/[0-9]*/status";
    let left = s.quietly(LOOK);
    let fresh = Sandbox::with_static_entrypoint().unwrap();
    let other = fresh.quietly(LOOK);
    assert_eq!(left, other);
    drop(fresh);
    let more = mounts().zip(before).map(|(after, before)| after.saturating_sub(before));
    tell(&format!(
        "load: {rounds} rounds of registering, running and removing: {} ms each; the kernel has {} mounts more",
        took.as_millis() / rounds,
        more.map_or("an unknown number of".to_owned(), |n| n.to_string())
    ));
    // Others on this machine mount things, too; a leak would be several in each round.
    if is_long()
        && let Some(more) = more
    {
        assert!(more < 500, "{more} mounts more");
    }
}

#[test]
fn many_concurrent_runs_succeed() {
    let Some(s) = Sandbox::with_static_entrypoint() else { return };
    let many = match is_long() {
        true => 50,
        false if is_emulated() => 6,
        false => 12,
    };
    let started = Instant::now();
    let failed = s.quietly(&format!(
        "for i in $(seq {many}); do
            (unshare --mount --propagation=private qus -s -- -p aarch64 arm >/tmp/said-$i 2>&1 || echo $i: $(cat /tmp/said-$i)) &
        done; wait; /foreign/busybox-arm true; /foreign/busybox-aarch64 true"
    ));
    assert_eq!(failed, "");
    let said =
        s.quietly("cat /tmp/said-* | grep -c '^arm *registered'; cat /tmp/said-* | grep -c '^arm *already'");
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["1", &(many - 1).to_string()]);
    let failed = s.quietly(&format!(
        "for i in $(seq {many}); do
            target=arm; [ $((i % 2)) = 0 ] || target=aarch64
            (unshare --mount --propagation=private qus -- -r $target >/tmp/said-$i 2>&1 || echo $i: $(cat /tmp/said-$i)) &
        done; wait; mount -t binfmt_misc b /mnt; ls /mnt | grep qemu || :"
    ));
    assert_eq!(failed, "");
    tell(&format!(
        "load: {many} registrations, then {many} removals at a time: {} ms",
        started.elapsed().as_millis()
    ));
}

#[test]
fn a_long_hold_needs_no_more_than_a_short_one() {
    let Some(s) = Sandbox::with_static_entrypoint() else { return };
    s.quietly("qus hold aarch64 arm >/tmp/out 2>/tmp/err & echo $! >/tmp/pid; await -p $! grep '^they stay' /tmp/out");
    // Asked by SIGHUP, it looks at the handlers and runs a program of each; otherwise it looks every ten seconds. While it does, it has
    // a few descriptors more: the least of three seconds counts.
    let usage = || {
        s.quietly(
            "kill -HUP $(cat /tmp/pid); cd /proc/$(cat /tmp/pid)
            for i in $(seq 15); do sleep 0.2; ls fd | wc -l; done | sort -n | head -n 1
            sed -n 's/^VmRSS:\t *//p' status; wc -l <mountinfo",
        )
    };
    usage();
    let first = usage();
    let started = Instant::now();
    let length = Duration::from_secs(if is_long() { 240 } else { 3 });
    let mut times = 0;
    while started.elapsed() < length {
        s.quietly("for i in 1 2 3 4 5; do kill -HUP $(cat /tmp/pid); sleep 0.1; done");
        times += 5;
    }
    let last = usage();
    let numbers = |text: &str| text.split_whitespace().filter_map(|w| w.parse().ok()).collect::<Vec<usize>>();
    let (before, after) = (numbers(&first), numbers(&last));
    assert_eq!((before[0], before[2]), (after[0], after[2]), "descriptors or mounts: {first}{last}");
    assert!(after[1] <= before[1] + 64, "memory, in kB: {first}{last}");
    s.quietly(
        "kill -TERM $(cat /tmp/pid); await -p $(cat /tmp/pid) false
        ! grep -v '^qus: note: ' /tmp/err",
    );
    tell(&format!(
        "load: held for {} s, asked {times} times: {} descriptors, {} kB of memory, then {} and {}",
        length.as_secs(),
        before[0],
        before[1],
        after[0],
        after[1]
    ));
}

//! Killed at any point: others' handlers are untouched, what ran before runs, and the next run ends well.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sandbox::Sandbox;

/// How many sandboxes work at the same time.
const WIDTH: usize = 4;

/// System calls that only look; being killed at the next one is the same.
const LOOKING: [&str; 8] =
    ["read", "pread64", "fcntl", "statx", "newfstatat", "lseek", "getdents64", "sched_getaffinity"];

/// Handlers of others, one of them for a target that is asked for, as Debian registers it: without `F`, with the name that qus uses. A mount
/// is held all the time.
const HOST: &str = r"
mount -t binfmt_misc b /mnt
cp /qus/bin/qemu-arm-static /usual
cp /qus/bin/qemu-s390x-static /rosetta
line() { qus -s -- -p -t $1 2>/dev/null | sed -n 's/^  :qemu-[^:]*:\(.*\):[^:]*:[^:]*$/\1/p'; }
printf %s ':jar:E::jar::/usr/bin/env:' >/mnt/register
printf %s ':python3.11:M::\xa7\x0d\x0d\x0a::/usr/bin/env:' >/mnt/register
echo 0 >/mnt/python3.11
printf %s :rosetta:$(line s390x):/rosetta:F >/mnt/register
printf %s :qemu-arm:$(line arm):/usual:OC >/debian
cat /debian >/mnt/register
others() { for entry in jar python3.11 rosetta status; do echo $entry; cat /mnt/$entry; done; cut -d ' ' -f 4- /proc/1/mountinfo; }
others >/others";

/// One kill, and what must hold then. $call and $nth say where.
const KILL: &str = r"
others() { for entry in jar python3.11 rosetta status; do echo $entry; cat /mnt/$entry; done; cut -d ' ' -f 4- /proc/1/mountinfo; }
wrong() { echo $call $nth: $*; ls /mnt; exit 1; }
[ -e /mnt/qemu-arm ] || cat /debian >/mnt/register
strace -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$nth qus -s -- -p aarch64 arm >/dev/null 2>&1 && exit 3
others | cmp - /others || wrong others differ after the kill
/foreign/busybox-arm true || wrong what ran before runs no more
for entry in $(cd /mnt; ls); do
	case $entry in jar | python3.11 | rosetta | status | register | qemu-arm | qemu-arm.new | qemu-aarch64 | qemu-aarch64.new) ;; *) wrong $entry is left ;; esac
done
qus -s -- -p aarch64 arm >/dev/null 2>/tmp/said || wrong the next run fails: $(cat /tmp/said)
others | cmp - /others || wrong others differ after the next run
for target in arm aarch64; do /foreign/busybox-$target true || wrong $target does not run after the next run; done
for trial in /mnt/qemu-*.new; do [ ! -e $trial ] || wrong $trial is left; done
grep -qx 'interpreter /qus/bin/qemu-arm-static' /mnt/qemu-arm || wrong it was not replaced
for entry in /mnt/qemu-*; do echo -1 >$entry; done";

#[test]
fn a_run_killed_at_any_system_call_harms_nobody() {
    let Some(s) = Sandbox::new() else { return };
    s.quietly(HOST);
    s.quietly("strace -qq -o /tmp/calls qus -s -- -p aarch64 arm");
    let mut count = BTreeMap::new();
    let calls = s.quietly("cut -d '(' -f 1 /tmp/calls");
    // The first is the execve by which strace starts it.
    let places: Vec<_> = calls
        .lines()
        .skip(1)
        .filter(|call| {
            !LOOKING.contains(call) && call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
        .map(|call| (call, *count.entry(call).and_modify(|n| *n += 1).or_insert(1)))
        .collect();
    assert!(places.len() > 100, "{places:?}");
    let killed = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WIDTH {
            scope.spawn(|| {
                let Some(s) = Sandbox::new() else { return };
                s.quietly(HOST);
                while let Some((call, nth)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let output = s.run(&format!("call={call} nth={nth}{KILL}"));
                    match output.status.code() {
                        Some(0) => drop(killed.fetch_add(1, Ordering::Relaxed)),
                        // Not every run makes as many calls: it ended before.
                        Some(3) => drop(s.quietly("for entry in /mnt/qemu-*; do echo -1 >$entry; done")),
                        _ => {
                            wrong.lock().unwrap().push(format!("{call} {nth}: {output:?}"));
                            return;
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let killed = killed.into_inner();
    assert!(killed * 10 > places.len() * 9, "only {killed} of {} runs were killed", places.len());
}

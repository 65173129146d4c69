//! What a run has replaced comes back if the run fails, and what others have registered stays.

use crate::sandbox::Sandbox;

/// Another tool has registered qemu-arm, from a directory of its own, and somebody holds binfmt_misc.
const OTHERS: &str =
    "mount -t binfmt_misc b /mnt; mkdir -p /other/bin; cp /qus/bin/qemu-arm-static /other/bin
    qus export binfmt.d arm --path /other/bin >/mnt/register";

#[test]
fn without_inotify_another_tools_handler_stays() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(OTHERS);
    let before = s.quietly("cat /mnt/qemu-arm");
    s.quietly("echo 0 >/proc/sys/user/max_inotify_instances");
    for run in ["-s -- -p arm", "-s -- --replace arm", "-s -- -p -t arm"] {
        s.step(&format!("qus {run}"));
        assert_eq!(s.quietly("cat /mnt/qemu-arm; /foreign/busybox-arm true"), before, "{run}");
    }
    s.quietly("echo 100 >/proc/sys/user/max_inotify_instances");
    s.step("qus -s -- -p arm");
    s.compare();
}

#[test]
fn a_refused_umount_loses_nobodys_handler() {
    let Some(s) = Sandbox::new() else { return };
    s.quietly(OTHERS);
    let before = s.quietly("cat /mnt/qemu-arm");
    for run in ["qus -s -- -p arm", "qus -s -- --replace arm"] {
        let mut failures = 0;
        for nth in 1..10 {
            let fault = format!("-e trace=umount2 -e inject=umount2:error=EPERM:when={nth}");
            let output = s.run(&format!("strace -qq -o /dev/null {fault} {run}"));
            if !output.status.success() {
                failures += 1;
                assert_eq!(s.quietly("cat /mnt/qemu-arm"), before, "{run}, {nth}: {output:?}");
            }
            s.quietly("/foreign/busybox-arm true; echo -1 >/mnt/qemu-arm; qus export binfmt.d arm --path /other/bin >/mnt/register");
        }
        // With an anchor, it doesn't matter.
        assert!(failures > 0 || run.contains("-p"), "{run}");
    }
}

#[test]
fn an_outer_binfmt_misc_is_not_taken_for_its_own() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mkdir /tmp/held");
    // What is mounted out here is locked in there. Somebody in there holds the binfmt_misc of that namespace.
    s.quietly(
        "cat >/path/inner <<'SH'
#!/bin/sh
exec unshare --user --map-root-user --mount --propagation=private sh -c '
    unshare --mount --propagation=private sh -c \"mount -t binfmt_misc b /mnt; : >/tmp/held/there; exec sleep 50\" & holder=$!
    until [ -e /tmp/held/there ]; do sleep 0.02; done
    enter() { nsenter --mount --target $holder \"$@\"; }
    '\"$1\"'
    kill $holder; rm /tmp/held/there'
SH
        chmod +x /path/inner",
    );
    s.step("inner 'qus -s -- arm; echo $?; enter ls /mnt'");
    s.step(
        "inner 'enter qus export binfmt.d arm --path /qus/bin | enter tee /mnt/register >/dev/null
    qus -s -- --replace arm; echo $?; enter grep -a flags /mnt/qemu-arm'",
    );
    s.step("ls /proc/sys/fs/binfmt_misc");
    s.compare();
}

/// A run that replaces qemu-arm, killed after its trial, when only its stand-in is there.
const KILLED: &str = "strace -qq -o /dev/null -P /qus/anchor/register -e trace=write -e inject=write:signal=KILL:when=3 qus install --replace arm";

const SHOW: &str = "ls /mnt | grep arm; /foreign/busybox-arm uname -m";

#[test]
fn a_stand_in_of_a_killed_run_serves_until_a_run_is_good() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mkdir /bad /other; cp /qus/bin/qemu-aarch64-static /bad/qemu-arm-static
        cp /qus/bin/qemu-arm-static /other; printf x >>/other/qemu-arm-static; qus install arm",
    );
    s.step(&format!("{KILLED}; {SHOW}"));
    s.step("qus doctor | grep -A 1 ' qemu-arm'");
    for run in ["install --path /bad", "install --dry-run", "hold aarch64 --path /other"] {
        s.step(&format!("qus {run} arm | grep '^arm'; {SHOW}"));
    }
    // Another tool has registered its own meanwhile.
    s.quietly("qus export binfmt.d arm --path /qus/bin >/mnt/register");
    s.step(&format!("qus install arm; {SHOW}"));
    s.step(&format!("{KILLED} 2>/dev/null; qus install arm; {SHOW}"));
    s.step(&format!("{KILLED} 2>/dev/null; qus remove --except aarch64; {SHOW}"));
    s.compare();
}

#[test]
fn trials_of_unusual_names_are_cleared_too() {
    let Some(mut s) = Sandbox::new() else { return };
    let trial = |name: &str, mark: &str| {
        format!(r"printf %s ':{name}:M::\x7fELF\x01\x01\x01\x00{mark}::/bin/true:' >/mnt/register; ")
    };
    let theirs = trial("qemu-arm.new", "other");
    let ours = trial("qemu-arm.new-0123abcd", r"qus\x00abcd");
    s.quietly(&format!("mount -t binfmt_misc b /mnt; {theirs}{ours}"));
    s.step("qus install --path /nowhere arm; ls /mnt");
    s.step("qus install arm; ls /mnt");
    s.quietly(&ours);
    s.step("qus install arm; ls /mnt");
    s.quietly(&ours);
    s.step("qus remove --except arm; ls /mnt");
    s.step("qus remove arm; ls /mnt");
    s.compare();
}

#[test]
fn what_an_install_has_promised_outlives_a_hold() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "cat >/path/held <<'SH'
#!/bin/sh
qus hold --clean arm >/tmp/out 2>/tmp/err & hold=$!
until grep -q '^they stay' /tmp/out; do sleep 0.02; done
\"$@\"; echo $?
kill -TERM $hold; wait $hold; cat /tmp/err
/foreign/busybox-arm uname -m
qus remove arm 2>/dev/null
SH
        chmod +x /path/held",
    );
    s.step("held qus install arm");
    s.step("held qus -s -- arm");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("held qus install arm");
    s.step("held qus -s -- arm");
    s.step("held qus -s -- --replace arm");
    s.compare();
}

//! What a run has replaced comes back if the run fails, and what others have registered stays.

use crate::sandbox::Sandbox;

/// Another tool has registered qemu-arm, from a directory of its own, and somebody holds binfmt_misc.
const OTHERS: &str =
    "mount -t binfmt_misc b /mnt; mkdir -p /other/bin; cp /qus/bin/qemu-arm-static /other/bin
    qus export binfmt.d arm --path /other/bin >/mnt/register
    cat >/path/hidden <<'SH'
#!/bin/sh
exec unshare --mount --propagation=private sh -c 'mount -t tmpfs t /other; exec \"$@\"' hidden \"$@\"
SH
    cat >/path/by <<'SH'
#!/bin/sh
/foreign/busybox-arm sleep 20 & program=$!
await -p $program cmp /proc/$program/exe \"$1\"
cmp /proc/$program/exe \"$1\"; kill $program
SH
    chmod +x /path/hidden /path/by";

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
    s.quietly("echo 100 >/proc/sys/user/max_inotify_instances; echo 0 >/proc/sys/user/max_inotify_watches");
    s.step("qus -s -- -p -t arm");
    s.quietly("echo 100 >/proc/sys/user/max_inotify_watches");
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
            // From where that tool's directory is not in sight.
            let output = s.run(&format!("hidden strace -qq -o /dev/null {fault} {run}"));
            if !output.status.success() {
                failures += 1;
                assert_eq!(s.quietly("cat /mnt/qemu-arm"), before, "{run}, {nth}: {output:?}");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!said.contains("not all targets could be registered"), "{run}, {nth}: {said}");
            }
            s.quietly("/foreign/busybox-arm true; echo -1 >/mnt/qemu-arm; qus export binfmt.d arm --path /other/bin >/mnt/register");
        }
        // With an anchor, it doesn't matter.
        assert!(failures > 0 || run.contains("-p"), "{run}");
    }
}

#[test]
fn a_path_with_a_newline_comes_back() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt
        rule=$(qus export binfmt.d --force --path /x arm | tr : '|'); printf '%s/new\nflags: PF\nline|' \"${rule%%/x/*}\" >/mnt/register",
    );
    let before = s.quietly("cat /mnt/qemu-arm");
    s.step("qus list");
    s.step(
        "qus hold --clean arm >/tmp/out & await grep '^they stay' /tmp/out; /foreign/busybox-arm echo runs; kill -TERM $!; wait $!",
    );
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    s.compare();
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
    await -p $holder test -e /tmp/held/there
    enter() { nsenter --mount --target $holder \"$@\"; }
    '\"$1\"'
    clean; kill $holder; rm /tmp/held/there'
SH
        chmod +x /path/inner",
    );
    s.step("inner 'qus -s -- arm; echo $?; enter ls /mnt'");
    // Its emulator is on a file system of that namespace.
    s.step(
        "mkdir /tmp/own; inner 'enter mount -t tmpfs t /tmp/own; enter cp /qus/bin/qemu-arm-static /tmp/own
    enter qus export binfmt.d arm --path /tmp/own | enter tee /mnt/register >/dev/null
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
    // By now another tool has registered its own.
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
rm -f /tmp/out
qus hold --clean arm >/tmp/out 2>/tmp/err & hold=$!
await -p $hold grep '^they stay' /tmp/out
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

/// `staying COMMAND…`: what it says while it holds, with `$during` in between, and at its end.
const STAYING: &str = r#"cat >/path/staying <<'SH'
#!/bin/sh
out=/tmp/out.$$; "$@" >$out 2>$out.err & hold=$!
until grep -s "^they stay" $out | sed "s/ (.*//" | grep .; do sleep 0.02; kill -0 $hold || exit; done
do=$during; unset during; eval "$do"
kill -TERM $hold; wait $hold; echo $?; grep -v namespace $out.err
SH
    chmod +x /path/staying"#;

#[test]
fn a_hold_that_cleans_up_restores_what_it_replaced() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!(
        r#"{OTHERS}; echo -1 >/mnt/qemu-arm; mkdir /build; cp /other/bin/* /build; printf x >>/build/qemu-arm-static; {STAYING}"#
    ));
    // Without flag F, as a run has reported it.
    s.quietly("qus -s -- arm 2>/dev/null");
    let bare = s.quietly("cat /mnt/qemu-arm");
    s.step("staying qus hold --clean arm; /foreign/busybox-arm uname -m; ls /mnt");
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), bare);
    // Another run has put its own in that place.
    s.step("during='qus install --path /build arm' staying qus hold --clean arm; by /build/qemu-arm-static");
    // Another tool's, whose directory is not in sight.
    s.quietly(ODD);
    let odd = s.quietly("cat /mnt/qemu-arm");
    s.step("staying hidden qus hold --clean arm; by /other/bin/qemu-arm-static; ls /mnt");
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), odd);
    // What that holds open can't be known.
    s.step("echo 0 >/mnt/qemu-arm; staying qus hold --clean --replace arm; ls /mnt");
    // Of a hold that has ended and left it, and nothing else keeps binfmt_misc.
    s.quietly("umount /mnt");
    s.step("staying qus hold --path /build arm; staying qus hold --clean arm; by /build/qemu-arm-static");
    // The first registers its own again when the second has removed its, and leaves what was there before both. While the second
    // replaces it, which takes a moment here, it waits.
    let slowly =
        "strace -D -qq -o /dev/null -P /qus/anchor/qemu-arm -e trace=write -e inject=write:delay_exit=900000";
    for second in ["staying", &format!("during=\"grep -v namespace $out.err\" staying {slowly}")] {
        s.step(&format!(
            "during='{second} qus hold --clean arm; await grep again $out.err' staying qus hold --clean --path /build arm; qus -l"
        ));
    }
    s.compare();
}

#[test]
fn a_hold_restores_or_leaves_what_it_cannot_know() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!("{OTHERS}; {ODD}; {STAYING}"));
    let before = s.quietly("cat /mnt/qemu-arm");
    // strace is beside it, so that the signal reaches qus.
    let strace = "strace -D -qq -o /dev/null";
    let mut failures = 0;
    for nth in 1..8 {
        let fault = format!("-e trace=clone -e inject=clone:error=EAGAIN:when={nth}");
        let said = s.quietly(&format!("staying {strace} {fault} qus hold --clean arm || :"));
        failures += usize::from(!said.contains("they stay"));
        assert_eq!(s.quietly("cat /mnt/qemu-arm"), before, "{nth}: {said}");
    }
    assert!(failures > 0);
    // Its path is gone, and without CAP_SYS_CHROOT nothing can stand in for it.
    s.quietly("mv /other/bin /other/away");
    s.step("setpriv --bounding-set=-sys_chroot qus hold arm");
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    // What can't be traced isn't known.
    s.step(&format!(
        "during='echo -1 >/mnt/qemu-arm; sleep 0.6; ls /mnt' staying {strace} -f -e trace=none qus hold --persistent no arm"
    ));
    // Another's has come, which nothing else keeps.
    s.quietly("umount /mnt");
    s.quietly("printf '%s\\n' 'mount -t binfmt_misc b /mnt; echo :jar:E::jar::/usr/bin/true: >/mnt/register' >/come");
    s.step("during='unshare -m sh /come' staying qus hold --clean arm; qus -l");
    s.compare();
}

#[test]
fn a_hold_that_cannot_clean_up_names_each_target_once() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(STAYING);
    s.quietly("printf '%s\\n' 'mount -t binfmt_misc b /mnt; echo :jar:E::jar::/usr/bin/true: >/mnt/register' >/come");
    s.step("during='unshare -m sh /come' staying qus hold --clean arm microblaze");
    s.compare();
}

/// A handler that is registered last comes first.
#[test]
fn what_a_hold_registers_again_is_said_to_come_first() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!("{OTHERS}; {STAYING}; cp /other/bin/qemu-arm-static /box"));
    s.quietly("printf %s \"$(qus export binfmt.d arm --path /other/bin | sed 's/:qemu-arm:/:box:/; s|/other/bin/[^:]*|/box|')\" >/rule");
    s.step("during='cat /rule >/mnt/register; by /box' staying qus hold --clean arm; by /other/bin/qemu-arm-static");
    s.quietly("echo -1 >/mnt/box");
    s.step(
        "during='cat /rule >/mnt/register; echo -1 >/mnt/qemu-arm; await -p $hold grep again $out.err' staying qus hold arm",
    );
    s.compare();
}

#[test]
fn what_a_hold_could_not_try_is_not_said_to_fail() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!("{OTHERS}; {STAYING}; cat /mnt/qemu-arm >/dev/null"));
    s.quietly("qus export binfmt.d arm --path /other/bin >/rule");
    s.step(
        "during='kill -STOP $hold; echo -1 >/mnt/qemu-arm; cat /rule >/mnt/register
        strace -qq -o /dev/null -e inject=clone:error=EAGAIN -p $hold & await grep TracerPid:.[1-9] /proc/$hold/status
        kill -CONT $hold; await -p $hold grep cannot $out.err' staying qus hold arm",
    );
    s.compare();
}

#[test]
fn a_run_at_work_is_not_said_to_be_interrupted() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step(
        "strace -qq -o /dev/null -P /qus/anchor/register -e trace=write -e inject=write:delay_exit=2s:when=1 \
         qus install --quiet arm & await ls /mnt/qemu-arm.new; qus doctor | grep 'arm.new:'; wait $!",
    );
    s.compare();
}

#[test]
fn a_new_handler_that_was_disabled_is_not_said_to_be_removed() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt");
    for change in ["echo 0 >/mnt/qemu-arm", "echo -1 >/mnt/qemu-arm"] {
        s.step(&format!(
            "strace -qq -o /dev/null -P /qus/anchor/register -e trace=write -e inject=write:delay_exit=2s:when=2 \
             qus install arm & await ls /mnt/qemu-arm; {change}; wait $!; ls /mnt"
        ));
    }
    s.compare();
}

/// What it holds open can't be known while it is disabled.
#[test]
fn a_disabled_handler_is_not_lost_with_its_successor() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!("{OTHERS}; mkdir /own; cp /qus/bin/qemu-arm-static /own; echo 0 >/mnt/qemu-arm"));
    let slowly =
        "strace -qq -o /dev/null -P /qus/anchor/register -e trace=write -e inject=write:delay_exit=2s:when=1";
    s.step(&format!(
        "{slowly} qus install --path /own arm & await ls /mnt/qemu-arm.new; touch --date=@1 /own/qemu-arm-static; wait $!; ls /mnt"
    ));
    s.compare();
}

/// Others' handlers, with flag C, whose emulator is another file than that of qus.
const ODD: &str = "printf x >>/other/bin/qemu-arm-static; echo -1 >/mnt/qemu-arm
    qus export binfmt.d arm --path /other/bin --credentials yes >/mnt/register";

#[test]
fn a_hold_that_is_bound_to_fail_touches_nothing() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!("{OTHERS}; {ODD}; {STAYING}; mkdir /few; cp /qus/bin/qemu-arm-static /few"));
    let before = s.quietly("cat /mnt/qemu-arm");
    s.step("hidden qus hold --path /few arm aarch64; by /other/bin/qemu-arm-static");
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    s.step("qus hold --dry-run --path /few arm aarch64");
    s.quietly("echo 0 >/mnt/qemu-arm");
    s.step("qus hold --path /few arm aarch64; head -n 1 /mnt/qemu-arm");
    // It couldn't be restored.
    s.step("qus hold arm; head -n 1 /mnt/qemu-arm");
    s.step("qus hold --dry-run arm");
    s.quietly("echo 1 >/mnt/qemu-arm; cp /qus/bin/qemu-arm-static /qemu-zz");
    s.quietly("qus export binfmt.d arm --force --path / | sed 's/:qemu-arm:/:zz:/; s|/qemu-arm-static|/qemu-zz|' >/mnt/register");
    s.step("qus hold arm");
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    s.quietly("echo -1 >/mnt/zz");
    s.step("by /other/bin/qemu-arm-static");
    // Nothing can be traced that is traced already.
    s.step("timeout 10 strace -f -qq -o /dev/null -e trace=none qus hold arm");
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    s.quietly("echo -1 >/mnt/qemu-arm; qus export binfmt.d arm --path /other/bin | sed 's|/other/bin/[^:]*|/bin/false|' >/mnt/register");
    s.step("qus hold --dry-run arm");
    s.step("qus hold arm");
    // What runs its programs is a shell, and no emulator.
    s.quietly("printf '#!/bin/sh\\nexec /qus/bin/qemu-arm-static \"$@\"\\n' >/script; chmod +x /script");
    s.quietly("echo -1 >/mnt/qemu-arm; qus export binfmt.d arm --path /other/bin --preserve-argv0 no | sed 's|/other/bin/[^:]*|/script|' >/mnt/register");
    s.step("/foreign/busybox-arm uname -m; qus hold --dry-run arm; qus hold arm");
    s.step("during='echo -1 >/mnt/qemu-arm; await -p $hold grep known $out.err; ls /mnt' staying qus hold --persistent no arm");
    s.compare();
}

#[test]
fn a_hold_that_fails_late_brings_back_what_was_there() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(&format!("{OTHERS}; {ODD}"));
    let before = s.quietly("cat /mnt/qemu-arm");
    // Two trials, the stand-in, arm, and then s390x.
    let strace =
        "strace -qq -o /dev/null -P /qus/anchor/register -e trace=write -e inject=write:error=ENOSPC:when=5";
    for place in ["hidden ", ""] {
        s.step(&format!("{place}{strace} qus hold arm s390x; by /other/bin/qemu-arm-static; ls /mnt"));
        assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    }
    // Without CAP_SYS_CHROOT, where its directory is in sight; the rehearsal of restoring it is one more.
    s.step(&format!(
        "setpriv --bounding-set=-sys_chroot {} qus hold arm s390x; by /other/bin/qemu-arm-static",
        strace.replace("when=5", "when=6")
    ));
    assert_eq!(s.quietly("cat /mnt/qemu-arm"), before);
    s.step("hidden qus -s -- -p arm; by /qus/bin/qemu-arm-static");
    s.compare();
}

//! A user namespace without a binfmt_misc of its own uses the outer handlers, up to its first mount of one.

use crate::sandbox::Sandbox;

/// A sandbox with a handler for arm, and `inner COMMAND…`: in another user namespace, which inherits the mounts; and what its programs
/// print.
fn with_outer_handlers() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    s.quietly(
        "cat >/path/inner <<'SH'
#!/bin/sh
exec unshare --user --map-root-user --mount sh -c 'sh -c \"$*\"; code=$?; clean; exit $code' sh \"$@\"
SH
        echo 'for c in \"$@\"; do echo \"- $c\" && qus $c 2>&1; echo \"exit $?\"; arm; done' >/path/each
        echo 'exec /foreign/busybox-arm echo arm runs' >/path/arm
        chmod +x /path/*; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; qus install arm",
    );
    Some(s)
}

#[test]
fn a_dry_run_hides_no_outer_handlers() {
    let Some(mut s) = with_outer_handlers() else { return };
    s.step("inner each \"'install --dry-run s390x'\" \"'hold --dry-run s390x'\" \"'-s -l -- -p -t s390x'\"");
    s.quietly("mkdir /own; cp /qus/bin/qemu-arm-static /own; cp /bin/true /own/qemu-s390x-static");
    s.step("inner each \"'install --dry-run --shadow-host --path /own s390x'\"");
    s.quietly("umount /proc/sys/fs/binfmt_misc");
    s.step("inner each \"'install --dry-run s390x'\"");
    s.step("inner each \"'install --dry-run --path /own s390x arm'\" \"'install --path /own s390x arm'\"");
    s.compare();
}

#[test]
fn a_dry_run_foresees_how_a_first_mount_would_end() {
    let Some(mut s) = with_outer_handlers() else { return };
    let without = |call: &str, error: &str, which: &str, more: &str| {
        format!(
            "inner 'strace -f -qq -o /dev/null -e trace={call} {which} -e inject={call}:error={error} \
             qus install {more} arm; echo exit $?; arm'"
        )
    };
    for more in ["--dry-run", ""] {
        s.step(&without("open_tree", "ENOSYS", "", more));
        s.step(&without("mount", "EPERM", "-P binfmt_misc", more));
    }
    s.compare();
}

/// Only root may register, and a user namespace may have none.
#[test]
fn a_user_other_than_root_hides_no_outer_handlers() {
    let Some(mut s) = with_outer_handlers() else { return };
    for more in ["--dry-run", ""] {
        s.step(&format!(
            "unshare --user --map-user=1000 --map-group=1000 --mount --keep-caps sh -c 'qus install --quiet {more} arm; echo exit $?; arm'"
        ));
    }
    s.compare();
}

#[test]
fn handlers_that_nothing_keeps_hide_no_outer_ones() {
    let Some(mut s) = with_outer_handlers() else { return };
    // The outer root user is this one, too, and may write to the outer binfmt_misc.
    for bare in ["-s --", "-s -- --shadow-host"] {
        s.step(&format!("inner each \"'{bare} -t s390x'\" \"'{bare} s390x'\""));
    }
    s.compare();
}

#[test]
fn outer_handlers_that_name_a_path_are_not_hidden() {
    let Some(mut s) = with_outer_handlers() else { return };
    s.quietly(
        "mkdir -p /v /own /inside/v; qus remove; qus install --persistent no --path /v arm; qus install aarch64
        cp /qus/bin/qemu-s390x-static /own; cp /qus/bin/qemu-arm-static /inside/v; cp /foreign/busybox-arm /inside
        echo '/foreign/busybox-aarch64 echo aarch64 runs; chroot /inside /busybox-arm echo arm runs' >/path/arm",
    );
    let commands =
        "list status \"'install --dry-run s390x'\" \"'install --path /own s390x'\" \"'install s390x'\"";
    // The emulator is on a file system of this user namespace, or only in another root directory.
    s.step(&format!("inner 'mount -t tmpfs t /v; cp /qus/bin/qemu-arm-static /v; arm; each {commands}'"));
    s.step(&format!("inner 'arm; each {commands}'"));
    s.compare();
}

#[test]
fn outer_handlers_of_no_target_are_not_hidden_unasked() {
    let Some(mut s) = with_outer_handlers() else { return };
    s.quietly(
        "qus remove; cd /proc/sys/fs/binfmt_misc
        echo ':jar:E::jar::/bin/echo:' >register; echo ':off:E::off::/bin/echo:' >register; echo 0 >off
        for program in arm.jar none.off; do echo exit 1 >/$program; chmod +x /$program; done
        echo 'exec /arm.jar' >/path/arm",
    );
    let each = "inner each list status doctor \"'remove --dry-run'\" \"'remove arm'\"";
    s.step(each);
    s.step("inner each \"'install --dry-run arm'\" \"'install arm'\" \"'install x86_64'\"");
    s.step("inner each \"'install --shadow-host arm'\" list remove list");
    // By its first bytes.
    s.quietly(
        "cd /proc/sys/fs/binfmt_misc; echo -1 >jar
        printf ':python:M:2:MAGIC:\\xff\\xff\\xff\\xff\\xdf:/bin/echo:F' >register
        printf 'x\\nMAGIc' >/program; chmod +x /program; echo 'exec /program' >/path/arm",
    );
    s.step("inner each list \"'install arm'\"");
    s.quietly("echo 0 >/proc/sys/fs/binfmt_misc/status");
    s.step("inner each list");
    s.compare();
}

#[test]
fn what_is_carried_over_has_run_before_the_mount() {
    let Some(mut s) = with_outer_handlers() else { return };
    s.quietly(
        "mkdir /own /bad; cp /qus/bin/qemu-s390x-static /own; cp /qus/bin/qemu-s390x-static /own/qemu-arm-static
        cp /qus/bin/qemu-arm-static /bad; cp /qus/bin/qemu-arm-static /bad/qemu-s390x-static",
    );
    s.step("inner each \"'install --path /own s390x'\" \"'install --no-prove --path /own s390x'\"");
    s.step(
        "inner each \"'install --dry-run --path /own s390x'\" \"'hold --path /bad s390x'\" \
        \"'hold --dry-run --path /bad s390x'\"",
    );
    // Good ones, by a path that no handler can have.
    s.quietly(
        "mkdir \"$(printf '/new\\nline')\"; cp /qus/bin/qemu-s390x-static /qus/bin/qemu-arm-static /new*",
    );
    s.step(
        "cd /new*; inner each \"'install --path . s390x'\"; cd /bad; inner each \"'install --path . s390x'\"",
    );
    s.compare();
}

#[test]
fn doctor_reports_outer_handlers_that_do_not_work() {
    let Some(mut s) = with_outer_handlers() else { return };
    // What runs nothing is hidden by the first mount.
    s.quietly(
        "cd /proc/sys/fs/binfmt_misc
        line() { sed -n '/^magic /s/magic //p;/^mask /s/mask //p' qemu-arm | sed 's/../\\\\x&/g'; }
        set -- $(line); echo -1 >qemu-arm; printf %s \":qemu-arm:M::$1:$2:/not/here:\" >register
        echo 'exec /foreign/busybox-arm true' >/path/arm",
    );
    s.step("inner qus check arm");
    s.step("inner qus doctor | grep -A 1 ' arm:'");
    s.step("inner 'qus install arm; arm && echo runs'");
    s.compare();
}

#[test]
fn nothing_is_said_to_be_lost_where_nothing_was_mounted() {
    let Some(mut s) = with_outer_handlers() else { return };
    for (call, error, more) in [("unshare", "EPERM", ""), ("mount", "EACCES", "-P binfmt_misc")] {
        s.step(&format!(
            "inner 'strace -qq -o /dev/null -e trace={call} {more} -e inject={call}:error={error} \
             qus install arm; echo exit $?; arm'"
        ));
    }
    s.step("inner each \"'install x86_64'\" \"'install --shadow-host --path /foreign x86_64'\"");
    s.compare();
}

/// Where its emulator's mount can't be looked up, an anchored handler may as well be an outer one.
#[test]
fn its_own_handlers_are_not_said_to_be_outer_ones() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "qus install arm
        cat >/path/without-fdinfo <<'SH'
#!/bin/sh
exec strace --quiet=all -o /dev/null -e trace=open,openat $(seq -f '-P /proc/self/fdinfo/%g' 3 30) \
    -e inject=open,openat:error=EACCES \"$@\"
SH
        chmod +x /path/without-fdinfo",
    );
    for command in ["list", "status", "remove arm", "install s390x"] {
        s.step(&format!("without-fdinfo qus {command}"));
    }
    s.step("qus list");
    s.compare();
}

/// As with the sysctl kernel.yama.ptrace_scope=3.
#[test]
fn handlers_that_cannot_be_traced_are_not_said_to_be_outer_ones() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("qus install arm");
    for command in ["list", "status", "remove arm", "install --dry-run s390x", "install s390x"] {
        s.step(&format!("strace -f -qq -o /dev/null -e trace=none qus {command}"));
    }
    s.compare();
}

#[test]
fn a_hold_that_has_ended_says_what_stays_hidden() {
    let Some(mut s) = with_outer_handlers() else { return };
    s.step(
        "inner '(qus hold --clean arm 2>/said & echo $! >/pid; wait $!) | { read -r line; echo \"$line\"; arm; kill $(cat /pid); cat; }
        grep -o \"note: .*;\" /said; arm'",
    );
    s.compare();
}

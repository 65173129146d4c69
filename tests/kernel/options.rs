//! The options that bend a run: what they act on, and what they leave.

use crate::sandbox::Sandbox;

#[test]
fn replace_registers_again_but_not_third_party_handlers() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus install arm");
    s.step("qus install arm");
    s.step("qus install --replace --dry-run arm | head -n 1");
    s.step("qus install --replace arm sh4");
    s.step("/foreign/busybox-arm uname -m");
    // Without -p a handler that does more is kept; asked twice, it gives way.
    s.step("qus -s -- arm");
    s.step("qus -s -- -p --force arm");
    s.step("qus install --persistent no --replace arm");
    s.step("qus install arm");
    s.quietly("mount -t binfmt_misc b /mnt; qus remove; cp /qus/bin/qemu-arm-static /rosetta");
    s.quietly("qus export binfmt.d arm --force --path / | sed 's/:qemu-arm:/:rosetta:/; s|/qemu-arm-static|/rosetta|' >/mnt/register");
    s.step("qus install --replace arm");
    s.step("qus list");
    s.compare();
}

#[test]
fn excepted_targets_are_not_touched() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; qus install arm s390x riscv64");
    // A handler of QEMU's kind that no row is for.
    s.quietly("qus export binfmt.d sh4 --path /qus/bin | sed 's/:qemu-sh4:/:qemu-vax:/' >/mnt/register");
    s.step("qus remove --except arm --dry-run");
    s.step("qus remove --except arm,linux/s390x");
    s.step("qus remove arm s390x --except arm");
    s.step("qus install arm riscv64 --except riscv64");
    s.step("qus check arm riscv64 --except riscv64 | cut -d ' ' -f 1");
    s.step("qus -- -r --except arm");
    s.step("qus list");
    s.compare();
}

#[test]
fn quiet_prints_only_errors() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus install --quiet --path /nowhere arm");
    s.step("qus check --quiet arm");
    s.step("qus install --quiet arm");
    s.step("qus check --quiet arm");
    s.step("qus -s -- --quiet s390x");
    s.step("qus hold --dry-run --clean s390x | head -n 1");
    s.step("qus install --quiet arm --json | grep -c state");
    s.step("qus remove --quiet");
    s.step("qus doctor --quiet");
    s.step("qus list");
    s.compare();
}

#[test]
fn variables_of_tonistiigi_binfmt_work() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mkdir /other; cp /qus/bin/qemu-arm-static /other/buildkit-qemu-arm-static");
    s.step("QEMU_BINARY_PREFIX=buildkit- qus --install arm");
    s.step("QEMU_BINARY_PATH=/other QEMU_BINARY_PREFIX=buildkit- qus --json --install arm | grep -E 'interpreter|state'");
    s.step("/foreign/busybox-arm uname -m");
    s.step("QEMU_BINARY_PREFIX=other/buildkit- qus --install arm");
    s.step("QEMU_PRESERVE_ARGV0=0 qus --install arm >/dev/null");
    s.step("qus --uninstall qemu-arm | grep -A 1 emulators");
    s.compare();
}

#[test]
fn a_bad_mount_point_is_named() {
    let Some(mut s) = Sandbox::new() else { return };
    // The last has a file `register`, and emulators below it.
    for place in ["/not/here", "/bin/true", "/qus"] {
        s.step(&format!("qus --mount {place} --install arm"));
        s.step(&format!("qus --mount {place} --uninstall arm"));
    }
    s.compare();
}

#[test]
fn hold_notes_changes_at_once() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "qus hold arm >/tmp/out 2>/tmp/err & echo $! >/tmp/pid
        await -p $! grep '^they stay' /tmp/out",
    );
    s.step("qus remove arm; await grep again /tmp/err; tail -n 1 /tmp/err");
    s.step("kill -TERM $(cat /tmp/pid); await -p $(cat /tmp/pid) false; grep -c registered.again /tmp/err");
    s.compare();
}

#[test]
fn whatever_ends_a_hold_it_cleans_up() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "cat >/path/end <<'SH'
#!/bin/sh
: >/tmp/out
env --default-signal qus hold --clean arm >/tmp/out 2>/tmp/err &
await -p $! grep '^they stay' /tmp/out
kill -\"$1\" $!
wait $!
echo \"$1: $?\"
SH
        chmod +x /path/end",
    );
    s.step("for signal in QUIT USR1 USR2 ALRM PWR 40; do end $signal; qus list; done");
    s.compare();
}

#[test]
fn a_hold_that_cannot_wait_for_signals_ends() {
    let Some(mut s) = Sandbox::new() else { return };
    let fault = "-e trace=rt_sigtimedwait -e inject=rt_sigtimedwait:error=EPERM:when=20+";
    s.step(&format!(
        "timeout --signal KILL 20 strace -qq -o /dev/null {fault} qus hold --clean arm >/tmp/out 2>&1; echo exit $?; tail -n 1 /tmp/out"
    ));
    s.step("qus list");
    s.compare();
}

/// Without a watch, which the kernel may refuse, it looks.
#[test]
fn hold_sees_at_once_what_is_removed_or_switched_off() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt
        cat >/path/soon <<'SH'
#!/bin/sh
change=$1
shift
: >/tmp/out >/tmp/err
\"$@\" >/tmp/out 2>/tmp/err &
await -p $! grep '^they stay' /tmp/out
began=$(date +%s)
sh -c \"$change\"
await -p $! grep another.process /tmp/err
[ $(($(date +%s) - began)) -lt 5 ] && tail -n 1 /tmp/err
kill -TERM $! 2>&-
wait $!
echo exit $?
SH
        chmod +x /path/soon",
    );
    let blind = "strace -D -qq -o /dev/null -e trace=inotify_init1 -e inject=inotify_init1:error=EMFILE";
    s.step("soon 'echo 0 >/mnt/qemu-arm' qus hold arm; echo -1 >/mnt/qemu-arm");
    s.step("soon 'echo 0 >/mnt/qemu-arm' qus hold --strict arm; echo -1 >/mnt/qemu-arm");
    s.step(&format!("soon 'echo -1 >/mnt/qemu-arm' {blind} qus hold arm"));
    s.compare();
}

#[test]
fn hold_watches_what_was_left_to_others() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; cp /qus/bin/qemu-arm-static /emulator
        qus export binfmt.d arm --path /qus/bin | sed 's|:qemu-arm:|:rosetta:|; s|/qus/bin/[^:]*|/emulator|' >/rosetta
        cat >/path/lose <<'SH'
#!/bin/sh
: >/tmp/out >/tmp/err
cat /rosetta >/mnt/register
qus hold \"$@\" arm >/tmp/out 2>/tmp/err &
await -p $! grep left.alone /tmp/out
cat /tmp/out
# It sees only what is there in the end.
kill -STOP $!
echo -1 >/mnt/rosetta
cat $then >/mnt/register
kill -CONT $!
await -p $! grep cannot.keep /tmp/err
kill -TERM $! 2>&-
wait $!
echo exit $?
cat /tmp/err
[ ! -e /mnt/rosetta ] || echo -1 >/mnt/rosetta
SH
        echo ':rosetta:E::jar::/bin/true:' >/jar; sed 's/$/C/' /rosetta >/setuid; chmod +x /path/lose",
    );
    for line in [
        "lose",
        "lose --strict",
        "then=/jar lose",
        "then=/jar lose --strict",
        "then=/setuid lose --strict",
        "then=/rosetta lose --strict",
    ] {
        s.step(&format!("export then=/dev/null; {line}"));
    }
    s.compare();
}

#[test]
fn a_strict_hold_sees_that_a_handler_was_registered_again() {
    let Some(mut s) = Sandbox::new() else { return };
    // As a restart of systemd-binfmt does it, in no time.
    s.quietly(
        r#"mount -t binfmt_misc b /mnt; qus -q install s390x
        cat >/path/again <<'SH'
#!/bin/sh
hex() { sed -n "s/^$1 //p" /mnt/$2 | sed 's/../\\x&/g'; }
line=:$1:M::$(hex magic $1):$(hex mask $1):/qus/bin/$1-static:PF
before=$(cat /mnt/$1)
echo -1 >/mnt/$1
printf %s "$line" >/mnt/register
[ "$before" = "$(cat /mnt/$1)" ]
SH
        chmod +x /path/again"#,
    );
    for handler in ["qemu-arm", "qemu-s390x"] {
        s.step(&format!(
            "qus hold --strict arm s390x >/tmp/out & await grep '^they stay' /tmp/out; kill -STOP $!
            again {handler} && kill -CONT $!; await -p $! false; kill -TERM $! 2>&-; wait $!"
        ));
        s.quietly("rm /tmp/out; qus -q remove; qus -q install s390x");
    }
    s.compare();
}

#[test]
fn reset_removes_nothing_where_no_emulator_works() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; qus install arm s390x; mkdir /own; cp /bin/true /own/qemu-aarch64-static
        echo ':qemu-cris:E::cris::/bin/true:' >/mnt/register",
    );
    s.step("QEMU_BIN_DIR=/own qus --reset -p yes | grep -v ^no.emulator; ls /mnt");
    s.step("cp /qus/bin/qemu-arm-static /own; QEMU_BIN_DIR=/own qus --reset -p yes | grep -v ^no.emulator; ls /mnt");
    s.compare();
}

#[test]
fn reset_says_what_it_may_not_remove() {
    let Some(mut s) = Sandbox::new() else { return };
    // The jar lives by the anchor of qemu-arm.
    s.quietly(
        "mkdir /own; cp /qus/bin/qemu-s390x-static /own; qus -q install arm
        unshare --mount sh -c \"mount -t binfmt_misc b /mnt; echo ':jar:E::jar::/bin/true:' >/mnt/register\"",
    );
    s.step("QEMU_BIN_DIR=/own qus --reset | grep -v ^no.emulator");
    s.step("QEMU_BIN_DIR=/own qus --reset; qus list");
    s.step("QEMU_BIN_DIR=/own qus --reset -p yes | grep -v ^no.emulator; qus list");
    s.step("QEMU_BIN_DIR=/own qus --reset -p yes | tail -n 2");
    s.compare();
}

#[test]
fn reset_with_files_removes_only_once_they_are_written() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; qus install arm s390x; mkdir /files /empty");
    s.step("HOST_ARCH=vax qus --reset --systemd ALL -e /files");
    s.step("QEMU_BIN_DIR=/empty qus --reset --systemd ALL -e /files");
    s.step("QEMU_BIN_DIR=/qus/bin qus --reset --systemd arm -e /not/here");
    s.step("ls /files /mnt");
    s.step("QEMU_BIN_DIR=/qus/bin qus --reset --systemd arm -e /files");
    s.step("ls /files /mnt");
    s.compare();
}

#[test]
fn a_dry_run_of_remove_ends_as_the_run() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; qus install arm");
    for error in ["EACCES", "EROFS"] {
        for dry in ["--dry-run ", ""] {
            s.step(&format!(
                "strace -qq -o /dev/null -P /proc/sys/fs/binfmt_misc/register -e inject=open,openat:error={error} \
                 qus remove {dry}arm"
            ));
        }
    }
    s.compare();
}

#[test]
fn hold_registers_again_what_was_there_before_it() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mkdir /own; cp /qus/bin/qemu-arm-static /own
        cat >/path/removed-while <<'SH'
#!/bin/sh
: >/tmp/out
\"$@\" >/tmp/out 2>/tmp/err &
await -p $! grep '^they stay' /tmp/out
echo -1 >/mnt/qemu-arm
await -p $! test -e /mnt/qemu-arm
sed -n 2,3p /mnt/qemu-arm
/foreign/busybox-arm uname -m
kill -TERM $!
wait $!
grep 'registered again' /tmp/err
SH
        chmod +x /path/removed-while",
    );
    // The other one's emulator covers the directory of both.
    s.step("qus install arm; removed-while qus hold arm aarch64; qus remove");
    // A handler that does more, whose file is another one by now.
    s.step("qus install --path /own arm; cp /bin/true /own/new; mv /own/new /own/qemu-arm-static");
    s.step("removed-while qus -s -- --hold arm; qus remove");
    s.compare();
}

#[test]
fn a_dry_run_of_export_ends_as_the_run() {
    let Some(mut s) = Sandbox::new() else { return };
    // Small emulators, which are soon hashed.
    s.quietly("mkdir /own; cp /foreign/busybox-$(uname -m) /own/qemu-arm-static; ln /own/qemu-arm-static /own/qemu-s390x-static");
    for (what, options, more) in [
        ("full", "size=8k", "echo old >/full/qemu-arm.conf; echo other >/full/other"),
        ("room for one", "size=8k", "echo other >/full/other"),
        ("no inodes", "nr_inodes=2", ": >/full/other"),
        ("read-only", "ro", ":"),
        ("a directory of that name", "size=1m", "mkdir /full/qemu-s390x.conf"),
        (
            "a mount of that name",
            "size=1m",
            ": >/full/qemu-arm.conf; mount --bind /full/qemu-arm.conf /full/qemu-arm.conf",
        ),
    ] {
        s.quietly(&format!("mkdir -p /full; mount -t tmpfs -o {options} t /full; {more}"));
        for run in ["--dry-run", ""] {
            s.step(&format!(
                "# {what}\nqus export binfmt.d --path /own -e /full {run} arm s390x | cut -d : -f 1"
            ));
        }
        s.quietly("umount --recursive /full");
    }
    s.step("(ulimit -f 0; qus export binfmt.d --path /own -e /tmp --dry-run arm | cut -d : -f 1)");
    s.compare();
}

//! Third-party handlers, and everything else on a host, stay as they are.

use crate::sandbox::Sandbox;

/// What hosts have registered: by extension, by magic, for Windows, disabled, and one that takes ELF programs without QEMU.
const ENTRIES: &str = r"
mount -t binfmt_misc b /mnt
cd /mnt
printf %s ':jar:E::jar::/usr/bin/env:' >register
printf %s ':python3.11:M::\xa7\x0d\x0d\x0a::/usr/bin/env:' >register
printf %s ':WSLInterop:M::MZ::/usr/bin/env:PF' >register
printf %s ':llvm-11-runtime.binfmt:M::BC::/usr/bin/env:' >register
echo 0 >python3.11
printf %s ':perl:E::pl::/not/in/this/container:' >register
printf %s ':qemuish:E::qemu::/usr/bin/qemu-nothing:' >register
cp /qus/bin/qemu-aarch64-static /rosetta
printf %s ':rosetta:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/rosetta:F' >register";

const SHOW: &str = "cd /mnt; for entry in [!qrs]* qemuish rosetta status; do echo $entry; cat $entry; done";

#[test]
fn third_party_entries_stay_the_same() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(ENTRIES);
    let before = s.quietly(SHOW);
    s.step("qus -l");
    s.step("qus -s -- -p arm aarch64 s390x");
    s.step("qus -l");
    s.step("qus doctor | grep -v ' kernel:'");
    s.step("qus -- -r arm");
    s.step("qus -- -r");
    s.step("qus -l");
    assert_eq!(s.quietly(SHOW), before);
    s.compare();
}

#[test]
fn debians_handlers_are_listed_as_the_distributions() {
    let Some(s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt");
    // Not of what this machine runs itself: no program would start here.
    let is_registered = |line: &&str| !line.starts_with('#') && !line.contains("86");
    let rows = include_str!("../data/qemu-user.binfmt.conf").lines().filter(is_registered);
    let mut expected = Vec::new();
    for line in rows {
        // The files are not here.
        s.quietly(&format!("printf %s '{}' >/mnt/register", line.replace(":OPF", ":OP")));
        let name = line.split(':').nth(1).unwrap();
        expected.push(format!("{name} {} distribution", name.trim_start_matches("qemu-")));
    }
    expected.sort_unstable();
    assert!(expected.iter().any(|row| row.contains(" mipsn32el ")), "{expected:?}");
    // Microblaze's is that of the machine number that QEMU goes by.
    let listed = s.quietly(
        "qus list | sed 1d | while read -r name _ _ arch owner _; do echo $name ${arch%-baab} $owner; done",
    );
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_third_party_handler_is_overridden_only_by_force() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(ENTRIES);
    let before = s.quietly(SHOW);
    s.step("qus -s -- -p aarch64");
    s.step("qus install --json aarch64 arm | grep -E 'state|left_to'; qus remove arm");
    s.step("qus -s -- -p --force aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -- -r aarch64");
    assert_eq!(s.quietly(SHOW), before);
    s.quietly("echo -1 >/mnt/rosetta; cp /bin/false /broken");
    s.quietly(
        &ENTRIES.lines().last().unwrap().replace("rosetta", "broken").replace("printf", "cd /mnt; printf"),
    );
    s.step("qus -s -- -p aarch64");
    s.compare();
}

/// Where nothing can be tried, a handler has not failed.
#[test]
fn a_handler_that_was_not_tried_is_not_said_to_fail() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(ENTRIES);
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    s.step("strace -qq -o /dev/null -e inject=clone:error=EAGAIN qus install aarch64");
    s.compare();
}

/// Registers a handler for all ordinary programs of a target: as qus would, by another name and with another file.
fn take(s: &Sandbox, name: &str, target: &str, file: &str) {
    take_with(s, name, target, file, "PF");
}

/// The same, with these flags.
fn take_with(s: &Sandbox, name: &str, target: &str, file: &str, flags: &str) {
    s.quietly(&format!(
        "qus export binfmt.d {target} --path /qus/bin --force 2>/dev/null | \
         sed 's|:qemu-{target}:|:{name}:|; s|/qus/bin/qemu-[^:]*:PF|{file}:{flags}|' >/mnt/register"
    ));
}

/// What doctor finds wrong, and the commands that fix it.
const WRONG: &str = "qus doctor | grep -A 1 -E '^(warn|broken) '";

#[test]
fn who_takes_native_programs_is_named_and_can_be_removed() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; cp /bin/false /bad",
    );
    take(&s, "boxxy", "i386", "/bad");
    s.step("qus install i386");
    s.step("qus check i386");
    s.step(WRONG);
    take(&s, "qemu-i386", "i386", "/bad");
    s.step(WRONG);
    s.step("qus doctor | sed -n 's/.*→ //p' | tail -n 1 >/tmp/fix; sh /tmp/fix; qus install i386");
    s.step(WRONG);
    s.compare();
}

#[test]
fn what_doctor_says_about_two_handlers_helps() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    s.quietly("cp /bin/false /bad; cp /qus/bin/qemu-aarch64-static /good; cp /good /qemu-other; qus install aarch64");
    let fixed = "$(qus doctor | sed -n 's/.*→ //p' | tail -n 1)";
    take(&s, "rosetta", "aarch64", "/bad");
    s.step("qus check aarch64");
    s.step(WRONG);
    s.step(&format!("{fixed}; qus check --quiet aarch64"));
    s.step(WRONG);
    s.quietly("echo -1 >/mnt/rosetta");
    take(&s, "rosetta", "aarch64", "/good");
    s.step(&format!("{WRONG}; qus doctor | grep rosetta"));
    s.quietly("echo -1 >/mnt/rosetta");
    take(&s, "another", "aarch64", "/qemu-other");
    s.step(WRONG);
    s.step(&format!("sh -c \"{fixed}\"; ls /mnt"));
    take(&s, "qemu-a b", "aarch64", "/qemu-other");
    s.step(WRONG);
    s.step(&format!("sh -c \"{fixed}\"; ls /mnt"));
    take(&s, "qemu-arm64", "aarch64", "/qemu-other");
    s.step(WRONG);
    s.compare();
}

#[test]
fn a_handler_is_not_said_to_run_what_another_runs() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; cp /bin/false /bad; mkdir /other; cp /foreign/busybox-arm /other",
    );
    let runs = "chroot /other /busybox-arm uname -m";
    // Broken, and another that only names a path takes precedence.
    let by_path =
        "qus export binfmt.d arm --path /qus/bin --persistent no | sed 's/qemu-arm:/arm:/' >/mnt/register";
    take(&s, "box-arm", "arm", "/bad");
    s.quietly(by_path);
    s.step(&format!("qus install arm; {runs}"));
    s.step("timeout 20 qus hold arm");
    s.step("qus -s -- arm");
    s.step(&format!("qus install --force arm; {runs}"));
    s.quietly("qus remove arm; echo -1 >/mnt/box-arm; echo -1 >/mnt/arm");
    take(&s, "qemu-arm", "arm", "/bad");
    s.quietly(by_path);
    s.step("qus -s -- arm");
    s.step(&format!("qus install arm; {runs}"));
    s.compare();
}

#[test]
fn doctor_removes_no_handler_that_works_for_one_that_does_not() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        cp /bin/false /qemu-broken; cp /qus/bin/qemu-arm-static /qemu-good",
    );
    let fixed = "sh -c \"$(qus doctor | sed -n 's/.*→ //p' | head -n 1)\"; /foreign/busybox-arm uname -m";
    for flags in ["", "F"] {
        take(&s, "qemu-arm", "arm", "/qemu-broken");
        take_with(&s, "arm", "arm", "/qemu-good", flags);
        s.step(WRONG);
        s.step(fixed);
        s.step(WRONG);
        s.step(fixed);
        s.step(&format!("{WRONG}; ls /mnt"));
        s.quietly("qus remove");
        // Alone.
        take_with(&s, "arm", "arm", "/qemu-good", flags);
        s.step(WRONG);
        s.quietly("echo -1 >/mnt/arm");
    }
    s.compare();
}

#[test]
fn a_handler_without_flag_f_is_one_beside_another_too() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        cp /qus/bin/qemu-arm-static /box; cp /box /qemu-own",
    );
    take(&s, "box-arm", "arm", "/box");
    take_with(&s, "qemu-arm", "arm", "/qemu-own", "");
    s.step(WRONG);
    s.compare();
}

#[test]
fn an_interpreter_that_cannot_be_reached_is_not_called_absent() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        mkdir /private; cp /qus/bin/qemu-arm-static /private/qemu-own",
    );
    take_with(&s, "qemu-arm", "arm", "/private/qemu-own", "");
    s.step(&format!("chmod 0 /private; setpriv --bounding-set=-dac_override,-dac_read_search {WRONG}"));
    s.step(&format!("rm -r /private; {WRONG}"));
    s.compare();
}

#[test]
fn names_that_are_not_text_go_with_all_others_named_qemu() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        r"qus install arm; mount -t binfmt_misc b /mnt
        printf ':qemu-\376x:E::x::/bin/true:' >/mnt/register; printf ':qemu-\377x:E::y::/bin/true:' >/mnt/register",
    );
    s.step("qus status --json | sed -n '/emulators/,/]/p'");
    s.quietly("umount /mnt");
    s.step("qus -- -r");
    s.step("qus list");
    s.compare();
}

#[test]
fn full_names_and_patterns_remove_what_is_there() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; qus install arm s390x riscv64");
    take(&s, "qemu-armhf", "arm", "/qus/bin/qemu-arm-static");
    take(&s, "qemu-cris", "sh4", "/qus/bin/qemu-sh4-static");
    s.step("qus remove qemu-armhf");
    s.step("qus remove qemu-armhf");
    for (name, line) in [
        ("qemu-armhf", "qus -- -r 'qemu-arm*'"),
        ("qemu-a*", "qus remove 'qemu-a*'; qus remove 'qemu-none*'"),
    ] {
        take(&s, name, "arm", "/qus/bin/qemu-arm-static");
        s.step(line);
        s.step("ls /mnt");
    }
    // What an interrupted run left beside an excepted handler may run its programs.
    s.quietly(
        r"printf %s ':qemu-s390x.new:M::\x7fELF\x02\x02\x01\x00qus\x00abcd::/bin/true:' >/mnt/register",
    );
    s.step("qus remove 'qemu-*' --except arm,s390x --dry-run");
    s.step("qus --uninstall 'qemu-cr*,risc*,qemu-none*' | sed -n '/emulators/,/]/p'");
    s.step("qus remove 'qemu-*'");
    s.step("qus list");
    s.compare();
}

#[test]
fn a_stale_handler_of_the_same_name_is_replaced() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; cp /qus/bin/qemu-aarch64-static /stale; cp /bin/false /broken");
    let register = |interpreter: &str, flags: &str| {
        format!(
            r"[ ! -e /mnt/qemu-aarch64 ] || echo -1 >/mnt/qemu-aarch64
            printf %s ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff:{interpreter}:{flags}' >/mnt/register"
        )
    };
    for (interpreter, flags) in [
        ("/not/here", ""),
        ("/stale", "F"),
        ("/qus/bin/qemu-aarch64-static", ""),
        ("/qus/bin/qemu-aarch64-static", "F"),
        ("/broken", "PF"),
    ] {
        s.quietly(&register(interpreter, flags));
        s.step("qus -s -- -p aarch64");
        s.step("/foreign/busybox-aarch64 uname -m");
    }
    s.step("echo 0 >/mnt/qemu-aarch64; qus -s -- -p aarch64");
    // The path is ours, and the file that it was opened as is not.
    s.quietly("mount --bind /broken /qus/bin/qemu-aarch64-static");
    s.quietly(&register("/qus/bin/qemu-aarch64-static", "PF"));
    s.quietly("umount -l /qus/bin/qemu-aarch64-static");
    s.step("qus -s -- -p aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn a_handler_stays_if_its_successor_fails() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mkdir /bad; cp /qus/bin/qemu-arm-static /bad/qemu-aarch64-static",
    );
    s.step("qus -s -- -p aarch64");
    let before = s.quietly("cat /mnt/qemu-aarch64");
    s.step("qus -s -- -p -Q /bad aarch64");
    s.step("printf x | dd of=/bad/qemu-aarch64-static conv=notrunc bs=1 status=none; qus -s -- -p -Q /bad aarch64");
    s.step("cd /bad; head -c 1000000 /qus/bin/qemu-aarch64-static >qemu-aarch64-static; qus -s -- -p -Q /bad aarch64");
    s.step("cd /bad; echo >SHA256SUMS; qus -s -- -p -Q /bad aarch64");
    s.step("rm /bad/*; qus -s -- -p -Q /bad aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    assert_eq!(s.quietly("cat /mnt/qemu-aarch64"), before);
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn trial_handlers_of_an_interrupted_run_are_removed() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt");
    let left =
        r"printf %s ':qemu-aarch64.new:M::\x7fELF\x02\x01\x01\x00qus\x00abcd::/bin/true:' >/mnt/register";
    s.quietly(left);
    s.step("qus -s -- -p aarch64; ls /mnt");
    s.quietly(left);
    s.step("qus -- -r aarch64; ls /mnt");
    s.compare();
}

#[test]
fn disabled_binfmt_misc_stays_disabled() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; echo 0 >/mnt/status");
    s.step("qus -s -- -p aarch64");
    s.step("qus -s -- -p -t aarch64 i386");
    s.step("qus -l");
    s.step("qus status");
    s.step("cat /mnt/status; ls /mnt");
    s.quietly("echo 1 >/mnt/status");
    s.step("qus -s -- -p aarch64");
    s.quietly("echo 0 >/mnt/status");
    s.step("qus -s -- -p aarch64");
    s.step("qus -- -r aarch64");
    s.step("cat /mnt/status; ls /mnt");
    s.compare();
}

#[test]
fn what_is_mounted_over_a_handler_is_not_taken_for_it() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mount -t binfmt_misc b /mnt; qus -q install arm s390x; echo enabled >/mine
        cat >/path/over <<'SH'
#!/bin/sh
over=/proc/sys/fs/binfmt_misc/$2
mount --bind $1 $over && shift 2
for command; do echo \"- $command\" && qus $command; echo \"exit $?\"; done 2>&1
umount $over
SH
        chmod +x /path/over",
    );
    s.step("over /mine qemu-arm list status 'remove arm' remove 'install arm' 'install aarch64' 'doctor -q'");
    s.step("over /mine register list 'remove --dry-run arm' 'install aarch64'");
    s.step("echo 0 >/mnt/status; over /mine status list status 'install aarch64' 'doctor -q'; echo 1 >/mnt/status");
    s.step("cat /mine; ls /mnt");
    // Another file of the same binfmt_misc.
    s.step("over /mnt/qemu-s390x qemu-arm list 'remove arm' 'install aarch64' 'doctor -q'; ls /mnt");
    // As in WSL.
    s.quietly("mount --bind /mnt/status /mnt/status; mount -o remount,ro,bind /mnt/status");
    s.step("over /mnt/status status list 'install aarch64'");
    s.compare();
}

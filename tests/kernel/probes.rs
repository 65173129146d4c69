//! Probe programs, and emulators that do what no emulator should: every child has limits.

use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

/// Machine code for x86_64, which the host of each sandbox is.
mod code {
    /// `for (;;) pause();`
    pub(super) const HANG: &[u8] = b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7";
    /// An instruction that doesn't exist.
    pub(super) const CRASH: &[u8] = b"\x0f\x0b";
    /// `kill(getpid(), signal)`
    pub(super) fn end_by(signal: u8) -> Vec<u8> {
        let kill = b"\xb8\x27\0\0\0\x0f\x05\x89\xc7\xbe$\0\0\0\xb8\x3e\0\0\0\x0f\x05";
        kill.iter().map(|byte| if *byte == b'$' { signal } else { *byte }).collect()
    }
    /// `for (;;) write(1, "\xbf\x01\0\0\0…", 16);`: its own code.
    pub(super) const PRINT: &[u8] =
        b"\xbf\x01\0\0\0\x48\x8d\x35\xf4\xff\xff\xff\xba\x10\0\0\0\xb8\x01\0\0\0\x0f\x05\xeb\xe6";
    /// `if (fork()) exit(3); for (;;) pause();`
    pub(super) const FORK: &[u8] =
        b"\xb8\x39\0\0\0\x0f\x05\x85\xc0\x74\x0c\xbf\x03\0\0\0\xb8\xe7\0\0\0\x0f\x05\xb8\x22\0\0\0\x0f\x05\xeb\xf7";
    /// `if (argc > 2) exit(argv[2][0]); for (;;) pause();`: it runs the probe program of root, and has no version.
    pub(super) const MUTE: &[u8] =
        b"\x8b\x0c\x24\x83\xf9\x03\x72\x0f\x48\x8b\x74\x24\x18\x0f\xb6\x3e\xb8\xe7\0\0\0\x0f\x05\xb8\x22\0\0\0\x0f\x05\xeb\xf7";
    /// `execve("/qus/bin/qemu-arm-static", argv, NULL);`
    pub(super) const EXECUTE: &[u8] =
        b"\x48\x8d\x3d\x0e\0\0\0\x48\x8d\x74\x24\x08\x31\xd2\xb8\x3b\0\0\0\x0f\x05/qus/bin/qemu-arm-static\0";
}

/// The number of probes. A program that is executed as /proc/self/fd/N is named N; process 1 reaps the dead.
const LEFT: &str = "ps -eo stat,comm | grep -cE '^[^Z].* [0-9]+$'";

/// Writes an executable with that code.
fn make(s: &Sandbox, path: &str, code: &[u8]) {
    make_with(s, path, 0x0040_0000, code, None);
}

/// The same, loaded at that address, perhaps by a dynamic loader.
fn make_with(s: &Sandbox, path: &str, at: u64, code: &[u8], loader: Option<&str>) {
    let loader = loader.map(|loader| [loader.as_bytes(), b"\0"].concat());
    let header = |kind: u8, start: u64, len: usize| {
        let kind = [kind, 0, 0, 0, 5, 0, 0, 0];
        let rest = [start, at + start, at + start, len as u64, len as u64, 0x1000];
        [&kind[..], &rest.map(u64::to_le_bytes).concat()].concat()
    };
    let headers = 1 + u8::from(loader.is_some());
    let start = 64 + 56 * u64::from(headers);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    // Entry, program headers, no sections, flags, sizes and numbers.
    elf.extend([at + start, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    elf.extend([0, 0, 0, 0, 0x40, 0, 0x38, 0, headers, 0, 0x40, 0, 0, 0, 0, 0]);
    let loader = loader.unwrap_or_default();
    if !loader.is_empty() {
        elf.extend(header(3, start + code.len() as u64, loader.len()));
    }
    elf.extend(header(1, 0, usize::try_from(start).unwrap() + code.len() + loader.len()));
    elf.extend([code, &loader].concat());
    let octal: String = elf.iter().map(|b| format!("\\{b:03o}")).collect();
    s.quietly(
        &format!("mkdir -p ${{x%/*}}; printf '{octal}' >$x; chmod +x $x")
            .replace("$x", path)
            .replace("${x%/*}", path.rsplit_once('/').unwrap().0),
    );
}

/// Everything that hangs, at once: each has its own 20 s, and no more than those.
#[test]
fn hanging_emulators_are_killed_after_20_seconds() {
    let Some(mut s) = Sandbox::new() else { return };
    make(&s, "/tmp/hang/qemu-arm-static", code::HANG);
    make(&s, "/tmp/mute/qemu-mips-static", code::MUTE);
    s.quietly(
        "mount -t binfmt_misc b /mnt; QEMU_BIN_DIR=/tmp/mute qus -s -- -p mips
        QEMU_BIN_DIR=/tmp/hang qus -s -- -p --no-prove arm",
    );
    // Beside the others, that one would try their handlers before its own.
    let Some(alone) = Sandbox::new() else { return };
    make(&alone, "/tmp/hang/qemu-s390x-static", code::HANG);
    let started = Instant::now();
    let mut install =
        alone.enter("QEMU_BIN_DIR=/tmp/hang qus -s -- -p s390x >/tmp/out 2>&1; echo \"exit $?\" >>/tmp/out");
    let mut install = install.spawn().unwrap();
    s.quietly(
        r#"at_once() { { "$@"; echo "exit $?"; } >/tmp/out$((n += 1)) 2>&1 & }
        at_once qus check arm
        at_once env --ignore-signal qus check arm
        at_once env --block-signal qus check arm
        at_once env QEMU_BIN_DIR=/tmp/hang qus --version
        at_once env --block-signal qus check --emulator mips
        wait"#,
    );
    install.wait().unwrap();
    let took = started.elapsed();
    assert!((Duration::from_secs(20)..Duration::from_secs(50)).contains(&took), "{took:?}");
    for (n, what) in (1..).zip([
        "check",
        "check, all signals ignored",
        "check, all signals blocked",
        "version",
        "check --emulator",
    ]) {
        s.step(&format!("sed 's/[0-9]* ms/N ms/' /tmp/out{n} # {what}"));
    }
    s.step(LEFT);
    s.compare();
    let mut s = alone;
    s.step("cat /tmp/out # install");
    s.step(LEFT);
    s.compare_part("install");
}

#[test]
fn memory_that_may_not_be_writable_and_executable_is_named() {
    let Some(mut s) = Sandbox::new() else { return };
    // prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN), as systemd has it for MemoryDenyWriteExecute=; since Linux 6.3.
    s.step("perl -e 'syscall(157, 65, 1, 0, 0, 0) == 0 or die $!; exec @ARGV' qus install arm");
    s.step("mount -t binfmt_misc b /mnt; ls /mnt");
    s.compare();
}

#[test]
fn status_is_an_error_where_nothing_can_be_tried() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; qus install arm");
    s.step("echo 0 >/proc/sys/fs/binfmt_misc/status; qus status");
    s.step("qus check arm");
    s.step("qus doctor | grep -A 1 -E '^(warn|broken) '");
    s.quietly("echo 1 >/proc/sys/fs/binfmt_misc/status");
    s.step("qus status");
    s.quietly("echo 2 >/proc/sys/vm/memfd_noexec");
    s.step("qus status");
    s.step("qus doctor | grep -E ' (native|emulated|programs):'");
    s.step("qus");
    s.quietly("echo 0 >/proc/sys/vm/memfd_noexec");
    // Out of processes, all of a sudden.
    let without = "strace -qq -o /dev/null -e inject=clone,clone3,fork,vfork:error=EAGAIN";
    for command in ["status", "check s390x", "list", "install arm", "run -- true"] {
        s.step(&format!("{without} qus {command}"));
    }
    // For a moment: the first trial is that of i386 without handlers.
    for run in ["status", "doctor | grep -E ' (native|emulated):'"] {
        s.step(&format!("strace -qq -o /dev/null -e inject=clone:error=EAGAIN:when=1 qus {run}"));
    }
    // Of one handler alone.
    s.quietly("cp /bin/false /bad; chmod -x /bad; cd /proc/sys/fs/binfmt_misc
        qus export binfmt.d arm --path /qus/bin --persistent no | sed 's|/qus/bin/qemu-arm-static|/bad|; s/:qemu-arm:/:bad:/' >register");
    s.step("qus status");
    s.step("qus doctor | grep -A 1 -E '^(warn|broken) '");
    s.compare();
}

#[test]
fn an_emulator_that_prints_forever_has_no_version() {
    let Some(mut s) = Sandbox::new() else { return };
    make(&s, "/tmp/print/qemu-arm-static", code::PRINT);
    s.step("QEMU_BIN_DIR=/tmp/print timeout -s KILL 15 env --ignore-signal --block-signal qus --version | grep -v ^qus");
    s.compare();
}

#[test]
fn a_crash_leaves_no_core() {
    let Some(mut s) = Sandbox::new() else { return };
    make(&s, "/tmp/crash/qemu-arm-static", code::CRASH);
    s.quietly("mkdir -m 777 /tmp/here");
    let core = "cd /tmp/here; ulimit -c unlimited";
    s.step(&format!("{core}; QEMU_BIN_DIR=/tmp/crash qus -s -- -p arm"));
    s.step(&format!("{core}; QEMU_BIN_DIR=/tmp/crash qus --version | grep -v ^qus"));
    s.step("ls -A /tmp/here");
    s.compare();
}

/// Another version of QEMU would not help.
#[test]
fn the_hint_is_about_the_signal_that_ended_an_emulator() {
    let Some(mut s) = Sandbox::new() else { return };
    for (name, signal) in [("KILL", 9), ("XCPU", 24), ("SYS", 31), ("ABRT", 6)] {
        make(&s, &format!("/tmp/{name}/qemu-arm-static"), &code::end_by(signal));
        for run in ["--dry-run ", ""] {
            s.step(&format!("qus install {run}--path /tmp/{name} arm"));
        }
    }
    s.compare();
}

#[test]
fn children_of_a_probe_are_killed() {
    let Some(mut s) = Sandbox::new() else { return };
    make(&s, "/tmp/fork/qemu-arm-static", code::FORK);
    make(&s, "/tmp/hang/qemu-s390x-static", code::HANG);
    s.quietly(
        "mount -t binfmt_misc b /mnt; QEMU_BIN_DIR=/tmp/fork qus -s -- -p --no-prove arm
        QEMU_BIN_DIR=/tmp/hang qus -s -- -p --no-prove s390x",
    );
    s.step("qus check arm");
    s.step(LEFT);
    s.step(&format!(
        "qus check s390x & until [ \"$({LEFT})\" -gt 0 ]; do sleep 0.1; done; kill -9 $!; sleep 0.2; {LEFT}"
    ));
    s.compare();
}

#[test]
fn native_targets_are_native_despite_handlers() {
    let Some(mut s) = Sandbox::new() else { return };
    make(&s, "/tmp/bad/qemu-i386-static", code::CRASH);
    let elf = |class: &str, machine: &str| {
        format!(r"\x7fELF\x{class}\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x{machine}\x00")
    };
    let mask = r"\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    let broad = r"\xff\xff\xff\xff\xff\xfe\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff";
    let register = |name: &str, magic: &str, mask: &str| {
        format!("echo ':{name}:M::{magic}:{mask}:/tmp/bad/qemu-i386-static:F' >/mnt/register")
    };
    s.quietly("mount -t binfmt_misc b /mnt");
    s.quietly(&register("qemu-i386", &elf("01", "03"), mask));
    s.step("qus install i386; ls /mnt");
    s.step("qus check i386");
    s.step("qus status");
    s.quietly("echo -1 >/mnt/qemu-i386");
    // Nobody knows what the kernel would do without one that takes even programs of no version.
    s.quietly(&register("broad", &elf("01", "03"), broad));
    s.step("qus install i386");
    s.compare();
}

#[test]
fn proc_of_another_pid_namespace_is_an_error() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("unshare --pid --fork qus check arm");
    s.step("unshare --pid --fork --mount-proc qus check x86_64 | sed 's/[0-9]* ms/N ms/'");
    s.step("unshare --mount sh -c 'umount -l /proc; qus check arm'");
    s.compare();
}

/// It works on the host, which has its loader, and in no container, whatever its flags.
#[test]
fn doctor_finds_an_emulator_that_is_not_static() {
    let Some(mut s) = Sandbox::new() else { return };
    make_with(&s, "/own/loader", 0x0050_0000, code::EXECUTE, None);
    make_with(&s, "/own/qemu-arm", 0x0040_0000, code::CRASH, Some("/own/loader"));
    s.quietly("mount -t binfmt_misc b /mnt; mkdir /other; cp /foreign/busybox-arm /other");
    for flags in ["F", ""] {
        s.quietly(&format!(
            "qus export binfmt.d arm --path /qus/bin | sed 's|/qus/bin/.*|/own/qemu-arm:{flags}|' >/mnt/register"
        ));
        s.step("/foreign/busybox-arm uname -m; chroot /other /busybox-arm uname -m");
        s.step("qus doctor | grep -A 1 -E '^(warn|broken) '");
        s.step("$(qus doctor | sed -n 's/.*→ //p'); chroot /other /busybox-arm uname -m");
        s.step("qus doctor | grep -E '^(warn|broken) '; qus remove");
    }
    // A third party's, too.
    s.quietly("cp /own/qemu-arm /own/box; qus export binfmt.d arm --path /qus/bin | sed 's/:qemu-arm:/:box:/; s|/qus/bin/.*|/own/box:F|' >/mnt/register");
    s.step("qus install arm; chroot /other /busybox-arm uname -m");
    s.step("qus -s -- arm; qus doctor | grep box");
    s.compare();
}

//! What users do: register, run, look, remove.

use std::process::Stdio;

use crate::sandbox::{Sandbox, is_emulated, skip};
use crate::transcript::NAMESPACE_NOTES;

/// The foreign programs that scripts/internal/fetch-programs fetches, and what `uname -m` is in each.
const FOREIGN: [(&str, &str); 8] = [
    ("aarch64", "aarch64"),
    ("arm", "armv7l"),
    ("loongarch64", "loongarch64"),
    ("mips64el", "mips64"),
    ("mipsel", "mips"),
    ("ppc64le", "ppc64le"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
];

#[test]
fn a_registered_target_runs_everywhere_until_removed() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -s -- -p aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("mkdir /elsewhere; cp /foreign/busybox-aarch64 /elsewhere; chroot /elsewhere /busybox-aarch64 uname -m");
    s.step("qus -l");
    s.step("qus -s -- -p aarch64");
    s.step("qus -- -r aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -- -r aarch64");
    s.step("qus -s -- -p arm64");
    s.step("chroot /elsewhere /busybox-aarch64 uname -m");
    assert_eq!(s.quietly("qus -s -- -p arm64 2>&1 >/dev/null").trim(), NAMESPACE_NOTES[0]);
    assert_eq!(s.quietly("qus -- -r arm64 2>&1 >/dev/null").trim(), NAMESPACE_NOTES[1]);
    s.compare();
}

#[test]
fn all_targets_run_real_programs_in_an_empty_root() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus -s -- -p");
    for (target, machine) in FOREIGN {
        let found = s.quietly(&format!(
            "mkdir -p /elsewhere; cp /foreign/busybox-{target} /elsewhere; chroot /elsewhere /busybox-{target} uname -m"
        ));
        assert_eq!(found.trim(), machine, "{target}");
    }
    s.step("qus -s -- -p");
    s.step("qus status");
    s.step("qus");
    s.step("qus list --json | head -n 20");
    s.step("qus -- -r arm linux/s390x vax");
    s.step("qus -- -r arm linux/s390x");
    s.step("qus -- -r -t");
    s.step("qus -- -r");
    s.step("qus -l");
    s.step("qus -l -- -t arm");
    s.compare();
}

#[test]
fn a_list_before_other_commands_does_no_harm() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus -l -- -t arm");
    s.step("qus -l -s -- -p arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("qus -l -- -r");
    s.compare();
}

#[test]
fn the_usual_mount_point_serves_without_the_images_own() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("rmdir /qus/anchor; cp /foreign/busybox-arm /tmp/");
    s.step("qus -l -s -- -p arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("qus -- -r");
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    s.step("qus -s -- arm");
    s.step("qus -l -s -- -p arm s390x");
    s.step("ls /proc/sys/fs/binfmt_misc");
    s.step("qus -- -r");
    s.compare();
}

#[test]
fn without_p_a_handler_only_names_a_path() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus -s -- aarch64");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("qus -s -- aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.quietly("mkdir /elsewhere; cp /foreign/busybox-aarch64 /elsewhere");
    s.step("chroot /elsewhere /busybox-aarch64 uname -m");
    s.step("qus -- aarch64");
    s.step("QEMU_BIN_DIR=/not/here qus -- s390x");
    s.step("qus -l");
    s.compare();
}

#[test]
fn flag_p_decides_whether_a_program_sees_its_argv0() {
    let Some(mut s) = Sandbox::new() else { return };
    let as_uname = "bash -c 'exec -a uname /foreign/busybox-aarch64 -m'";
    s.step("qus -s -- -p aarch64");
    s.step(as_uname);
    s.step("qus -s -- -p --preserve-argv0 no aarch64");
    s.step(as_uname);
    s.step("qus -l");
    s.compare();
}

#[test]
fn flag_c_is_set_only_on_request() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus -s -- -p -c aarch64");
    s.step("/foreign/busybox-aarch64 uname -m");
    s.step("qus -s -- -p -c aarch64");
    s.step("qus -s -- -p aarch64");
    s.compare();
}

#[test]
fn emulators_without_static_in_their_names_work() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus -- -p aarch64");
    s.quietly("mkdir /own; cp /qus/bin/qemu-aarch64-static /own/qemu-aarch64; cp /qus/bin/qemu-arm-static /own/qemu-armX");
    s.step("QEMU_BIN_DIR=/own qus -- -p aarch64");
    s.step("QEMU_BIN_DIR=/own qus -- -p -F X arm");
    s.step("qus -- -p -Q /own -F X arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("qus -s -- -p -Q /own arm");
    s.compare();
}

#[test]
fn version_shows_qus_and_an_emulator() {
    let Some(mut s) = Sandbox::new() else { return };
    let said = s.quietly("qus --version");
    let emulators = s.quietly("/qus/bin/qemu-aarch64-static --version | head -n 1");
    assert_eq!(
        said.lines().nth(1),
        Some(&*format!("/qus/bin/qemu-aarch64-static: {}", emulators.trim())),
        "{said}"
    );
    assert_eq!(s.quietly("qus --mount /mnt --version"), said);
    assert_eq!(s.quietly("qus version"), said);
    s.quietly("mkdir /own /odd /empty; cp /qus/bin/SHA256SUMS /own; head -c 1000000 /qus/bin/qemu-arm-static >/own/qemu-arm-static
        cp /bin/false /odd/qemu-arm-static");
    s.step("qus --version | sed '/:/s/version .*/version .../'");
    s.step("qus version --json | sed 's/version 1.*)/version .../'");
    for dir in ["/empty", "/not-there", "/own", "/odd", "/odd/qemu-arm-static"] {
        s.step(&format!("QEMU_BIN_DIR={dir} qus --version"));
    }
    s.step("QEMU_BINARY_PATH=/odd qus --mount /mnt --version");
    s.compare();
}

#[test]
fn a_dry_run_shows_rules_and_changes_nothing() {
    let Some(mut s) = Sandbox::new() else { return };
    s.step("qus -s -- -p -t aarch64 x86_64");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("ls /mnt");
    s.step("qus -s -- -p aarch64");
    s.step("qus -s -- -p -t aarch64 arm");
    s.step("qus -s -- -t aarch64");
    s.step("qus -s -- -p -t --json aarch64");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn native_targets_are_never_registered() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("qus -s -- -p x86_64 i386");
    s.step("qus -s -- -p --force x86_64");
    s.step("qus -s -- i686");
    s.step("ls /mnt");
    s.compare();
}

#[test]
fn qus_for_another_host_registers_nothing_native() {
    let Some(mut s) = Sandbox::with_arm64_entrypoint() else { return };
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step("qus -s -- -p aarch64");
    s.quietly("echo 'QEMU_BIN_DIR=/arm64v8/sid/bin exec /arm64v8/qus \"$@\"' >/path/arm64-qus; chmod +x /path/arm64-qus");
    for asked in ["x86_64", "x86_64 i386", "--force x86_64"] {
        s.step(&format!("arm64-qus -s -- -p {asked}"));
    }
    s.step("ls /mnt");
    // What runs it, and an emulator that could only run itself.
    for how in ["", "--force ", "--replace "] {
        s.step(&format!("arm64-qus -s -- -p {how}aarch64"));
    }
    // Its own emulators are emulated as well, by an emulator that finds them by path only.
    s.step("arm64-qus -s -- -p arm");
    s.compare();
}

#[test]
fn an_emulated_qus_takes_the_emulators_of_the_real_host() {
    let Some(mut s) = Sandbox::with_arm64_entrypoint() else { return };
    s.quietly("mount -t binfmt_misc b /mnt; qus -s -- -p aarch64; ln -s /arm64v8/qus /path/arm64-qus");
    s.step("arm64-qus -s -- -p arm");
    s.step("/foreign/busybox-arm uname -m");
    s.step("arm64-qus status");
    // A file for x86_64 programs, registered at boot, would be the end of all of them.
    s.step("arm64-qus export binfmt.d x86_64 s390x");
    s.step("arm64-qus export binfmt.d --path /qus/bin i386 s390x | cut -d : -f 2");
    s.step("arm64-qus -s -- -p -Q /arm64v8/sid/bin --no-prove s390x");
    s.compare();
}

#[test]
fn several_at_once_end_well() {
    let Some(s) = Sandbox::new() else { return };
    let asked = ["aarch64", "arm", "aarch64 arm", "s390x aarch64"];
    let start = |i: usize| {
        s.enter(&format!("qus -s -- -p {}", asked[i % 4]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    // Each waits for the others, for 30 s at most.
    let width = if is_emulated() { 4 } else { 8 };
    let running: Vec<_> = (0..width).map(|i| start(i).unwrap()).collect();
    for child in running {
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        // Each is registered by the one that comes first, and there for the others.
        assert!(ended.status.success() && !said.contains("replaced"), "{said}{ended:?}");
    }
    s.quietly("mount -t binfmt_misc b /mnt");
    assert_eq!(s.quietly("cd /mnt; ls -d qemu*"), "qemu-aarch64\nqemu-arm\nqemu-s390x\n");
    for target in ["aarch64", "arm", "s390x"] {
        s.quietly(&format!("/foreign/busybox-{target} true"));
    }
}

#[test]
fn systemd_binfmt_registers_the_same_from_exported_files() {
    let Some(s) = Sandbox::new() else { return };
    let systemd = "/usr/lib/systemd/systemd-binfmt";
    if !std::path::Path::new(systemd).exists() {
        return skip("no systemd-binfmt: package systemd");
    }
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    // But for the signature: what systemd registers, qus did not.
    let show = "cd /proc/sys/fs/binfmt_misc; grep . qemu-* | sed 's/717573[0-9a-f]\\{10\\}/0000000000000000/'
        for entry in qemu-*; do echo -1 >$entry; done";
    // Small ones, which are soon hashed.
    s.quietly(
        "mkdir /own /conf; cp /foreign/busybox-$(uname -m) /own/small
        for emulator in /qus/bin/qemu-*; do ln /own/small /own/${emulator##*/}; done; qus install --path /own --no-prove",
    );
    let own = s.quietly(show);
    assert!(own.matches("enabled").count() > 30, "{own}");
    s.quietly(&format!("qus -s -- -p -s -Q /own -e /conf; {systemd} /conf/*.conf"));
    assert_eq!(s.quietly(show), own);
    s.quietly("/foreign/busybox-aarch64 true && exit 1 || true");
}

#[test]
fn a_narrow_umask_closes_no_emulator() {
    let Some(mut s) = Sandbox::new() else { return };
    // One that is mounted by itself is copied.
    s.quietly(
        "mkdir /own; : >/own/qemu-arm-static; mount --bind /qus/bin/qemu-arm-static /own/qemu-arm-static",
    );
    s.step("umask 777; qus install --path /own arm");
    s.step(
        "/foreign/busybox-arm sleep 60 & await cmp /proc/$!/exe /qus/bin/qemu-arm-static; stat -L -c %a /proc/$!/exe; kill $!",
    );
    s.compare();
}

//! What looks at a directory of emulators and registers nothing: the files that are exported, and what is verified.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod transcript;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use qus::arch::{ARCHES, Arch, named};
use qus::elf::Class;
use transcript::Transcript;

/// The row of this machine.
fn host_arch() -> &'static Arch {
    named(std::env::consts::ARCH).next().unwrap()
}

fn dir(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A directory with files of these names, that could be emulators.
fn with_files(name: &str, files: &str) -> PathBuf {
    let dir = dir(name);
    files.split_whitespace().for_each(|file| fs::write(dir.join(file), emulator()).unwrap());
    dir
}

fn qus(line: &str, dir: &Path) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_qus"));
    process.args(line.split(' ')).env_clear().current_dir(dir).output().unwrap()
}

/// The names of the handlers in the printed files, or what is on stderr where that is an error.
fn exported(line: &str) -> Result<Vec<String>, String> {
    let output = qus(line, Path::new("/"));
    let printed = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = printed.lines().map(|l| l.split(':').nth(1).unwrap().to_owned()).collect();
    match output.status.code() {
        Some(0) => Ok(names),
        Some(code) if names.is_empty() => Err(format!("{code}: {}", String::from_utf8_lossy(&output.stderr))),
        _ => panic!("{line}: printed, and failed: {printed}"),
    }
}

/// The same without the beginning that all names have, for a host whose emulators can't be seen.
fn for_host(host: &str, targets: &str) -> Result<Vec<String>, String> {
    let names = exported(format!("export binfmt.d --path /opt/q --force --host {host} {targets}").trim())?;
    Ok(names.iter().map(|n| n["qemu-".len()..].to_owned()).collect())
}

#[test]
fn named_targets_of_the_hosts_family_are_written() {
    for (host, targets) in [
        ("aarch64", "arm"),
        ("arm64", "aarch64_be arm armeb"),
        ("armv7l", "aarch64"),
        ("i686", "x86_64"),
        ("x86_64", "i386"),
        ("ppc", "ppc64"),
        ("ppc64", "ppc"),
        ("riscv64", "riscv32"),
        ("mips", "mips64 mipsn32el"),
        ("mips64", "mips mipsn32"),
        ("mipsel", "mips"),
        ("s390x", "arm"),
    ] {
        assert_eq!(for_host(host, targets).unwrap().join(" "), targets, "{host}");
    }
}

#[test]
fn the_hosts_own_architecture_is_refused() {
    for (host, targets) in [
        ("aarch64", "aarch64"),
        ("aarch64", "arm arm64"),
        ("amd64", "x86_64 s390x"),
        ("armv7l", "armhf"),
        ("armv5tejl", "armel"),
        ("i686", "arm 386"),
        ("ppc64le", "ppc64el"),
        ("s390x", "s390x"),
        // Of either byte order, uname says the same.
        ("mips", "mipsel"),
        ("mips", "s390x mips"),
        ("mips64", "mips64el"),
        ("xtensa", "xtensaeb"),
        ("microblaze", "arm microblazeel"),
    ] {
        let why = for_host(host, targets).unwrap_err();
        assert!(why.starts_with("1: ") && why.contains("the host is of that architecture"), "{host}: {why}");
    }
    let d = dir("refused");
    let line = format!("export update-binfmts --path /opt/q -e . hppa {}", host_arch().name);
    assert_eq!(qus(&line, &d).status.code(), Some(1));
    assert_eq!(fs::read_dir(&d).unwrap().count(), 0);
    fs::remove_dir_all(d).unwrap();
    let why = for_host("aarch46", "arm").unwrap_err();
    assert!(why.starts_with("2: qus: unknown host: aarch46"), "{why}");
}

#[test]
fn all_leaves_out_what_the_host_may_run() {
    for (host, left_out) in [
        ("aarch64", "aarch64 arm"),
        ("armv7l", "arm"),
        ("armv5tejl", "arm"),
        ("x86_64", "i386 i486 x86_64"),
        ("i686", "i386 i486"),
        ("ppc", "ppc"),
        ("ppc64", "ppc ppc64"),
        ("mips", "mips mipsel mipsn32 mipsn32el"),
        ("mips64", "mips mips64 mips64el mipsel mipsn32 mipsn32el"),
        ("s390x", "s390x"),
        ("xtensa", "xtensa xtensaeb"),
    ] {
        let expected = |more: &str| {
            let is_left = |name: &&str| !left_out.split(' ').any(|n| n == *name) && *name != more;
            ARCHES.iter().map(|a| a.name).filter(is_left).collect::<Vec<_>>()
        };
        assert_eq!(for_host(host, "").unwrap(), expected(""), "{host}");
        assert_eq!(for_host(host, "--except sh4").unwrap(), expected("sh4"), "{host}");
    }
}

/// The emulators that the exported files name, and the notes, without the directory's name.
fn seen(dir: &Path, line: &str) -> (String, String, Option<i32>) {
    let path = dir.to_str().unwrap();
    let output = qus(format!("export update-binfmts --path {path} {line}").trim(), dir);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(path, "DIR");
    let stdout = text(&output.stdout);
    let named = stdout.lines().filter_map(|l| l.strip_prefix("interpreter DIR/"));
    // Which are the host's own family is another matter.
    let stderr = text(&output.stderr);
    let notes: Vec<_> = stderr.lines().filter(|l| !l.contains("own family")).collect();
    (named.collect::<Vec<_>>().join(" "), notes.join("\n"), output.status.code())
}

#[test]
fn files_name_the_emulators_that_exist() {
    // Two that no host of ours is.
    let d = with_files("some", "qemu-hppa qemu-sh4-static qemu-img qemu-system-xtensa");
    for (line, named, notes) in [
        ("sh4", "qemu-sh4-static", ""),
        ("hppa sh4", "qemu-hppa qemu-sh4-static", "qus: note: no qemu-hppa-static in DIR: using qemu-hppa"),
        (
            "hppa sh4 --suffix -x",
            "qemu-hppa qemu-sh4-static",
            "qus: note: no qemu-hppa-x in DIR: using qemu-hppa, the same for others",
        ),
        ("--force alpha sh4", "qemu-alpha-static qemu-sh4-static", ""),
    ] {
        assert_eq!(seen(&d, line), (named.into(), notes.into(), Some(0)), "{line}");
    }
    let (named, why, code) = seen(&d, "alpha sh4");
    let expected = "qus: cannot write a file for alpha: no emulator in DIR; hint: with --path";
    assert!(named.is_empty() && why.starts_with(expected) && code == Some(1), "{named} {why}");
    fs::remove_dir_all(d).unwrap();
}

#[test]
fn all_leaves_out_targets_without_an_emulator() {
    let d = with_files("all", "qemu-hppa-static qemu-sh4-static qemu-img");
    for (line, named, left_out) in
        [("", "qemu-hppa-static qemu-sh4-static", " hexagon "), ("--except sh4", "qemu-hppa-static", " arm")]
    {
        let (found, notes, code) = seen(&d, line);
        assert_eq!((found.as_str(), code), (named, Some(0)));
        let begin = "qus: note: left out, because there is no emulator in DIR: ";
        assert!(
            notes.starts_with(begin) && (notes.contains(left_out) || host_arch().family == "arm"),
            "{notes}"
        );
        assert!(!notes.contains("hppa") && !notes.contains("sh4 ") && notes.lines().count() == 1, "{notes}");
    }
    // For another host, it is another directory.
    let other = if host_arch().name == "s390x" { "riscv64" } else { "s390x" };
    let (found, notes, _) = seen(&d, &format!("--host {other}"));
    assert!(found.contains("qemu-hexagon-static") && notes.is_empty(), "{notes}");
    fs::remove_dir_all(d).unwrap();
}

#[test]
fn an_export_without_emulators_is_refused_unless_forced() {
    let d = with_files("none", "qemu-img qemu-system-arm qemu-armx");
    let of_this = format!("qemu-{}-static", host_arch().name);
    for more in ["", &of_this] {
        let output = qus(&format!("export binfmt.d --path {} -e .", d.display()), &d);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot write a file for any target: no emulator in "), "{more}: {said}");
        assert_eq!(
            (output.status.code(), fs::read_dir(&d).unwrap().count()),
            (Some(1), 3 + usize::from(!more.is_empty()))
        );
        fs::write(d.join(&of_this), emulator()).unwrap();
    }
    let (found, notes, code) = seen(&d, "--force");
    assert!(found.contains("qemu-alpha-static") && found.contains("qemu-xtensaeb-static"), "{found}");
    assert!(notes.is_empty() && code == Some(0), "{notes}");
    fs::remove_dir_all(d).unwrap();
}

#[test]
fn an_export_says_why_a_directory_cannot_be_used() {
    let d = with_files("odd", "qemu-hppa-static");
    let hint = "hint: with --path, `qus export binfmt.d` takes the emulators of another directory; with --force, it writes the files anyway";
    fs::write(d.join("SHA256SUMS"), "nonsense\n").unwrap();
    let (_, why, code) = seen(&d, "hppa");
    let expected = "qus: cannot use DIR/SHA256SUMS: line 1 is not in the format of sha256sum";
    assert_eq!((why, code), (format!("{expected}; {hint}"), Some(1)));
    assert_eq!(seen(&d, "hppa --force").2, Some(0));
    for (below, errno) in [
        ("not/there", "No such file or directory (ENOENT)"),
        ("qemu-hppa-static", "Not a directory (ENOTDIR)"),
    ] {
        let path = d.join(below).display().to_string();
        let why = exported(&format!("export binfmt.d --path {path} hppa")).unwrap_err();
        assert_eq!(why, format!("1: qus: cannot open {path}: {errno}; {hint}\n"));
    }
    fs::remove_dir_all(d).unwrap();
}

#[test]
fn an_export_refuses_the_emulators_that_install_refuses() {
    let d = with_files("bad", "qemu-hppa-static qemu-sh4-static");
    fs::write(d.join("qemu-alpha-static"), "#!/bin/sh\n").unwrap();
    let mut foreign = emulator();
    foreign[4] ^= 3; // the other class
    fs::write(d.join("qemu-m68k"), foreign).unwrap();
    let said = "qus: cannot use DIR/qemu-alpha-static: it is not an ELF file";
    let (named, why, code) = seen(&d, "alpha hppa");
    assert!(named.is_empty() && why.starts_with(said) && code == Some(1), "{named} {why}");
    let (named, why, code) = seen(&d, "");
    assert_eq!((named.as_str(), code), ("qemu-hppa-static qemu-sh4-static", Some(1)));
    assert!(why.contains(said) && why.contains("DIR/qemu-m68k: ") && !why.contains("hppa-static: "), "{why}");
    assert_eq!(seen(&d, "alpha --force"), ("qemu-alpha-static".into(), String::new(), Some(0)));
    fs::remove_dir_all(d).unwrap();
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_other() {
    let d = with_files("full", "qemu-hppa.conf");
    fs::write(d.join("qemu-hppa.conf"), "old").unwrap();
    let line = "trap '' XFSZ; ulimit -f 0; exec \"$0\" export binfmt.d --force --host s390x --path /opt/q -e . hppa 2>&1 | cat";
    let mut process = Command::new("sh");
    let ended = process.args(["-c", line, env!("CARGO_BIN_EXE_qus")]).current_dir(&d).output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(said, "qus: cannot write ./qemu-hppa.conf: File too large (EFBIG)\n");
    assert_eq!(fs::read_to_string(d.join("qemu-hppa.conf")).unwrap(), "old");
    assert_eq!(fs::read_dir(&d).unwrap().count(), 1);
    fs::remove_dir_all(d).unwrap();
}

#[test]
fn an_export_follows_no_symlink() {
    let d = with_files("links", "mine");
    for link in ["qemu-hppa.conf", "qemu-hppa.qus-new", "qemu-hppa.conf.qus-new", "qemu-sh4.conf"] {
        symlink("mine", d.join(link)).unwrap();
    }
    assert!(qus("export binfmt.d --force --host s390x -e . hppa sh4", &d).status.success());
    assert_eq!(fs::read(d.join("mine")).unwrap(), emulator());
    assert!(!d.join("qemu-hppa.conf").is_symlink() && !d.join("qemu-sh4.conf").is_symlink());
    assert_eq!(fs::read_dir(&d).unwrap().count(), 5);
    fs::remove_dir_all(d).unwrap();
}

/// A static executable for the host, that does nothing good.
fn emulator() -> Vec<u8> {
    let (class, data, machine) = host_arch().machine;
    let (wide, little) = (class == Class::Elf64, data as u8 == 1);
    let number = |value: u64, width: usize| {
        let bytes = value.to_le_bytes()[..width].to_vec();
        if little { bytes } else { bytes.into_iter().rev().collect() }
    };
    let word = if wide { 8 } else { 4 };
    let (header, segment) = if wide { (64, 56) } else { (52, 32) };
    let mut elf = [b"\x7fELF", &[class as u8, data as u8, 1][..], &[0; 9]].concat();
    // e_type, e_machine, e_version; e_entry, e_phoff, e_shoff; e_flags, e_ehsize, e_phentsize, e_phnum; PT_LOAD of nothing.
    for (value, width) in [(2, 2), (u64::from(machine), 2), (1, 4), (0, word), (header, word), (0, word)] {
        elf.extend(number(value, width));
    }
    for (value, width) in [(0, 4), (header, 2), (segment, 2), (1, 2), (0, 6), (1, 4)] {
        elf.extend(number(value, width));
    }
    elf.resize((header + segment) as usize, 0);
    elf
}

/// Compares what `qus verify` says of a directory.
fn verified(transcript: &mut Transcript, dir: &Path, about: &str) {
    let output = qus(&format!("verify --path {}", dir.display()), dir);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(dir.to_str().unwrap(), "/own");
    let stdout = text(&output.stdout);
    // How long it took, and how fast that was.
    let stdout = stdout.split(" MB in").next().unwrap();
    transcript.tell(about, stdout, &text(&output.stderr), &format!("exit {}", output.status.code().unwrap()));
}

#[test]
fn verify_checks_all_emulators_and_all_listed_files() {
    let d = dir("verify");
    let mut transcript = Transcript::default();
    let mut step = |commands: &str| {
        let done = Command::new("sh").args(["-ec", commands]).current_dir(&d).status().unwrap();
        assert!(done.success(), "{commands}");
        verified(&mut transcript, &d, &format!("{commands}; qus verify --path /own"));
    };
    step(":");
    step("echo tool >qemu-img; echo tool >qemu-system-arm");
    fs::write(d.join("new"), emulator()).unwrap();
    step("cp new qemu-arm; cp new qemu-mips-static");
    step("echo broken >qemu-sh4");
    step("echo unused >qemu-mips; rm qemu-sh4");
    step("sha256sum qemu-arm qemu-mips-static >SHA256SUMS");
    step("sha256sum * >SHA256SUMS");
    step("echo changed >qemu-img");
    step("rm qemu-img qemu-mips-static");
    step("rm qemu-* SHA256SUMS");
    transcript.compare("cli", "");
    fs::remove_dir_all(d).unwrap();
}

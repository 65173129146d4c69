//! The command line: what each spelling means, what is refused, and the files that are exported. No kernel is touched.
//!
//! What would register is only parsed, never run: a mistake here must not change the machine that runs the tests.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod transcript;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use qus::cli::{Asked, parse};
use qus::error::Error;
use qus::report::misuse;
use qus::run::{Command, Export, Format, Install, Remove, Style, Wanted};
use transcript::Transcript;

/// Parses a line as a shell would split it, with variables before it: `NAME=value qus -s -- -p`. `''` is an empty word.
fn asked(line: &str) -> Result<Asked, Error> {
    let mut words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|w| *w == "qus").expect("qus");
    let args: Vec<OsString> =
        words.split_off(at).into_iter().skip(1).map(|w| if w == "''" { "" } else { w }.into()).collect();
    let env =
        |name: &str| words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('=')).map(OsString::from);
    parse(&args, &env)
}

/// The one command that a line asks for.
fn command(line: &str) -> Command {
    let asked = asked(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let [command] = <[Command; 1]>::try_from(asked.commands).unwrap_or_else(|all| panic!("{line}: {all:?}"));
    command
}

/// `qus --`, with changes.
fn install(change: impl FnOnce(&mut Install)) -> Command {
    let style = Style { suffix: String::new(), persistent: false, ..Style::default() };
    let mut install = Install::new(Wanted::All, style);
    change(&mut install);
    Command::Install(install)
}

fn these(targets: &[&'static str]) -> Wanted {
    Wanted::These(targets.to_vec())
}

#[test]
fn the_documented_uses_mean_what_they_say() {
    let persistent = |wanted: Wanted| {
        install(|i| {
            i.wanted = wanted;
            i.style.suffix = "-static".into();
            i.style.persistent = true;
        })
    };
    assert_eq!(command("qus -s -- -p"), persistent(Wanted::All));
    assert_eq!(command("qus -s -- -p arm"), persistent(these(&["arm"])));
    assert_eq!(command("qus -s -- -p aarch64 riscv64"), persistent(these(&["aarch64", "riscv64"])));
    assert_eq!(
        command("qus -s -- aarch64"),
        install(|i| {
            i.wanted = these(&["aarch64"]);
            i.style.suffix = "-static".into();
        })
    );
    assert_eq!(command("qus -- aarch64"), install(|i| i.wanted = these(&["aarch64"])));
    assert_eq!(
        command("qus -- -r"),
        Command::Remove(Remove { wanted: Wanted::All, dry_run: false, mount: None })
    );
    assert_eq!(
        command("qus -- -r arm"),
        Command::Remove(Remove { wanted: these(&["arm"]), dry_run: false, mount: None })
    );
    assert_eq!(command("qus -l"), Command::List);
    assert_eq!(asked("qus -l -- -t").unwrap().commands, [Command::List, install(|i| i.dry_run = true)]);
    assert!(matches!(command("qus -h"), Command::Say(text) if text.starts_with("qus: make this")));
    assert!(
        matches!(command("qus -l -- -h"), Command::Say(text) if text.starts_with("Usage: qus [-s] [-l] --"))
    );
    assert_eq!(command("qus -i"), Command::Shell(vec![]));
    assert_eq!(
        command("qus -i echo -- -s"),
        Command::Shell(["echo", "--", "-s"].map(OsString::from).to_vec())
    );
    assert_eq!(
        (asked("qus").unwrap().commands, asked("qus").unwrap().json),
        (vec![Command::Status { mount: None }], true)
    );
}

#[test]
fn long_options_may_have_one_dash_or_two() {
    for (short, long) in
        [("-s -- -p arm", "static -- -p arm"), ("-l", "list"), ("-i ls", "interactive ls"), ("-h", "help")]
    {
        for dashes in ["-", "--"] {
            assert_eq!(
                asked(&format!("qus {dashes}{long}")),
                asked(&format!("qus {short}")),
                "{dashes}{long}"
            );
        }
    }
    for (short, long) in [
        ("-p arm", "--persistent arm"),
        ("-c", "--credential"),
        ("-r arm", "--clear arm"),
        ("-t", "--test"),
        ("-Q /d", "--path /d"),
        ("-Q /d", "--path=/d"),
        ("-Q/d", "--path /d"),
        ("-F -x", "--suffix -x"),
        ("-s -e /d", "--systemd --exportdir /d"),
        ("-d", "--debian"),
        ("-h", "--help"),
        ("-pc arm", "--persistent --credential arm"),
        ("arm -p", "-p arm"),
        ("-p -- arm", "-p arm"),
    ] {
        assert_eq!(asked(&format!("qus -- {long}")), asked(&format!("qus -- {short}")), "{long}");
    }
}

#[test]
fn every_option_has_its_meaning() {
    assert_eq!(command("qus -- -p"), install(|i| i.style.persistent = true));
    assert_eq!(command("qus -- -c"), install(|i| i.style.credentials = true));
    assert_eq!(command("qus -- -t"), install(|i| i.dry_run = true));
    assert_eq!(command("qus -- -Q /d"), install(|i| i.style.dir = Some("/d".into())));
    assert_eq!(command("qus -- -F -x"), install(|i| i.style.suffix = "-x".into()));
    assert_eq!(command("qus -s -- -F -x"), install(|i| i.style.suffix = "-x".into()));
    assert_eq!(command("qus -- --no-prove"), install(|i| i.prove = false));
    assert_eq!(command("qus -- --force"), install(|i| i.force = true));
    assert_eq!(
        command("qus -- -r -t"),
        Command::Remove(Remove { wanted: Wanted::All, dry_run: true, mount: None })
    );
    for (option, value) in [
        ("--preserve-argv0", true),
        ("--preserve-argv0 yes", true),
        ("--preserve-argv0=yes", true),
        ("--preserve-argv0 no", false),
        ("--preserve-argv0=no", false),
    ] {
        let expected = install(|i| {
            i.style.preserve_argv0 = Some(value);
            i.wanted = these(&["arm"]);
        });
        assert_eq!(command(&format!("qus -- {option} arm")), expected, "{option}");
    }
    assert!(asked("qus -- --json").unwrap().json && asked("qus --json -l").unwrap().json);
}

#[test]
fn every_variable_has_its_meaning_and_options_come_first() {
    for (line, same_as) in [
        ("QEMU_BIN_DIR=/d qus --", "qus -- -Q /d"),
        ("QEMU_PATH=/d qus --", "qus -- -Q /d"),
        ("QEMU_BIN_DIR=/other QEMU_PATH=/d qus --", "qus -- -Q /d"),
        ("QEMU_PATH=/other qus -- -Q /d", "qus -- -Q /d"),
        ("QEMU_TARGETS=arm,s390x qus --", "qus -- arm s390x"),
        ("QEMU_TARGETS=arm qus -- s390x", "qus -- s390x"),
        ("QEMU_TARGETS= qus --", "qus --"),
        ("QEMU_SUFFIX=-x qus --", "qus -- -F -x"),
        ("QEMU_SUFFIX=-x qus -s --", "qus -- -F -static"),
        ("QEMU_PERSISTENT=yes qus --", "qus -- -p"),
        ("QEMU_PERSISTENT=no qus --", "qus --"),
        ("QEMU_CREDENTIAL=yes qus --", "qus -- -c"),
        ("QEMU_CLEAR=yes qus -- arm", "qus -- -r arm"),
        ("QEMU_TEST=yes qus --", "qus -- -t"),
        ("QEMU_BIN_DIR= qus --", "qus --"),
        ("QEMU_BIN_DIR=/d qus install", "qus install --path /d"),
    ] {
        assert_eq!(asked(line), asked(same_as), "{line}");
    }
    let export = |host: Option<&str>| {
        let Command::Install(Install { style, .. }) = install(|_| {}) else { unreachable!() };
        Command::Export(Export {
            wanted: Wanted::All,
            style,
            format: Format::Systemd,
            to: PathBuf::from("/d"),
            host: host.map(str::to_owned),
            dry_run: false,
        })
    };
    assert_eq!(command("HOST_ARCH=s390x qus -- -s -e /d"), export(Some("s390x")));
    assert_eq!(command("HOST_ARCH= qus -- -s -e /d"), export(None));
}

#[test]
fn all_families_of_names_are_understood() {
    for (names, target) in [
        ("aarch64 arm64 linux/arm64 linux/arm64/v8 arm64v8 AARCH64 qemu-aarch64", "aarch64"),
        ("arm linux/arm/v7 arm/v6 linux/arm armhf armel arm32v7 arm32v6 armv7l armv6l", "arm"),
        ("i386 386 linux/386 i686 x86", "i386"),
        ("x86_64 amd64 linux/amd64 x86-64", "x86_64"),
        ("ppc64le ppc64el linux/ppc64le powerpc64le", "ppc64le"),
        ("loongarch64 loong64 linux/loong64", "loongarch64"),
        ("mips64el mips64le linux/mips64le", "mips64el"),
        ("microblaze qemu-microblaze-baab", "microblaze"),
    ] {
        for name in names.split(' ') {
            assert_eq!(
                command(&format!("qus -- {name}")),
                install(|i| i.wanted = these(&[target])),
                "{name}"
            );
        }
        let all_at_once = names.replace(' ', ",");
        assert_eq!(command(&format!("qus -- {all_at_once}")), install(|i| i.wanted = these(&[target])));
    }
    assert_eq!(command("qus -- arm arm s390x arm"), install(|i| i.wanted = these(&["arm", "s390x"])));
    assert_eq!(command("qus -- arm all"), install(|_| {}));
}

#[test]
fn the_verbs_are_the_first_dialect_in_other_words() {
    for (verb, same_as) in [
        ("install", "-s -- -p"),
        ("install arm linux/s390x", "-s -- -p arm s390x"),
        ("install --path /d --suffix x arm", "-- -p -Q /d -F x arm"),
        ("install --persistent no arm", "-s -- arm"),
        ("install --credentials yes arm", "-s -- -p -c arm"),
        ("install --preserve-argv0 no arm", "-s -- -p --preserve-argv0 no arm"),
        ("install --dry-run --force --no-prove", "-s -- -p -t --force --no-prove"),
        ("remove", "-- -r"),
        ("remove --dry-run arm", "-- -r -t arm"),
        ("list", "-l"),
        ("list --json", "-l --json"),
        ("help", "-h"),
        ("version", "-V"),
    ] {
        assert_eq!(asked(&format!("qus {verb}")), asked(&format!("qus {same_as}")), "{verb}");
    }
    let Command::Install(Install { wanted: Wanted::These(left), .. }) =
        command("qus install --except arm,386 --except s390x")
    else {
        panic!()
    };
    assert_eq!(left.len(), qus::arch::targets().count() - 3);
    assert!(!left.iter().any(|t| ["arm", "i386", "s390x"].contains(t)));
}

/// What is refused, without being run.
fn refused(name: &str, lines: &[&str]) {
    let mut transcript = Transcript::default();
    for line in lines {
        match asked(line) {
            Err(error) => {
                let said = misuse(&error);
                transcript.tell(line, &said.stdout, &said.stderr, &format!("exit {}", said.exit as u8));
            }
            Ok(asked) => panic!("{line} is not refused: {asked:?}"),
        }
    }
    transcript.compare(&format!("cli/{name}"));
}

#[test]
fn unknown_targets_are_refused_with_the_nearest_names() {
    refused(
        "unknown-targets",
        &[
            "qus -s -- -p aarch46",
            "qus -- -r amd46",
            "qus -- arm vax",
            "qus -- linux/arm46 s390x",
            "qus -- riscv",
            "qus -- arm,armx",
            "QEMU_TARGETS=armx qus --",
            "qus install mipsle64",
            "qus install --except x68_64",
            "qus -- ''",
            "qus install ''",
            "qus remove ''",
            "qus -- arm ''",
        ],
    );
}

#[test]
fn switches_with_a_value_are_refused() {
    refused(
        "values",
        &[
            "qus -s -- -p yes arm",
            "qus -s -- -p=yes arm",
            "qus -s -- --persistent=yes arm",
            "qus -s -- --persistent yes arm",
            "qus -s -- -p no",
            "qus -- --preserve-argv0=maybe arm",
            "qus -- --preserve-argv0 maybe arm",
            "qus install --persistent maybe",
            "QEMU_PERSISTENT=true qus --",
            "QEMU_CLEAR=1 qus --",
            "qus -- -Q",
            "qus -- --path",
            "qus -- -F",
            "qus -- -s -e",
            "qus install --except",
        ],
    );
}

#[test]
fn unknown_options_are_refused() {
    refused(
        "unknown-options",
        &[
            "qus --frob",
            "qus -x",
            "qus -- --frob",
            "qus -- -x arm",
            "qus -s -x -- -p",
            "qus install --frob",
            "qus list --dry-run",
            "qus list arm",
            "qus frob",
        ],
    );
}

#[test]
fn a_forgotten_double_dash_is_explained() {
    refused(
        "forgotten-dashes",
        &[
            "qus -s -p arm",
            "qus -p aarch64",
            "qus -s aarch64 arm",
            "qus -r",
            "qus -l -t",
            "qus aarch64",
            "qus -s -p -- arm",
        ],
    );
}

#[test]
fn contradictions_are_refused() {
    refused(
        "contradictions",
        &[
            "qus -- -r -s",
            "qus -- -r -d -e /d",
            "qus -- -e /d",
            "qus -- -e /d -p arm",
            "QEMU_CLEAR=yes qus -- -s",
            "qus -- --clean",
        ],
    );
}

#[test]
fn words_that_are_not_text_are_refused() {
    let bad = || OsString::from_vec(b"a\xffb".to_vec());
    for args in
        [vec!["--".into(), bad()], vec!["--".into(), "-F".into(), bad()], vec!["install".into(), bad()]]
    {
        let error = parse(&args, &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8: a\u{fffd}b");
    }
    assert!(parse(&["--".into()], &|name| (name == "QEMU_TARGETS").then(bad)).is_err());
}

fn qus() -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_qus"));
    process.env_clear().stdin(Stdio::null());
    process
}

#[test]
fn help_and_version_are_printed_by_the_program_itself() {
    let mut transcript = Transcript::default();
    for line in ["-h", "-help", "-- -h", "--version", "version", "-s -- -p aarch46", "-i", "-i exit 7"] {
        let process = qus()
            .args(line.split(' '))
            .env("PATH", "/usr/bin:/bin")
            .env("QEMU_BIN_DIR", "/no/emulators")
            .output()
            .unwrap();
        transcript.add(&format!("qus {line}"), &process);
    }
    transcript.compare("cli/help");
}

#[test]
fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = qus().arg("-h").stdout(writer).output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = qus().arg("-h").stdout(full).output().unwrap();
    let mut transcript = Transcript::default();
    transcript.add("qus -h >/dev/full", &ended);
    transcript.compare("cli/full");
}

/// Exports into an empty directory, and compares what is printed and all files.
fn exported(name: &str, line: &str) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let words = line.split(' ');
    let (variables, args): (Vec<_>, Vec<_>) = words.partition(|w| w.contains('=') && !w.starts_with('-'));
    let variables = variables.into_iter().filter_map(|v| v.split_once('='));
    let output = qus().args(args.into_iter().skip(1)).envs(variables).current_dir(&dir).output().unwrap();
    let mut transcript = Transcript::default();
    transcript.add(line, &output);
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        let shown = format!("cat {}", file.file_name().unwrap().display());
        transcript.tell(&shown, &std::fs::read_to_string(&file).unwrap(), "", "exit 0");
    }
    std::fs::remove_dir_all(&dir).unwrap();
    transcript.compare(&format!("cli/{name}"));
}

#[test]
fn files_for_systemd_are_those_of_all_targets_but_the_hosts_own() {
    exported("export-systemd", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -s -- -p -s -e .");
    exported(
        "export-systemd-arm",
        "HOST_ARCH=armv7l QEMU_BIN_DIR=/opt/qemu qus -- -s -e . arm aarch64 x86_64",
    );
}

#[test]
fn files_for_debian_are_those_of_all_targets_but_the_hosts_own() {
    exported("export-debian", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -s -- -p -d -e .");
    exported(
        "export-debian-flags",
        "HOST_ARCH=s390x QEMU_BIN_DIR=/opt/qemu qus -- -c -d -e . --preserve-argv0 no arm s390x",
    );
}

#[test]
fn an_export_to_nowhere_is_an_error_and_a_test_run_writes_nothing() {
    exported("export-nowhere", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -- -s -e ./not/here arm");
    exported("export-test", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -- -t -s -e . arm microblaze");
}

#[test]
fn the_dialect_of_tonistiigi_binfmt_ends_with_the_status() {
    let status = || Command::Status { mount: None };
    let commands = |line: &str| asked(line).unwrap().commands;
    let install = |wanted: Wanted| Command::Install(Install::new(wanted, Style::default()));
    let remove = |wanted: Wanted| Command::Remove(Remove { wanted, dry_run: false, mount: None });
    assert_eq!(commands("qus --install all"), [install(Wanted::All), status()]);
    assert_eq!(commands("qus -install=linux/arm64,arm"), [install(these(&["aarch64", "arm"])), status()]);
    assert_eq!(
        commands("qus --uninstall qemu-* --install riscv64"),
        [remove(Wanted::All), install(these(&["riscv64"])), status()]
    );
    assert_eq!(commands("qus --mount /mnt"), [Command::Status { mount: Some("/mnt".into()) }]);
    assert!(asked("qus --install arm").unwrap().json);
    assert!(asked("qus --install nonsense").is_err() && asked("qus --uninstall jar").is_err());
}

#[test]
fn the_dialect_of_multiarch_qemu_user_static_takes_yes_and_no() {
    let persistent = |on| Style { persistent: on, ..Style::default() };
    let reset = || Command::Remove(Remove { wanted: Wanted::All, dry_run: false, mount: None });
    let commands = |line: &str| asked(line).unwrap().commands;
    let install = |style| Command::Install(Install::new(Wanted::All, style));
    assert_eq!(commands("qus --reset -p yes"), [reset(), install(persistent(true))]);
    assert_eq!(commands("qus --reset"), [reset(), install(persistent(false))]);
    assert_eq!(
        commands("qus --persistent yes --credential yes --preserve-argv0 no --qemu-path /q --qemu-suffix -x"),
        [install(Style {
            dir: Some("/q".into()),
            suffix: "-x".into(),
            credentials: true,
            preserve_argv0: Some(false),
            ..persistent(true)
        })]
    );
    let files = commands("qus --systemd aarch64 --exportdir /e -p yes");
    assert!(
        matches!(&files[..], [Command::Export(e)] if e.wanted == these(&["aarch64"]) && e.to == Path::new("/e"))
    );
    assert!(asked("qus --reset -p maybe").is_err());
}

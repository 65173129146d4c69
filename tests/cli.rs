//! The command line: what each spelling means, what is refused, and the files that are exported. No kernel is touched.
//!
//! What would register is only parsed, never run: a mistake here must not change the machine that runs the tests.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod transcript;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use qus::cli::{Invocation, parse};
use qus::error::Error;
use qus::report::misuse;
use qus::request::{
    Command, Deploy, Engine, Export, Format, HandlerOptions, Hold, Install, Remove, Runner, Targets,
};
use transcript::Transcript;

/// Parses a line as a shell would split it, with variables before it: `NAME=value qus -s -- -p`. `''` is an empty word.
fn asked(line: &str) -> Result<Invocation, Error> {
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
    let style = HandlerOptions { suffix: String::new(), persistent: false, ..HandlerOptions::default() };
    let mut install = Install::new(Targets::All, style);
    change(&mut install);
    Command::Install(install)
}

fn these(targets: &[&'static str]) -> Targets {
    Targets::These(targets.to_vec())
}

#[test]
fn documented_command_lines_parse_as_documented() {
    let persistent = |wanted: Targets| {
        install(|i| {
            i.targets = wanted;
            i.options.suffix = "-static".into();
            i.options.persistent = true;
        })
    };
    assert_eq!(command("qus -s -- -p"), persistent(Targets::All));
    assert_eq!(command("qus -s -- -p arm"), persistent(these(&["arm"])));
    assert_eq!(command("qus -s -- -p aarch64 riscv64"), persistent(these(&["aarch64", "riscv64"])));
    assert_eq!(
        command("qus -s -- aarch64"),
        install(|i| {
            i.targets = these(&["aarch64"]);
            i.options.suffix = "-static".into();
        })
    );
    assert_eq!(command("qus -- aarch64"), install(|i| i.targets = these(&["aarch64"])));
    assert_eq!(command("qus -- -r"), Command::Remove(Remove::of(Targets::All)));
    assert_eq!(command("qus -- -r arm"), Command::Remove(Remove::of(these(&["arm"]))));
    assert_eq!(command("qus -l"), Command::List);
    // As in the original, what is listed is what there is afterwards.
    assert_eq!(asked("qus -l -- -t").unwrap().commands, [install(|i| i.dry_run = true), Command::List]);
    assert_eq!(asked("qus -l -s -- -p arm").unwrap().commands, [persistent(these(&["arm"])), Command::List]);
    for line in ["qus -l -s", "qus -s -l", "qus -sl", "qus --static --list"] {
        assert_eq!(command(line), Command::List, "{line}");
    }
    assert!(matches!(command("qus -h"), Command::Say(text) if text.starts_with("qus: make this")));
    assert!(
        matches!(command("qus -l -- -h"), Command::Say(text) if text.starts_with("Usage: qus [-s] [-l] --"))
    );
    assert_eq!(command("qus -i"), Command::Shell(vec![]));
    assert_eq!(
        command("qus -i echo -- -s"),
        Command::Shell(["echo", "--", "-s"].map(OsString::from).to_vec())
    );
    let commands = vec![Command::Status { mount: None }];
    let status = Invocation { commands, json: true, ..Invocation::default() };
    assert_eq!(asked("qus").unwrap(), Invocation { json: false, brief: true, ..status.clone() });
    for line in ["qus --json", "qus -json", "qus status --json", "qus --json status"] {
        assert_eq!(asked(line).unwrap(), status, "{line}");
    }
}

#[test]
fn json_and_quiet_may_precede_the_verb() {
    for (before, after) in [
        ("--json install arm", "install arm --json"),
        ("--quiet install arm", "install --quiet arm"),
        ("-q check arm", "check --quiet arm"),
        ("--json -q remove arm", "remove --json --quiet arm"),
        ("--json list", "list --json"),
        ("--json -l", "list --json"),
        ("--quiet -s -- -p arm", "-s -- -p arm --quiet"),
        ("-q -- -r", "-- -r --quiet"),
        ("--json --reset -p yes", "--reset -p yes --json"),
        ("--json --install arm", "--install arm --json"),
        ("-json --version", "--version --json"),
    ] {
        assert_eq!(asked(&format!("qus {before}")), asked(&format!("qus {after}")), "{before}");
        assert!(asked(&format!("qus {before}")).is_ok(), "{before}");
    }
    assert!(asked("qus --json install arm").unwrap().json && asked("qus -q install arm").unwrap().quiet);
    for line in ["qus --quiet", "qus -q", "qus --quiet list", "qus --json run x", "qus --json --quiet"] {
        assert!(asked(line).is_err(), "{line}");
    }
}

#[test]
fn help_is_a_document_wherever_json_is() {
    for line in [
        "qus --json --help",
        "qus --help --json",
        "qus --json install --help",
        "qus install --json --help",
        "qus install --help --json",
        "qus run --help --json",
        "qus export --json --help",
        "qus export compose -h --json",
        "qus --reset --json --help",
        "qus --reset --help --json",
        "qus -- --help --json",
        "qus -- --json --help",
        "qus -s --json -- -h",
        "qus --mount /m --version --json",
    ] {
        let Invocation { json, quiet, commands, .. } = asked(line).unwrap();
        assert!(json && !quiet && commands.len() == 1, "{line}");
    }
    assert!(!asked("qus install --help").unwrap().json && !asked("qus -q -- --help").unwrap().quiet);
}

/// Options of engines and of other programs.
const OTHERS_OPTIONS: &str = "--privileged --cap-add --cap-drop --pid --userns --security-opt --network --ulimit --pids-limit --engine";

/// All that the tests have ever seen qus say.
fn everything_said() -> String {
    let mut said =
        std::fs::read_to_string("docs/truth.md").unwrap().replace("<br>", "\n").replace("\\|", "|");
    let mut dirs = vec![PathBuf::from("tests/golden")];
    while let Some(dir) = dirs.pop() {
        for item in std::fs::read_dir(dir).unwrap() {
            let path = item.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => said.push_str(&std::fs::read_to_string(path).unwrap()),
            }
        }
    }
    said
}

/// People see hints and notes after any of the four kinds of command line, so what these name is a whole line of one kind, or an option
/// of a command that they name.
#[test]
fn what_hints_and_notes_name_can_be_typed() {
    let takes = |line: &str| {
        // What follows where a line is a part of one.
        let more = ["", " arm", " /d", " yes", " /d arm", " yes arm", " binfmt.d arm", " arm x", " x -- x"];
        let quoted =
            |(at, part): (usize, &str)| if at % 2 == 0 { part.into() } else { part.replace(' ', "_") };
        let line: String = line.split('\'').enumerate().map(quoted).collect();
        let line = line.replace("TARGETS", "arm").replace("COMMAND", "install");
        let line = line.replace(" DIR", " /d").replace(" ARCH", " arm");
        more.iter().any(|more| asked(&format!("{line}{more}")).is_ok())
    };
    let (mut wrong, mut seen) = (std::collections::BTreeSet::new(), 0);
    // A usage error is about the line that was typed.
    let is_result =
        |line: &&str| line.contains("cannot ") && line.contains("hint: ") || line.contains("note: ");
    for line in everything_said().lines().filter(is_result) {
        let said = line.split_once("hint: ").or(line.split_once("note: ")).unwrap().1;
        // What is in backticks comes second, fourth and so on.
        let (words, quoted): (Vec<_>, Vec<_>) = said.split('`').enumerate().partition(|(at, _)| at % 2 == 0);
        let lines: Vec<_> =
            quoted.into_iter().map(|(_, line)| line).filter(|line| line.starts_with("qus")).collect();
        wrong.extend(
            lines.iter().filter(|line| !takes(line)).map(|line| format!("`{line}` is no line: {said}")),
        );
        let words = words.iter().flat_map(|(_, words)| words.split([' ', ',', ';', '(', ')', ':']));
        for option in words.filter(|word| word.starts_with('-') && word.len() > 1) {
            let is_others = OTHERS_OPTIONS.split(' ').any(|other| option.split('=').next() == Some(other));
            if !is_others && !lines.iter().any(|line| takes(&format!("{line} {option}"))) {
                wrong.insert(format!("{option} belongs to no line: {said}"));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 50, "{seen}");
}

#[test]
fn an_empty_directory_or_unknown_host_is_wrong_usage() {
    for line in [
        "qus export compose -e ''",
        "qus export binfmt.d --dir= arm",
        "qus -- -s -e '' arm",
        "qus -- -d --exportdir= arm",
        "qus --systemd ALL -e ''",
        "qus install --path '' arm",
        "qus verify --path=",
        "qus run --path '' x",
        "qus export binfmt.d --path '' arm",
        "qus -s -- -Q '' arm",
        "qus -- --path= arm",
        "qus --reset -p yes --qemu-path ''",
        "qus --mount '' --install arm",
        "qus --mount= --uninstall arm",
    ] {
        assert_eq!(asked(line).unwrap_err().hint.as_deref(), Some("is a shell variable unset?"), "{line}");
    }
    for line in [
        "HOST_ARCH=vax qus --reset --systemd ALL",
        "HOST_ARCH=vax qus -- -d",
        "qus export binfmt.d --host vax --json",
        "qus export update-binfmts --host '' arm",
    ] {
        let error = asked(line).unwrap_err();
        assert!(error.to_string().starts_with("unknown host: "), "{line}: {error}");
        assert_eq!(error.exit() as u8, 2);
    }
    assert!(asked("HOST_ARCH= qus -- -d").is_ok() && asked("HOST_ARCH=armv5tejl qus -- -d").is_ok());
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
    assert_eq!(command("qus -- -p"), install(|i| i.options.persistent = true));
    assert_eq!(command("qus -- -c"), install(|i| i.options.credentials = true));
    assert_eq!(command("qus -- -t"), install(|i| i.dry_run = true));
    assert_eq!(command("qus -- -Q /d"), install(|i| i.options.dir = Some("/d".into())));
    assert_eq!(command("qus -- -F -x"), install(|i| i.options.suffix = "-x".into()));
    assert_eq!(command("qus -s -- -F -x"), install(|i| i.options.suffix = "-x".into()));
    assert_eq!(command("qus -- --no-prove"), install(|i| i.prove = false));
    assert_eq!(command("qus -- --force"), install(|i| i.force = true));
    assert_eq!(command("qus -- --replace"), install(|i| i.replace = true));
    assert_eq!(command("qus -- --dry-run"), install(|i| i.dry_run = true));
    assert_eq!(command("qus -- --platform linux/arm/v7"), install(|i| i.targets = these(&["arm"])));
    let hold = |clean, strict| install(|i| i.hold = Some(Hold { clean, strict }));
    assert_eq!(command("qus -- --hold"), hold(false, false));
    assert_eq!(command("qus -- --hold --clean"), hold(true, false));
    assert_eq!(command("qus -- --hold --strict"), hold(false, true));
    assert_eq!(
        command("qus -- -r --force arm"),
        Command::Remove(Remove { force: true, ..Remove::of(these(&["arm"])) })
    );
    assert_eq!(command("qus -- arm s390x --except arm"), install(|i| i.targets = these(&["s390x"])));
    assert!(asked("qus -- --quiet").unwrap().quiet && asked("qus check --quiet arm").unwrap().quiet);
    assert_eq!(
        command("qus -- -r -t"),
        Command::Remove(Remove { dry_run: true, ..Remove::of(Targets::All) })
    );
    for (option, value) in [
        ("--preserve-argv0", true),
        ("--preserve-argv0 yes", true),
        ("--preserve-argv0=yes", true),
        ("--preserve-argv0 no", false),
        ("--preserve-argv0=no", false),
    ] {
        let expected = install(|i| {
            i.options.preserve_argv0 = Some(value);
            i.targets = these(&["arm"]);
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
        let Command::Install(Install { options: style, .. }) = install(|_| {}) else { unreachable!() };
        Command::Export(Export {
            targets: Targets::All,
            options: style,
            format: Format::BinfmtD,
            to: Some(PathBuf::from("/d")),
            host: host.map(str::to_owned),
            force: false,
            dry_run: false,
        })
    };
    assert_eq!(command("HOST_ARCH=s390x qus -- -s -e /d"), export(Some("s390x")));
    assert_eq!(command("HOST_ARCH= qus -- -s -e /d"), export(None));
    assert_eq!(command("EXPORTDIR=/d qus -- -s"), export(None));
    assert_eq!(command("EXPORTDIR=/other qus -- -s -e /d"), export(None));
    assert_eq!(command("EXPORTDIR= qus -- -s"), command("qus -- -s -e /etc/binfmt.d"));
    assert_eq!(command("EXPORTDIR=/d qus -- -d"), command("qus -- -d -e /d"));
    assert_eq!(command("EXPORTDIR=/d qus --debian"), command("qus --debian --exportdir /d"));
    assert_eq!(command("EXPORTDIR=/d qus -- -p"), command("qus -- -p"));
}

#[test]
fn names_of_all_families_are_accepted() {
    for (names, target) in [
        (
            "aarch64 arm64 linux/arm64 linux/arm64/v8 arm64v8 AARCH64 qemu-aarch64 linux/aarch64 qemu-aarch64-static",
            "aarch64",
        ),
        ("arm linux/arm/v7 arm/v6 linux/arm armhf armel arm32v7 arm32v6 armv7l armv6l", "arm"),
        ("i386 386 linux/386 i686 x86", "i386"),
        ("x86_64 amd64 linux/amd64 x86-64 x64 linux/amd64/v4", "x86_64"),
        ("ppc64le ppc64el linux/ppc64le powerpc64le", "ppc64le"),
        ("loongarch64 loong64 linux/loong64", "loongarch64"),
        ("mips64el mips64le linux/mips64le", "mips64el"),
        ("microblaze qemu-microblaze-baab", "microblaze"),
    ] {
        for name in names.split(' ') {
            assert_eq!(
                command(&format!("qus -- {name}")),
                install(|i| i.targets = these(&[target])),
                "{name}"
            );
        }
        let all_at_once = names.replace(' ', ",");
        assert_eq!(command(&format!("qus -- {all_at_once}")), install(|i| i.targets = these(&[target])));
    }
    assert_eq!(command("qus -- arm arm s390x arm"), install(|i| i.targets = these(&["arm", "s390x"])));
    assert_eq!(command("qus -- arm all"), install(|_| {}));
}

#[test]
fn usage_md_lists_all_names_of_all_targets() {
    let document = include_str!("../docs/usage.md");
    let section = document.split("\n## ").find(|s| s.starts_with("Names of targets\n")).unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|l| l.starts_with("| `") || l.starts_with("| only so"))
        .map(|l| l.split('`').skip(1).step_by(2).collect())
        .collect();
    let (only_so, others) = rows.split_last().unwrap();
    let listed: Vec<Vec<&str>> =
        others.iter().cloned().chain(only_so.iter().map(|name| vec![*name])).collect();
    for target in qus::arch::targets() {
        let row = listed.iter().find(|row| row[0] == target).unwrap_or_else(|| panic!("no row for {target}"));
        let arch = qus::arch::named(target).next().unwrap();
        let short = arch.platforms.iter().filter_map(|p| p.strip_prefix("linux/"));
        let mut names: Vec<_> =
            arch.aliases.split_whitespace().chain(short).filter(|n| *n != target).collect();
        let mut documented = row[1..].to_vec();
        names.sort_unstable();
        documented.sort_unstable();
        assert_eq!(documented, names, "{target}");
    }
}

#[test]
fn verbs_equal_command_lines_of_the_original() {
    for (verb, same_as) in [
        ("install", "-s -- -p"),
        ("install arm linux/s390x", "-s -- -p arm s390x"),
        ("install --path /d --suffix x arm", "-- -p -Q /d -F x arm"),
        ("install --persistent no arm", "-s -- arm"),
        ("install --credentials yes arm", "-s -- -p -c arm"),
        ("install --preserve-argv0 no arm", "-s -- -p --preserve-argv0 no arm"),
        ("install --dry-run --force --no-prove", "-s -- -p -t --force --no-prove"),
        ("install --replace --quiet --except arm", "-s -- -p --replace --quiet --except arm"),
        ("hold --clean --dry-run arm", "-s -- -p --hold --clean -t arm"),
        ("hold --strict arm", "-s -- -p --hold --strict arm"),
        ("install --platform linux/arm64,linux/arm/v7", "-s -- -p aarch64 arm"),
        ("install --persistent --credentials arm", "-s -- -p -c arm"),
        ("remove --platform linux/arm64", "-- -r aarch64"),
        ("remove --force arm", "-- -r --force arm"),
        ("remove qemu-cris qemu-arm", "-- -r qemu-cris qemu-arm"),
        ("remove --except arm,386 --quiet", "-- -r --except arm --except i386 --quiet"),
        ("remove --except arm arm s390x", "-- -r s390x"),
        ("remove", "-- -r"),
        ("remove --dry-run arm", "-- -r -t arm"),
        ("list", "-l"),
        ("list --json", "-l --json"),
        ("help", "-h"),
        ("version", "-V"),
    ] {
        assert_eq!(asked(&format!("qus {verb}")), asked(&format!("qus {same_as}")), "{verb}");
    }
    let left = Targets::AllBut(vec!["arm", "i386", "s390x"]);
    assert!(matches!(
        command("qus install --except arm,386 --except s390x"),
        Command::Install(Install { targets, .. }) if targets == left
    ));
    assert_eq!(left.rows().count(), Targets::All.rows().count() - 3);
    // Handlers that no row is for are among all.
    let kept = Remove::of(Targets::AllBut(vec!["arm"]));
    assert_eq!(command("qus remove --except arm"), Command::Remove(kept));
    assert_eq!(command("qus check --platform linux/arm64"), command("qus check aarch64"));
}

#[test]
fn export_formats_are_handlers_or_files_that_run_qus() {
    let handlers = |format, change: &dyn Fn(&mut Export)| {
        let style = HandlerOptions { dir: Some("/usr/bin".into()), ..HandlerOptions::default() };
        let (to, host) = (None, None);
        let mut export =
            Export { targets: Targets::All, options: style, format, to, host, force: false, dry_run: false };
        change(&mut export);
        Command::Export(export)
    };
    assert_eq!(command("qus export binfmt.d"), handlers(Format::BinfmtD, &|_| {}));
    assert_eq!(command("QEMU_BIN_DIR=/q qus export binfmt.d"), command("qus export binfmt.d --path /q"));
    assert_eq!(
        command(
            "qus export update-binfmts --credentials yes --host s390x -e /d --dry-run --except arm arm sh4"
        ),
        handlers(Format::UpdateBinfmts, &|e| {
            e.options.credentials = true;
            e.host = Some("s390x".into());
            (e.to, e.dry_run, e.targets) = (Some("/d".into()), true, these(&["sh4"]));
        })
    );
    let deploy = |by, change: &dyn Fn(&mut Deploy)| {
        let mut deploy = Deploy::new(by);
        change(&mut deploy);
        Command::Deploy(deploy)
    };
    assert_eq!(command("qus export systemd"), deploy(Runner::Systemd(Engine::Docker), &|_| {}));
    assert_eq!(command("qus export systemd --engine docker"), command("qus export systemd"));
    assert_eq!(
        command("qus export systemd --engine podman --image localhost:5000/a/b:c@sha256:d arm s390x"),
        deploy(Runner::Systemd(Engine::Podman), &|d| {
            (d.image, d.targets) = ("localhost:5000/a/b:c@sha256:d".into(), these(&["arm", "s390x"]));
        })
    );
    assert_eq!(
        command("qus export systemd --engine none --path /q --program /p"),
        deploy(Runner::SystemdHost, &|d| (d.dir, d.program) = ("/q".into(), "/p".into()))
    );
    assert_eq!(command("qus export openrc --path /q"), deploy(Runner::OpenRc, &|d| d.dir = "/q".into()));
    assert_eq!(
        command("qus export kubernetes arm --dir /d"),
        deploy(Runner::Kubernetes, &|d| (d.targets, d.to) = (these(&["arm"]), Some("/d".into())))
    );
    assert_eq!(command("qus export compose"), deploy(Runner::Compose, &|_| {}));
    assert!(asked("qus export compose --json").unwrap().json);
}

#[test]
fn full_names_of_handlers_can_only_be_removed() {
    let removes = |line: &str, handlers: &[&str], targets: &[&'static str]| {
        let target = |name: &str| qus::arch::named(name).next().map(|arch| arch.target);
        let handlers = handlers.iter().map(|h| ((*h).to_owned(), target(h))).collect();
        let Command::Remove(remove) = asked(line).unwrap().commands.swap_remove(0) else { panic!("{line}") };
        let spared = remove.spared.clone();
        assert_eq!(remove, Remove { handlers, spared, ..Remove::of(these(targets)) }, "{line}");
    };
    removes("qus remove qemu-cris", &["qemu-cris"], &[]);
    removes("qus -- -r qemu-cris", &["qemu-cris"], &[]);
    removes("qus -- qemu-cris,arm -r", &["qemu-cris"], &["arm"]);
    removes("qus --uninstall qemu-cris,qemu-nios2", &["qemu-cris", "qemu-nios2"], &[]);
    removes("qus remove qemu-cris arm s390x --except arm", &["qemu-cris"], &["s390x"]);
    removes("qus remove qemu-arm qemu-microblaze-baab", &[], &["arm", "microblaze"]);
    removes("qus remove qemu-armhf qemu-aarch64-static", &["qemu-armhf", "qemu-aarch64-static"], &[]);
    removes("qus --uninstall qemu-armhf,arm", &["qemu-armhf"], &["arm"]);
    for line in ["qus remove qemu-*", "qus -- -r qemu-*", "qus -- qemu-* -r"] {
        removes(line, &["qemu-*"], &[]);
    }
    removes("qus --uninstall sparc*,qemu-cr?s", &["sparc*", "qemu-cr?s"], &[]);
    // What is excepted stays, whatever names it.
    let spared = |line: &str| match command(line) {
        Command::Remove(Remove { handlers, spared, .. }) => (handlers, spared),
        other => panic!("{other:?}"),
    };
    let named = |name: &str| vec![name.to_owned()];
    assert_eq!(spared("qus remove qemu-* --except arm"), (vec![("qemu-*".into(), None)], named("qemu-arm")));
    assert_eq!(spared("qus remove qemu-armhf --except arm").0, [("qemu-armhf".into(), None)]);
    assert_eq!(spared("qus remove --except qemu-armhf"), (vec![], named("qemu-armhf")));
    assert_eq!(command("qus remove all qemu-cris"), Command::Remove(Remove::of(Targets::All)));
    for line in [
        "qus remove cris",
        "qus remove qemu-",
        "qus remove qemu-../status",
        "qus remove --except qemu-cris",
        "qus remove qemu-armhf --except qemu-armhf",
        "qus remove arm*",
        "qus --uninstall qemo-*",
        "qus install qemu-*",
        "qus install qemu-armhf --except arm",
        "qus install qemu-cris",
        "qus -- qemu-cris",
        "qus --install qemu-cris",
        "qus check qemu-cris",
        "qus export binfmt.d qemu-cris",
        "qus remove QEMU-cris",
    ] {
        assert!(asked(line).is_err(), "{line}");
    }
}

/// The line that a hint shows, where it shows one.
fn hinted(line: &str) -> Option<String> {
    let error = asked(line).expect_err(line);
    let hint = error.hint.clone()?;
    let (_, shown) = hint.split_once("did you mean `").filter(|_| hint.ends_with("`?"))?;
    Some(shown.trim_end_matches("`?").to_owned())
}

#[test]
fn suggested_lines_do_what_was_intended() {
    for (typed, meant) in [
        ("qus arm", "qus install arm"),
        ("qus linux/arm64,s390x riscv64", "qus install linux/arm64,s390x riscv64"),
        ("qus all", "qus install all"),
        ("qus aarch46", "qus install aarch64"),
        ("qus uninstall arm64", "qus remove arm64"),
        ("qus uninstal arm64", "qus remove arm64"),
        ("qus rm qemu-cris", "qus remove qemu-cris"),
        ("qus delete arm --dry-run", "qus remove arm --dry-run"),
        ("qus unregister", "qus remove"),
        ("qus instal arm", "qus install arm"),
        ("qus register arm", "qus install arm"),
        ("qus add arm", "qus install arm"),
        ("qus inst arm", "qus install arm"),
        ("qus uninst arm", "qus remove arm"),
        ("qus stat", "qus status"),
        ("qus diag", "qus doctor"),
        ("qus --hold arm", "qus hold arm"),
        ("qus --hold --dry-run", "qus hold --dry-run"),
        ("qus --remove arm", "qus remove arm"),
        ("qus -- remove arm", "qus remove arm"),
        ("qus -- uninstall arm", "qus remove arm"),
        ("qus -s -- register -p arm", "qus install arm"),
        ("qus sparce", "qus install sparc"),
        ("qus -s -- install -p arm", "qus install arm"),
        ("qus -- list", "qus list"),
        ("qus ls", "qus list"),
        ("qus lst", "qus list"),
        ("qus statsu", "qus status"),
        ("qus test arm64", "qus check arm64"),
        ("qus verfy", "qus verify"),
        ("qus exec ./program", "qus run ./program"),
        ("qus --remove arm", "qus remove arm"),
        ("qus --unistall arm", "qus remove arm"),
        ("qus --instal arm", "qus install arm"),
        ("qus --status", "qus status"),
        ("qus --json uninstall arm", "qus --json remove arm"),
        ("qus -q arm", "qus -q install arm"),
        ("qus --platform linux/arm64", "qus install --platform linux/arm64"),
        ("qus --dry-run arm", "qus install --dry-run arm"),
        ("qus --except arm", "qus install --except arm"),
        ("qus -v", "qus -V"),
        ("qus -sp arm64", "qus -s -- -p arm64"),
        ("qus -ps arm64", "qus -s -- -p arm64"),
        ("qus -s -p arm64", "qus -s -- -p arm64"),
        ("qus -s -p -- arm64", "qus -s -- -p arm64"),
        ("qus -slp arm64", "qus -s -l -- -p arm64"),
        ("qus -s arm64", "qus -s -- -p arm64"),
        ("qus -sQ /d arm", "qus -s -- -Q /d arm"),
        ("qus -F -static arm", "qus -- -F -static arm"),
        ("qus -p arm64", "qus -- -p arm64"),
        ("qus -p -- arm64", "qus -- -p arm64"),
        ("qus -r", "qus -- -r"),
        ("qus -l -t", "qus -l -- -t"),
        ("qus install -p arm", "qus install arm"),
        ("qus install -s -- -p arm", "qus install arm"),
        ("qus install --dry-rum arm", "qus install --dry-run arm"),
        ("qus install arm --exept s390x all", "qus install arm --except s390x all"),
        ("qus install --pesistent=no arm", "qus install --persistent=no arm"),
        ("qus run --target arm -- ./x --frob", "qus run --targets arm -- ./x --frob"),
        ("qus -- --forse arm", "qus -- --force arm"),
        ("qus -satic -- -p", "qus --static -- -p"),
        ("qus --jsn", "qus --json"),
        ("qus systemd arm", "qus export systemd arm"),
        ("qus openrc arm", "qus export openrc arm"),
        ("qus export systemd --engin podman arm", "qus export systemd --engine podman arm"),
    ] {
        assert_eq!(hinted(typed).as_deref(), Some(meant), "{typed}");
        let understood = asked(meant).unwrap_or_else(|e| panic!("{typed}: {meant}: {e}"));
        let writes = |c: &Command| matches!(c, Command::Export(e) if e.to.is_some());
        assert!(!understood.commands.iter().any(writes), "{typed}: {meant} writes files");
    }
    // What does more or other than what was typed is never a hint.
    for typed in [
        "qus restore",
        "qus start",
        "qus start arm",
        "qus space",
        "qus -- un arm",
        "qus move arm",
        "qus -d",
        "qus -sd arm",
        "qus -l arm",
        "qus frob",
        "qus ''",
        "qus it's",
        "qus --systemd ALL arm",
        "qus --sytemd ALL",
        "qus --debain",
        "qus debian arm",
        "qus --list-all",
        "qus --uninstall",
        "qus --uninstall=",
        "qus --install",
        "qus --install=",
        "qus --instal=",
        "qus --uninstall= arm",
        "qus uninstall ''",
        "qus --remove",
        "qus --unistall --",
        "qus --hold",
        "qus --quiet --force",
        "qus --rset -p yes",
        "qus -rest",
        "qus --run install arm",
        "qus --exec install arm",
        "qus un install arm",
        "qus urn install arm",
        "qus exce install arm",
        "qus ad arm",
        "qus rn arm",
        "qus --list-all arm",
        "qus list-all",
        "qus list-all arm",
        "qus installed",
        "qus remov",
        "qus -- --clera",
        "qus -- --clea",
        "qus -s -- -p arm --rest",
    ] {
        assert_eq!(hinted(typed), None, "{typed}");
    }
    for typed in ["qus --uninstall=", "qus --install=", "qus --install ''"] {
        assert_eq!(asked(typed).unwrap_err().hint.as_deref(), Some("is a shell variable unset?"), "{typed}");
    }
    assert_eq!(hinted(&format!("qus {}", "arm ".repeat(1000).trim())), None);
    assert_eq!(hinted("qus uninstal arm ;"), None);
}

#[test]
fn options_of_other_export_formats_are_refused() {
    refused(&[
        "qus export",
        "qus export arm",
        "qus export kubernetes",
        "qus export binfmt.d arm --image x",
        "qus export systemd --path /q",
        "qus export systemd --engine none --image x",
        "qus export systemd --engine lxc",
        "qus export openrc --engine docker",
        "qus export compose --credentials yes",
        "qus export compose --image",
        "qus export compose --image a;b",
        "qus export compose --image -v",
        "qus export compose --image ''",
        "qus export openrc --path lib",
        "qus export systemd --engine none --program /a\"b",
        "qus export binfmt.d --dry-run",
        "qus export compose --quiet",
        "qus export compose --except arm arm",
        "qus export compose armx",
        "qus export compose --frob",
    ]);
}

/// What is refused, without being run.
fn refused(lines: &[&str]) {
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
    transcript.compare("cli", "");
}

#[test]
fn unknown_targets_are_refused_with_the_nearest_names() {
    refused(&[
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
        "qus install ,",
        "qus -- , ,",
        "QEMU_TARGETS=, qus --",
        "qus --install ,",
        "qus remove --except ,",
        "qus install arm --except arm",
        "qus remove --except all",
        "qus install qemu-cris",
        "qus remove cris",
    ]);
}

#[test]
fn switches_with_a_value_are_refused() {
    refused(&[
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
    ]);
}

#[test]
fn unknown_options_are_refused() {
    refused(&[
        "qus --frob",
        "qus -x",
        "qus -- --frob",
        "qus -- -x arm",
        "qus -s -x -- -p",
        "qus install --frob",
        "qus list --dry-run",
        "qus list arm",
        "qus list --quiet",
        "qus run --json x",
        "qus check --force arm",
        "qus help frob",
        "qus help install remove",
        "qus frob",
        "qus --quiet",
        "qus install -v arm",
        "qus uninstall arm64",
        "qus install --dry-rum arm",
    ]);
}

#[test]
fn a_forgotten_double_dash_is_explained() {
    refused(&[
        "qus -s -p arm",
        "qus -p aarch64",
        "qus -s aarch64 arm",
        "qus -r",
        "qus -l -t",
        "qus aarch64",
        "qus -s -p -- arm",
        "qus -s -e /d",
        "qus -s -x -- -p",
    ]);
}

#[test]
fn contradictions_are_refused() {
    refused(&[
        "qus -l -q",
        "qus -- -r -s",
        "qus -- -r -d -e /d",
        "qus -- -e /d",
        "qus -- -e /d -p arm",
        "QEMU_CLEAR=yes qus -- -s",
        "qus -- --clean",
        "qus -- --strict",
        "qus -s -- -p --hold --clear",
        "qus -- --hold --strict -r arm",
        "QEMU_CLEAR=yes qus -- -p --hold",
        "qus -- -s --hold",
        "qus -- -d --hold --clean",
    ]);
}

#[test]
fn words_that_are_not_utf8_are_refused() {
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
fn help_and_version_are_printed() {
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
    transcript.compare("cli", "");
}

#[test]
fn a_closed_pipe_is_fine_and_a_full_disk_is_an_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = qus().arg("-h").stdout(writer).output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = qus().arg("-h").stdout(full).output().unwrap();
    let mut transcript = Transcript::default();
    transcript.add("qus -h >/dev/full", &ended);
    transcript.compare("cli", "");
}

/// Exports into an empty directory, and compares what is printed and all files.
fn exported(part: &str, line: &str) {
    let dir =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{part}-{}", std::process::id()));
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
    transcript.compare("cli", part);
}

#[test]
fn systemd_files_leave_out_the_hosts_own_family() {
    exported("all", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -s -- -p -s --force -e .");
    exported("arm", "HOST_ARCH=armv7l QEMU_BIN_DIR=/opt/qemu qus -- -s -e . aarch64 x86_64");
}

#[test]
fn debian_files_leave_out_the_hosts_own_family() {
    exported("all", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -s -- -p -d --force -e .");
    exported("flags", "HOST_ARCH=s390x QEMU_BIN_DIR=/opt/qemu qus -- -c -d -e . --preserve-argv0 no arm");
}

#[test]
fn an_export_to_nowhere_fails_and_a_dry_run_writes_nothing() {
    exported("nowhere", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -- -s --force -e ./not/here arm");
    exported("dry", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -- -t -s --force -e ./not/here arm");
    exported("test", "HOST_ARCH=x86_64 QEMU_BIN_DIR=/opt/qemu qus -- -t -s --force -e . arm microblaze");
}

#[test]
fn files_that_run_qus_are_the_manifests_filled_in() {
    for (name, line) in [
        ("systemd-unit", "qus export systemd --engine podman --image localhost/qus:d11.1 aarch64 arm"),
        ("systemd-host", "qus export systemd --engine none --path /opt/q --program /opt/qus arm -e ."),
        ("openrc", "qus export openrc --path /opt/q aarch64 arm -e ."),
        ("kubernetes", "qus export kubernetes --image localhost/qus:d11.1 riscv64"),
        ("kubernetes-dir", "qus export kubernetes riscv64 s390x -e ."),
        ("compose", "qus export compose --image localhost/qus:d11.1 riscv64"),
        ("compose-all", "qus export compose"),
        ("compose-alone", "qus export compose hppa alpha"),
        ("dry", "qus export compose --except arm arm hppa -e . --dry-run"),
        ("quiet", "qus export openrc -e /nowhere --quiet"),
    ] {
        exported(name, line);
    }
}

#[test]
fn files_of_handlers_can_be_printed() {
    exported("binfmt.d", "qus export binfmt.d --host x86_64 --path /opt/q --force aarch64 microblaze");
    exported(
        "update-binfmts",
        "qus export update-binfmts --host x86_64 --path /opt/q --force --suffix -x --preserve-argv0 no arm s390x",
    );
    exported("json", "qus export update-binfmts --host x86_64 --path /opt/q --force arm --json");
}

#[test]
fn exported_scripts_are_executable() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("script-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (format, file, bits) in [("openrc", "qus", 0o100), ("systemd", "qus.service", 0)] {
        assert!(qus().args(["export", format, "-e"]).arg(&dir).output().unwrap().status.success());
        assert_eq!(dir.join(file).metadata().unwrap().mode() & 0o100, bits, "{file}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// What `qus LINE` prints.
fn said(line: &str) -> String {
    let output = qus().args(line.split(' ')).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "qus {line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_help_fits_a_screen_and_is_in_usage_md() {
    const VERBS: [&str; 10] =
        ["install", "hold", "remove", "list", "status", "check", "doctor", "verify", "run", "export"];
    let mut section = String::new();
    for line in
        ["--help", "-- --help"].map(str::to_owned).into_iter().chain(VERBS.map(|v| format!("{v} --help")))
    {
        let text = said(&line);
        let (rows, columns) = (text.lines().count(), text.lines().map(|l| l.chars().count()).max());
        assert!(rows <= 24 && columns <= Some(80), "qus {line} has {rows} lines of up to {columns:?}");
        write!(section, "\n```console\n$ docker run --rm qus {line}\n{text}```\n").unwrap();
    }
    for verb in VERBS {
        let text = said(&format!("help {verb}"));
        assert_eq!(text, said(&format!("{verb} -h")), "help {verb}");
        assert!(text.starts_with(&format!("Usage: qus {verb}")) && text.contains("\nExamples:\n"), "{verb}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/usage.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let begin = document
        .find("\n```console\n$ docker run --rm qus --help\n")
        .expect("the help texts in docs/usage.md");
    let end = document[begin..].find("\n## ").map_or(document.len(), |at| begin + at);
    let whole = format!("{}{section}{}", &document[..begin], &document[end..]);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, whole).unwrap();
    } else {
        assert!(whole == document, "BLESS=1 cargo test rewrites it:\n{}", transcript::diff(&path, &whole));
    }
}

#[test]
fn quiet_leaves_errors_and_json() {
    let mut transcript = Transcript::default();
    for line in [
        "verify --path /nowhere",
        "verify --path /nowhere --quiet",
        "verify --path /nowhere --quiet --json",
        "-s -- -t -Q /usr/share --quiet --force -d -e . arm",
        "export update-binfmts -e . --dry-run --quiet --host arm --path /opt/q sh4",
        "export update-binfmts -e . --dry-run --quiet --json --host arm --path /opt/q sh4",
    ] {
        transcript.add(&format!("qus {line}"), &qus().args(line.split(' ')).output().unwrap());
    }
    transcript.compare("cli", "");
}

#[test]
fn the_dialect_of_tonistiigi_binfmt_ends_with_the_status() {
    let status = || Command::Status { mount: None };
    let commands = |line: &str| asked(line).unwrap().commands;
    let install = |wanted: Targets| Command::Install(Install::new(wanted, HandlerOptions::default()));
    let remove = |wanted: Targets| Command::Remove(Remove::of(wanted));
    assert_eq!(commands("qus --install all"), [install(Targets::All), status()]);
    assert_eq!(commands("qus -install=linux/arm64,arm"), [install(these(&["aarch64", "arm"])), status()]);
    assert_eq!(
        commands("qus --uninstall qemu-* --install riscv64"),
        [remove(Targets::All), install(these(&["riscv64"])), status()]
    );
    assert_eq!(commands("qus --mount /mnt"), [Command::Status { mount: Some("/mnt".into()) }]);
    let asked_for = |line: &str| asked(line).map(|a| (a.json, a.brief)).unwrap();
    assert_eq!(asked_for("qus --install arm"), (false, true));
    assert_eq!(asked_for("qus --install arm --json"), (true, false));
    assert!(asked("qus --install nonsense").is_err() && asked("qus --uninstall jar").is_err());
}

#[test]
fn the_dialect_of_multiarch_qemu_user_static_takes_yes_and_no() {
    let persistent = |on| HandlerOptions { persistent: on, ..HandlerOptions::default() };
    let commands = |line: &str| asked(line).unwrap().commands;
    let install = |style| Command::Install(Install::new(Targets::All, style));
    let reset = |style| Command::Reset(Install::new(Targets::All, style));
    assert_eq!(commands("qus --reset -p yes"), [reset(persistent(true))]);
    assert_eq!(commands("qus --reset"), [reset(persistent(false))]);
    assert_eq!(
        commands("qus --persistent yes --credential yes --preserve-argv0 no --qemu-path /q --qemu-suffix -x"),
        [install(HandlerOptions {
            dir: Some("/q".into()),
            suffix: "-x".into(),
            credentials: true,
            preserve_argv0: Some(false),
            ..persistent(true)
        })]
    );
    let files = commands("qus --systemd aarch64 --exportdir /e -p yes");
    assert!(
        matches!(&files[..], [Command::Export(e)] if e.targets == these(&["aarch64"]) && e.to.as_deref() == Some(Path::new("/e")))
    );
    assert!(asked("qus --reset -p maybe").is_err());
}

//! `qus export FORMAT [OPTIONS] [TARGETS]`: files of handlers, or files that have qus run.
//!
//! Names of images and files become part of units and of YAML, so only those are taken that mean nothing else there.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use super::verbs::refused;
use super::{Env, Invocation, TargetNames, directory, misuse, say, text, value, yes_or_no};
use crate::error::{Error, Result};
use crate::request::{Command, Deploy, Engine, Export, Format, HOST_DIR, HandlerOptions, Runner, Targets};

/// What a format is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Handlers(Format),
    Runs(Runner),
}

const FORMATS: [(&str, Kind); 6] = [
    ("binfmt.d", Kind::Handlers(Format::BinfmtD)),
    ("update-binfmts", Kind::Handlers(Format::UpdateBinfmts)),
    ("systemd", Kind::Runs(Runner::Systemd(Engine::Docker))),
    ("openrc", Kind::Runs(Runner::OpenRc)),
    ("kubernetes", Kind::Runs(Runner::Kubernetes)),
    ("compose", Kind::Runs(Runner::Compose)),
];

/// What was given besides the format.
#[derive(Default)]
struct Given {
    options: Vec<String>,
    targets: TargetNames,
    except: TargetNames,
    style: HandlerOptions,
    host: Option<String>,
    engine: Option<Option<Engine>>,
    image: Option<String>,
    program: Option<String>,
    to: Option<PathBuf>,
    dry_run: bool,
}

pub(super) fn parse(args: &[OsString], env: Env<'_>, help: &'static str) -> Result<Invocation> {
    let mut asked = Invocation::default();
    let (mut kind, mut given) = (None, Given::default());
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| misuse(&e))? {
        if let Long(name) = &arg {
            given.options.push(format!("--{name}"));
        }
        let style = &mut given.style;
        match arg {
            Short('h') | Long("help") => return Ok(say(help)),
            Long("json") => asked.json = true,
            Long("quiet") => asked.quiet = true,
            Long("dry-run") => given.dry_run = true,
            Short('e') | Long("dir") => given.to = Some(value(&mut parser)?.into()),
            Long("except") => given.except.add(&value(&mut parser)?)?,
            Long("path") => style.dir = Some(plain_path("--path", value(&mut parser)?)?.into()),
            Long("suffix") => style.suffix = plain("--suffix", value(&mut parser)?)?,
            Long("persistent") => style.persistent = yes_or_no("--persistent", &value(&mut parser)?)?,
            Long("credentials") => style.credentials = yes_or_no("--credentials", &value(&mut parser)?)?,
            Long("preserve-argv0") => {
                style.preserve_argv0 = Some(yes_or_no("--preserve-argv0", &value(&mut parser)?)?);
            }
            Long("host") => given.host = Some(value(&mut parser)?),
            Long("engine") => given.engine = Some(engine(&value(&mut parser)?)?),
            Long("image") => given.image = Some(plain("--image", value(&mut parser)?)?),
            Long("program") => given.program = Some(plain_path("--program", value(&mut parser)?)?),
            Value(word) if kind.is_none() => kind = Some(format(&text(word)?)?),
            Value(word) => given.targets.add(&text(word)?)?,
            other => return Err(refused(misuse(&other.unexpected()), "export")),
        }
    }
    let kind = kind.ok_or_else(|| Error::usage("which format?").hint(formats()))?;
    if given.to.is_none() && (asked.quiet || given.dry_run) {
        return Err(Error::usage("without -e DIR, the files are printed, and nothing else is done")
            .hint("--quiet and --dry-run need -e DIR"));
    }
    asked.commands.push(command(kind, given, env)?);
    Ok(asked)
}

fn formats() -> String {
    format!("there are: {}", FORMATS.map(|(name, _)| name).join(" "))
}

fn format(word: &str) -> Result<Kind> {
    let found = FORMATS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
    found.ok_or_else(|| Error::usage(format!("unknown format: {word}")).hint(formats()))
}

/// `None` is the host itself.
fn engine(word: &str) -> Result<Option<Engine>> {
    match word {
        "docker" => Ok(Some(Engine::Docker)),
        "podman" => Ok(Some(Engine::Podman)),
        "none" => Ok(None),
        other => Err(Error::usage(format!("--engine is {other}, and can be docker, podman or none"))),
    }
}

/// A word of letters, digits and what stands in names of images and files.
fn plain(option: &str, word: String) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:@+~-".contains(c);
    match word.chars().all(is_plain) {
        true if option == "--suffix" || word.starts_with(|c: char| c == '/' || c.is_ascii_alphanumeric()) => {
            Ok(word)
        }
        _ => Err(Error::usage(format!("{option} is no name that can be exported: '{word}'"))
            .hint("it may have letters, digits and . _ / : @ + ~ -, and begins with a letter, a digit or /")),
    }
}

fn plain_path(option: &str, word: String) -> Result<String> {
    if !word.starts_with('/') {
        return Err(Error::usage(format!("{option} must be absolute: {word}"))
            .hint("the files are for a boot, or for another host"));
    }
    plain(option, word)
}

fn command(kind: Kind, given: Given, env: Env<'_>) -> Result<Command> {
    let kind = match (kind, given.engine) {
        (Kind::Runs(Runner::Systemd(_)), Some(Some(engine))) => Kind::Runs(Runner::Systemd(engine)),
        (Kind::Runs(Runner::Systemd(_)), Some(None)) => Kind::Runs(Runner::SystemdHost),
        (kind, _) => kind,
    };
    let own: &[&str] = match kind {
        Kind::Handlers(_) => {
            &["--path", "--suffix", "--persistent", "--credentials", "--preserve-argv0", "--host"]
        }
        Kind::Runs(Runner::Systemd(_)) => &["--engine", "--image"],
        Kind::Runs(Runner::SystemdHost) => &["--engine", "--path", "--program"],
        Kind::Runs(Runner::OpenRc) => &["--path", "--program"],
        Kind::Runs(Runner::Kubernetes | Runner::Compose) => &["--image"],
    };
    let of_all = ["--json", "--quiet", "--dry-run", "--dir", "--except"];
    let is_alien = |o: &&String| !own.contains(&o.as_str()) && !of_all.contains(&o.as_str());
    if let Some(alien) = given.options.iter().find(is_alien) {
        return Err(Error::usage(format!("{alien} has no meaning for this format"))
            .hint(format!("it takes {}", own.join(" "))));
    }
    let wanted = given.targets.without(&given.except);
    if wanted == Targets::These(Vec::new()) {
        return Err(Error::usage("no target is left"));
    }
    let by = match kind {
        Kind::Runs(by) => by,
        Kind::Handlers(format) => {
            let Given { mut style, host, to, dry_run, .. } = given;
            style.dir = style.dir.or(directory(env)).or(Some(HOST_DIR.into()));
            return Ok(Command::Export(Export {
                targets: wanted,
                options: style,
                format,
                to,
                host,
                dry_run,
            }));
        }
    };
    if by == Runner::Kubernetes && wanted == Targets::All {
        return Err(Error::usage("which targets?").hint(
            "the probes of the DaemonSet execute a program of each one: name those that the image carries",
        ));
    }
    let usual = Deploy::new(by);
    let dir = given.style.dir.map(|d| d.display().to_string());
    Ok(Command::Deploy(Deploy {
        targets: wanted,
        image: given.image.unwrap_or(usual.image),
        program: given.program.unwrap_or(usual.program),
        dir: dir.unwrap_or(usual.dir),
        to: given.to,
        dry_run: given.dry_run,
        ..Deploy::new(by)
    }))
}

//! Diagnoses this host. Each problem comes with the command that fixes it. Changes nothing.

use std::path::Path;

use nix::sys::utsname::uname;

use super::Done;
use crate::arch::{Arch, PREFIX, named};
use crate::binfmt::USUAL_DIR;
use crate::outcome::{Finding, Grade, Outcome, Report};
use crate::plan::covers;
use crate::probe::{self, Surveyed};
use crate::rule::{Entry, Flags, Match, Owner};
use crate::userns::Namespaces;

fn finding(about: &str, grade: Grade, seen: impl Into<String>, remedy: Option<&str>) -> Finding {
    Finding { about: about.to_owned(), grade, seen: seen.into(), remedy: remedy.map(str::to_owned) }
}

const MOUNT: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc";

pub(super) fn doctor(report: &mut Report) -> Done {
    let place = Namespaces::look()?;
    let mut findings = vec![kernel(), namespace(place)];
    findings.extend(privileges());
    // Before listing the handlers, which may mount it at the same place.
    let is_there = place.is_own_mounted(Path::new(USUAL_DIR)).unwrap_or(false);
    let seen =
        place.binfmt_for_reading(None).and_then(|binfmt| Ok((binfmt.entries()?, binfmt.is_enabled()?)));
    let entries = match seen {
        Ok((entries, enabled)) => {
            findings.push(mount(place, is_there, enabled));
            entries
        }
        Err(error) => {
            let remedy = error.hint.clone();
            let broken = finding("binfmt_misc", Grade::Broken, error.why.to_string(), None);
            findings.push(Finding { remedy, ..broken });
            Vec::new()
        }
    };
    findings.extend(flushing(place, &entries));
    let rows = probe::survey();
    findings.extend(entries.iter().map(|e| handler(e, &entries, &rows, place)));
    findings.extend(targets(&rows, &entries));
    report.unhealthy |= findings.iter().any(|f| f.grade == Grade::Broken);
    Ok(Outcome::Findings { findings })
}

fn kernel() -> Finding {
    let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
    match uname() {
        Ok(u) => finding(
            "kernel",
            Grade::Good,
            format!("Linux {} on {}", text(u.release()), text(u.machine())),
            None,
        ),
        Err(errno) => finding("kernel", Grade::Warning, errno.desc(), None),
    }
}

fn namespace(place: Namespaces) -> Finding {
    let seen = match place {
        Namespaces { in_user_namespace: true, .. } => {
            "in a user namespace (rootless): handlers are for this namespace only"
        }
        Namespaces { on_host: true, .. } => "on the host",
        Namespaces { host_in_sight: true, .. } => "in a container that sees the host's processes",
        _ => "in a container",
    };
    finding("place", Grade::Good, seen, None)
}

/// What may forbid this process to mount.
fn privileges() -> Vec<Finding> {
    /// `CAP_SYS_ADMIN` in include/uapi/linux/capability.h.
    const SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|h| u64::from_str_radix(h.trim(), 16).ok());
    let is_admin = effective.is_some_and(|caps| caps >> SYS_ADMIN & 1 == 1);
    let mut findings = vec![if is_admin {
        finding("privileges", Grade::Good, "CAP_SYS_ADMIN", None)
    } else {
        finding(
            "privileges",
            Grade::Warning,
            "no CAP_SYS_ADMIN: cannot mount or register anything from here",
            Some("run as root, or run the container with --cap-add SYS_ADMIN; `qus run` needs neither"),
        )
    }];
    let profile = std::fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    if let Some(name) = profile.trim_end_matches(['\n', '\0']).strip_suffix(" (enforce)") {
        findings.push(finding(
            "AppArmor",
            Grade::Warning,
            format!("the profile {name} is enforced, and may forbid mounting"),
            Some("run the container with --security-opt apparmor=unconfined"),
        ));
    }
    if std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|e| e.trim() == "1") {
        findings.push(finding(
            "SELinux",
            Grade::Warning,
            "it is enforcing, and may forbid a container to mount",
            Some("run the container with --security-opt label=disable"),
        ));
    }
    findings
}

fn mount(place: Namespaces, is_there: bool, enabled: bool) -> Finding {
    if !enabled {
        return finding(
            "binfmt_misc",
            Grade::Broken,
            "disabled: the kernel uses no handler",
            Some("echo 1 > /proc/sys/fs/binfmt_misc/status"),
        );
    }
    match (place.on_host, is_there) {
        (true, true) => {
            finding("binfmt_misc", Grade::Good, "mounted on the host, which keeps the handlers", None)
        }
        (true, false) => finding(
            "binfmt_misc",
            Grade::Warning,
            "not mounted on the host: handlers vanish when nothing else holds it",
            Some(MOUNT),
        ),
        (false, true) => finding("binfmt_misc", Grade::Good, "mounted here", None),
        (false, false) => finding("binfmt_misc", Grade::Good, "can be mounted here", None),
    }
}

/// systemd-binfmt writes -1 to `status` when it is stopped or restarted, and registers only what its own files say.
fn flushing(place: Namespaces, entries: &[Entry]) -> Option<Finding> {
    let has_ours = entries.iter().any(|e| e.name.starts_with(PREFIX));
    (place.on_host && has_ours && Path::new("/run/systemd/system").exists()).then(|| {
        finding(
            "systemd",
            Grade::Warning,
            "restarting systemd-binfmt removes all handlers that are not in /etc/binfmt.d",
            Some("qus -s -- -p -s -e /etc/binfmt.d writes files for it"),
        )
    })
}

/// The finding about a handler.
fn handler(e: &Entry, entries: &[Entry], rows: &[Surveyed], place: Namespaces) -> Finding {
    let is_third_party = !e.name.starts_with(PREFIX) && !e.is_qemu();
    let fixed = Flags::parse(&e.flags).fix_binary;
    let takes = |arch: &Arch| covers(&e.matches, &Match::from(&arch.pattern));
    let taken = || rows.iter().filter(|(arch, _, _)| takes(arch));
    let stray = taken().find(|(_, _, native)| native.is_yes());
    let rival = |other: &&Entry| {
        let (a, b) = (&other.matches, &e.matches);
        other.name != e.name && other.enabled && (covers(a, b) || covers(b, a))
    };
    let owner = match e.owner() {
        Owner::ThirdParty | Owner::Wsl => "third-party: ",
        Owner::Distribution => "the distribution's: ",
        Owner::Qus | Owner::Qemu => "",
    };
    let interpreter = &e.interpreter;
    let (grade, seen) = match stray {
        _ if !e.enabled && is_third_party => {
            // Disabled on purpose.
            (Grade::Good, format!("third-party, disabled: {interpreter}"))
        }
        _ if e.is_trial() => (Grade::Warning, "left by an interrupted run of qus".to_owned()),
        _ if !e.enabled => (Grade::Broken, "disabled".to_owned()),
        Some((arch, ..)) => {
            let name = arch.name;
            (
                Grade::Broken,
                format!("it takes {name} programs, which this kernel runs natively: {interpreter}"),
            )
        }
        // The host's files aren't visible from here.
        _ if is_third_party && !place.on_host => (Grade::Good, format!("{owner}{interpreter}")),
        _ if !fixed && !Path::new(interpreter).exists() => {
            // Harmless if its programs run anyway.
            let runs = taken().all(|(_, verdict, _)| verdict.ran()) && taken().next().is_some();
            let grade = if runs { Grade::Warning } else { Grade::Broken };
            (grade, format!("stale: no {interpreter} here, and no flag F"))
        }
        _ if !e.is_qemu() => (Grade::Good, format!("{owner}{interpreter}")),
        _ => match entries.iter().find(rival) {
            Some(other) => (
                Grade::Warning,
                format!(
                    "{} takes the same programs; the kernel uses the handler that was registered last",
                    other.name
                ),
            ),
            None if !fixed => (Grade::Warning, format!("no flag F: every container needs {interpreter}")),
            None => (Grade::Good, format!("{owner}{} {interpreter}", e.flags)),
        },
    };
    let remedy = (grade != Grade::Good).then(|| remedy(e, stray.is_some()));
    Finding { remedy, ..finding(&e.name, grade, seen, None) }
}

/// The command that fixes a handler; it removes one that isn't named `qemu-*`.
fn remedy(e: &Entry, is_stray: bool) -> String {
    match e.name.strip_prefix(PREFIX) {
        Some(_) if e.is_trial() => format!("qus remove {}", e.name),
        Some(target) if !is_stray && named(target).next().is_some() => format!("qus install {target}"),
        Some(target) if named(target).next().is_some() => format!("qus remove {target}"),
        Some(_) => format!("qus remove {}", e.name),
        None => format!("echo -1 > {USUAL_DIR}/{}", e.name),
    }
}

/// The architectures that run, and each that doesn't although a handler takes its programs.
fn targets(rows: &[Surveyed], entries: &[Entry]) -> Vec<Finding> {
    let names = |is_native: bool| {
        let ran = rows.iter().filter(|(_, verdict, native)| verdict.ran() && native.is_yes() == is_native);
        let names: Vec<_> = ran.map(|(arch, ..)| arch.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    let mut findings = vec![
        finding("native", Grade::Good, names(true), None),
        finding("emulated", Grade::Good, names(false), None),
    ];
    if let Some((arch, verdict, _)) = rows.iter().find(|(_, verdict, _)| verdict.is_unclear()) {
        let error = probe::failure(arch, verdict);
        let seen = format!("cannot tell what runs: {}", error.why);
        findings.push(finding("programs", Grade::Broken, seen, error.hint.as_deref()));
        return findings;
    }
    for (arch, verdict, _) in rows.iter().filter(|(_, verdict, _)| !verdict.ran()) {
        let takers: Vec<_> = entries.iter().filter(|e| e.matches(arch.pattern.magic())).collect();
        if let Some(taker) = takers.first() {
            let force = if takers.iter().any(|e| !e.is_qemu()) { "--force " } else { "" };
            let remedy = format!("qus install {force}{}", arch.target);
            let why = probe::failure(arch, verdict).why;
            let seen = format!("its programs do not run, although {} takes them: {why}", taker.name);
            findings.push(finding(arch.name, Grade::Broken, seen, Some(&remedy)));
        }
    }
    findings
}

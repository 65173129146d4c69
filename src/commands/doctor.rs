//! What is right and wrong on this host, and for everything wrong the command that mends it. It changes nothing.

use std::path::Path;

use nix::sys::utsname::uname;

use super::Done;
use super::list::ground;
use super::status::is_native;
use crate::anchor::{BinfmtMount, Namespaces};
use crate::arch::{ARCHES, PREFIX};
use crate::outcome::{Finding, Grade, Outcome, Report};
use crate::plan::is_qemu;
use crate::probe::{self, Verdict};
use crate::rule::{Entry, Flags};

fn finding(about: &str, grade: Grade, seen: impl Into<String>, remedy: Option<&str>) -> Finding {
    Finding { about: about.to_owned(), grade, seen: seen.into(), remedy: remedy.map(str::to_owned) }
}

const MOUNT: &str = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc";

pub(super) fn doctor(report: &mut Report) -> Done {
    let place = Namespaces::look()?;
    let mut findings = vec![kernel(), namespace(place)];
    findings.extend(privileges());
    // Invocation before we look: for that, one may be mounted at the same place.
    let is_there = matches!(BinfmtMount::is_in_sight(None), Ok(true));
    let entries =
        match ground(place, None).and_then(|g| Ok((g.binfmt().entries()?, g.binfmt().is_enabled()?))) {
            Ok((entries, enabled)) => {
                findings.push(mount(place, is_there, enabled));
                entries
            }
            Err(error) => {
                let remedy = error.hint.clone();
                findings.push(Finding {
                    remedy,
                    ..finding("binfmt_misc", Grade::Broken, error.why.to_string(), None)
                });
                Vec::new()
            }
        };
    findings.extend(flushing(place, &entries));
    let verdicts: Vec<_> = ARCHES.iter().zip(probe::run(ARCHES)).collect();
    findings.extend(entries.iter().map(|e| handler(e, &entries, place)));
    findings.extend(targets(&verdicts, &entries));
    let broken = findings.iter().filter(|f| f.grade == Grade::Broken).count();
    if broken > 0 {
        report.unhealthy = true;
    }
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
        Namespaces { host_in_reach: true, .. } => "in a container that sees the host's processes",
        _ => "in a container",
    };
    finding("place", Grade::Good, seen, None)
}

/// What may keep this process from mounting.
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
            "no CAP_SYS_ADMIN: nothing can be mounted or registered from here",
            Some("run as root, or the container with --cap-add SYS_ADMIN; `qus run` needs neither"),
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
            "switched off: the kernel uses no handler",
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
            "not mounted on the host: handlers live only as long as something else holds them",
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

/// What is to be said of one handler.
fn handler(e: &Entry, entries: &[Entry], place: Namespaces) -> Finding {
    let is_others = !e.name.starts_with(PREFIX) && !is_qemu(e);
    let fixed = Flags::parse(&e.flags).fix_binary;
    let again = e.name.strip_prefix(PREFIX).map(|target| format!("qus install {target}"));
    let later = |other: &&Entry| {
        other.name != e.name && other.enabled && crate::plan::overlap(&other.matches, &e.matches)
    };
    let (grade, seen) = if is_others && (!e.enabled || !place.on_host) {
        // Who disabled it had a reason, and what it names on the host can't be seen from here.
        let state = if e.enabled { "" } else { ", disabled" };
        (Grade::Good, format!("another maker's{state}: {}", e.interpreter))
    } else if !e.enabled {
        (Grade::Broken, "disabled".to_owned())
    } else if !fixed && !Path::new(&e.interpreter).exists() {
        (Grade::Broken, format!("stale: there is no {} here, and it has no flag F", e.interpreter))
    } else if !is_qemu(e) {
        (Grade::Good, format!("another maker's: {}", e.interpreter))
    } else if let Some(other) = entries.iter().find(later) {
        (
            Grade::Warning,
            format!("{} takes the same programs; the kernel uses what was registered last", other.name),
        )
    } else if !fixed {
        (Grade::Warning, format!("without flag F: containers need {} themselves", e.interpreter))
    } else {
        (Grade::Good, format!("{} {}", e.flags, e.interpreter))
    };
    let remedy = again.filter(|_| grade != Grade::Good);
    Finding { remedy, ..finding(&e.name, grade, seen, None) }
}

/// One line for what runs, one for each that should and doesn't.
fn targets(verdicts: &[(&'static crate::arch::Arch, Verdict)], entries: &[Entry]) -> Vec<Finding> {
    let names = |native: bool| {
        let ran = verdicts.iter().filter(|(arch, v)| v.ran() && is_native(arch, v, entries) == native);
        let names: Vec<_> = ran.map(|(arch, _)| arch.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    let mut findings = vec![
        finding("native", Grade::Good, names(true), None),
        finding("emulated", Grade::Good, names(false), None),
    ];
    for (arch, verdict) in verdicts.iter().filter(|(_, v)| !v.ran()) {
        if entries.iter().any(|e| e.takes(arch.pattern.magic())) {
            let why = probe::failure(arch, verdict).why.to_string();
            let remedy = format!("qus install {}", arch.target);
            let seen = format!("its programs don't run, though it has a handler: {why}");
            findings.push(finding(arch.name, Grade::Broken, seen, Some(&remedy)));
        }
    }
    findings
}

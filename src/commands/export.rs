//! Files with handlers, for the host's own tools to register at boot.

use std::path::Path;

use super::Done;
use super::files::deliver;
use super::rules::{file_name, renamed, requirements, rule};
use crate::arch::{ARCHES, Arch, host_family, named};
use crate::elf::Class::{Elf32, Elf64};
use crate::error::{Error, Step};
use crate::host;
use crate::outcome::{Report, Separator};
use crate::probe::{self};
use crate::request::{Export, Format, HOST_DIR};
use crate::rule::{Match, Rule, escaped};
use crate::userns::Namespaces;

const OR_FORCE: &str = "with --path, `qus export binfmt.d` takes the emulators of another directory; with --force, it writes the files anyway";

pub(super) fn export(request: &Export, report: &mut Report) -> Done {
    let options = &request.options;
    let host = Host::of(request.host.as_deref());
    let is_named = request.targets.are_named();
    let mut rows = request.targets.rows().collect();
    let own = take(&mut rows, &|a| if is_named { host.is_itself(a) } else { host.is_family(a) });
    if is_named && !own.is_empty() {
        let why = "the host is of that architecture, and no program would start there with such a handler";
        return Err(Error::new(Step::Write, format!("a file for {own}"), why).hint(
            "leave it out, or name the host that the files are for: `qus export binfmt.d --host ARCH`",
        ));
    }
    let mut note = |text: &str, names: String| {
        if !names.is_empty() {
            report.note(format!("{text}: {names}"));
        }
    };
    note("left out, because they are of the host's own family", own);
    // Only the emulators of this host are visible.
    let dir = options.dir();
    let is_images = options.dir.is_none() && dir != Path::new(HOST_DIR) && !Namespaces::look()?.on_host;
    let store = match options.open_dir() {
        _ if !host.is_this || is_images => None,
        Err(error) if !request.force => {
            let hint = error.hint.clone().unwrap_or_else(|| OR_FORCE.to_owned());
            return Err(error.hint(hint));
        }
        opened => opened.ok(),
    };
    let find = |arch: &Arch| store.as_ref().and_then(|s| s.find(arch));
    if host.is_this && !request.force {
        // With a file for a missing emulator, the host's tool would fail at each boot.
        let missing = take(&mut rows, &|arch| find(arch).is_none());
        let found_none = rows.is_empty() && !missing.is_empty();
        if found_none || is_named && !missing.is_empty() {
            let what = if is_named { &missing } else { "any target" };
            let of =
                if is_images { "this directory is in the image, not on the host:" } else { "no emulator in" };
            let why = format!("{of} {}", dir.display());
            return Err(Error::new(Step::Write, format!("a file for {what}"), why).hint(OR_FORCE));
        }
        note(&format!("left out, because there is no emulator in {}", dir.display()), missing);
    }
    if is_named && host.is_this {
        let native = take(&mut rows.clone(), &|a| probe::is_native(a));
        note("this kernel runs these natively; with a handler, QEMU runs them", native);
    }
    if let Some(store) = store.as_ref().filter(|_| !request.force) {
        // What `install` refuses, the host's tool would register.
        for arch in std::mem::take(&mut rows) {
            let file = find(arch).unwrap_or_default();
            match store.check(&file, None, requirements(options.persistent)) {
                Ok(_) => rows.push(arch),
                Err(error) if is_named => return Err(error),
                Err(error) if report.errors.contains(&error) => {}
                Err(error) => report.errors.push(error),
            }
        }
    }
    if rows.is_empty() {
        return Err(Error::new(Step::Write, "any file", "no target is left"));
    }
    let (mut files, mut found) = (Vec::new(), Vec::new());
    for arch in rows {
        let file = find(arch).unwrap_or_else(|| file_name(arch, options));
        let rule = rule(arch, options, Some(&file));
        found.push((arch, file));
        let name = match request.format {
            Format::BinfmtD => format!("{}.conf", rule.name),
            Format::UpdateBinfmts => rule.name.clone(),
        };
        let line = rule.line().map_err(|u| Error::new(Step::Write, name.as_str(), u.to_string()))?;
        files.push(match request.format {
            // A line of binfmt.d(5) is a line of the kernel's.
            Format::BinfmtD => (name, format!("{line}\n")),
            Format::UpdateBinfmts => (name, template(&rule)),
        });
    }
    report.notes.extend(renamed(&mut found.iter().map(|(arch, file)| (*arch, file.as_str())), options));
    let separator = if request.format == Format::BinfmtD { Separator::Not } else { Separator::ByName };
    Ok(deliver(files, separator, request.to.as_deref(), request.dry_run, report))
}

/// Takes rows out; their names.
fn take(rows: &mut Vec<&Arch>, is_taken: &dyn Fn(&Arch) -> bool) -> String {
    let mut names = Vec::new();
    rows.retain(|arch| {
        let taken = is_taken(arch);
        names.extend(taken.then_some(arch.name));
        !taken
    });
    names.join(" ")
}

/// The host that the files are for, which may be another machine. Its name alone tells what runs natively, as in QEMU's script.
struct Host<'a> {
    family: &'a str,
    /// `None` if the name only says a family.
    arch: Option<&'static Arch>,
    /// Does its name say no byte order? `UTS_MACHINE` of these kernels is the same for both.
    is_either: bool,
    /// Is it of the architecture of this host? Then the emulators here are taken for its own.
    is_this: bool,
}

impl<'a> Host<'a> {
    fn of(name: Option<&'a str>) -> Self {
        let this = host::arch();
        let Some(name) = name else {
            return Self { family: this.family, arch: Some(this), is_either: false, is_this: true };
        };
        let family = host_family(name);
        // uname has names that no target has (armv5tejl).
        let arch = named(name).next().or_else(|| ARCHES.iter().find(|a| a.name == family));
        let is_either = matches!(name, "microblaze" | "mips" | "mips64" | "xtensa");
        Self { family, arch, is_either, is_this: arch.is_some_and(|a| a.name == this.name) }
    }

    /// Is it of that architecture, or are its programs? They may be 32-bit ones on a 64-bit kernel, as qus itself shows.
    fn is_itself(&self, arch: &Arch) -> bool {
        let own = host::build_arch();
        let is_ours = self.is_this && own.family == self.family && arch.target == own.target;
        let is_of = |host: &Arch| {
            let bare = || arch.target.strip_suffix("el").or_else(|| arch.target.strip_suffix("eb"));
            arch.target == host.target || self.is_either && bare() == Some(host.target)
        };
        is_ours || self.arch.map_or(arch.family == self.family, is_of)
    }

    /// Is it of that family, so that it may run such programs natively? A 32-bit host runs no 64-bit ones.
    fn is_family(&self, arch: &Arch) -> bool {
        let is_wider = self.arch.is_some_and(|host| host.machine.0 == Elf32) && arch.machine.0 == Elf64;
        arch.family == self.family && !is_wider || self.is_itself(arch)
    }
}

/// A template for `update-binfmts --import`.
fn template(rule: &Rule) -> String {
    let yes = |on: bool| if on { "yes" } else { "no" };
    let Match::Magic { magic, mask, .. } = &rule.matches else { return String::new() };
    format!(
        "package {}\ninterpreter {}\nmagic {}\nmask {}\ncredentials {}\npreserve {}\nfix_binary {}\n",
        rule.name,
        rule.interpreter,
        escaped(magic),
        escaped(mask),
        yes(rule.flags.credentials),
        yes(rule.flags.preserve_argv0),
        yes(rule.flags.fix_binary)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_programs_may_be_of_another_row() {
        // 32-bit programs on a 64-bit kernel, or the other way round: they need not be of the kernel's row.
        let own = host::build_arch();
        let Some(kernel) = ARCHES.iter().find(|a| a.family == own.family && a.target != own.target) else {
            return; // a family of one
        };
        let host = |is_this| Host { family: kernel.family, arch: Some(kernel), is_either: false, is_this };
        assert!(host(true).is_itself(own) && host(true).is_itself(kernel));
        assert!(!host(false).is_itself(own) && host(false).is_itself(kernel));
    }
}

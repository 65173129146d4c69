//! What the kernel says about this host. Under emulation, it isn't what qus was built for, and `uname` is wrong.
//!
//! What the kernel runs is found out by [`crate::probe`].

use std::io::ErrorKind;
use std::sync::LazyLock;

use nix::unistd::getpid;

use crate::arch::{ARCHES, Arch, host_family, named};
use crate::error::{Error, Result, Step};

/// The architecture that qus was built for.
pub(crate) fn build_arch() -> &'static Arch {
    static OWN: LazyLock<&Arch> = LazyLock::new(|| {
        let name = match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "aarch64" if cfg!(target_endian = "big") => "aarch64_be",
            "arm" if cfg!(target_endian = "big") => "armeb",
            name => name,
        };
        // The table has all Rust targets; the fallback avoids a panic.
        named(name).next().unwrap_or(&ARCHES[0])
    });
    *OWN
}

/// The architecture of this kernel, by its own word (Linux 6.1 and later); `None` if unknown.
pub(crate) fn kernel_arch() -> Option<&'static Arch> {
    static KERNEL: LazyLock<Option<&Arch>> = LazyLock::new(|| row_of(kernel_name()?, build_arch()));
    *KERNEL
}

/// The architecture of this host.
pub(crate) fn arch() -> &'static Arch {
    kernel_arch().unwrap_or_else(build_arch)
}

/// Does the kernel say that it is of another family? Then it can't run these programs natively.
pub(crate) fn is_of_other_family(arch: &Arch) -> bool {
    static FAMILY: LazyLock<Option<&str>> = LazyLock::new(|| {
        let kernels = host_family(kernel_name()?);
        ARCHES.iter().map(|a| a.family).find(|family| *family == kernels)
    });
    FAMILY.is_some_and(|family| arch.family != family)
}

/// The kernel's `UTS_MACHINE`, which is right under emulation as well.
fn kernel_name() -> Option<&'static str> {
    static NAME: LazyLock<Option<String>> =
        LazyLock::new(|| std::fs::read_to_string("/proc/sys/kernel/arch").ok());
    NAME.as_deref().map(str::trim)
}

/// The architecture of a kernel of that name. For mips, the name lacks the byte order, which is that of qus (`own`).
fn row_of(name: &str, own: &'static Arch) -> Option<&'static Arch> {
    let row = named(name).next()?;
    let (class, _, machine) = row.machine;
    match name {
        "mips" | "mips64" => {
            ARCHES.iter().find(|a| a.family == own.family && a.machine == (class, own.machine.1, machine))
        }
        _ => Some(row),
    }
}

/// Checks that /proc belongs to the PID namespace of this process. Otherwise, `/proc/self` leads nowhere, or to another process.
pub(crate) fn check_proc() -> Result<()> {
    let failed = |why: String| Err(Error::new(Step::Read, "/proc", why));
    match std::fs::read_link("/proc/self") {
        Ok(pid) if pid.as_os_str() == &*getpid().to_string() => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound && std::fs::symlink_metadata("/proc/self").is_err() => {
            failed("it is not mounted".to_owned()).map_err(|error| error.hint("run `mount -t proc proc /proc`"))
        }
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::new(Step::Read, "/proc/self", e)),
        _ => failed("it belongs to another PID namespace".to_owned()).map_err(|error| {
            error.hint("use `unshare --pid --fork --mount-proc …`, or enter both namespaces: `nsenter --mount --pid …`")
        }),
    }
}

/// The label that a security module gives this process.
fn own_label() -> Option<String> {
    let label = std::fs::read_to_string("/proc/self/attr/current").ok()?;
    Some(label.trim_end_matches(['\n', '\0']).to_owned())
}

/// How a security module confines this process.
pub(crate) struct Confinement {
    /// The module.
    pub(crate) by: &'static str,
    /// Its profile or domain.
    pub(crate) label: String,
    /// The option of engines that lifts it.
    pub(crate) option: &'static str,
}

impl Confinement {
    /// By AppArmor or SELinux, if any.
    pub(crate) fn look() -> Option<Self> {
        let label = own_label()?;
        let confined = |by, label: &str, option| Some(Self { by, label: label.to_owned(), option });
        match (label.strip_suffix(" (enforce)"), label.split(':').nth(2)) {
            (Some(profile), _) => confined("AppArmor", profile, "--security-opt apparmor=unconfined"),
            (None, Some(domain)) => confined("SELinux", domain, "--security-opt label=disable"),
            _ => None,
        }
    }
}

/// The setting that would allow user namespaces to ordinary users, if a sysctl forbids them.
pub(crate) fn user_namespaces_forbidden_by() -> Option<&'static str> {
    let is = |file: &str, value: &str| std::fs::read_to_string(file).is_ok_and(|set| set.trim() == value);
    [
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ]
    .into_iter()
    .find_map(|(file, value, allowed)| is(file, value).then_some(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Executable;

    #[test]
    fn the_build_architecture_is_that_of_the_own_header() {
        let exe = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(Executable::read(&exe, exe.len() as u64).unwrap().machine, build_arch().machine_bytes());
    }

    #[test]
    fn a_mips_kernel_has_the_byte_order_of_its_programs() {
        let row = |name: &str, own: &str| row_of(name, named(own).next().unwrap()).map(|a| a.name);
        assert_eq!(row("mips64", "mips64el"), Some("mips64el"));
        assert_eq!(row("mips64", "mipsel"), Some("mips64el"));
        assert_eq!(row("mips", "mipsel"), Some("mipsel"));
        assert_eq!(row("mips64", "mips"), Some("mips64"));
        assert_eq!(row("mips64", "x86_64"), None);
        assert_eq!(row("x86_64", "aarch64"), Some("x86_64"));
        assert_eq!(row("vax", "aarch64"), None);
    }

    #[test]
    fn proc_belongs_to_this_process() {
        check_proc().unwrap();
    }
}

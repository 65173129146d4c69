//! Private mount namespaces, and mounts in them: binfmt_misc, tmpfs, overlay. The host is not affected.

use std::ffi::OsString;
use std::fs::{File, Permissions, set_permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chroot, mkdir, symlinkat};

use crate::binfmt::USUAL_DIR;
use crate::error::{Cause, Error, Result, Step};
use crate::selinux;
use crate::sys::{self, mount, own_path};

/// Mount points, in the order of preference: that of the image, then one that every kernel with binfmt_misc has.
const MOUNT_POINTS: [&str; 2] = ["/qus/anchor", USUAL_DIR];

/// `OVERLAYFS_SUPER_MAGIC` in include/uapi/linux/magic.h.
const OVERLAYFS: FsType = FsType(0x794c_7630);

/// `BINFMTFS_MAGIC` there.
const BINFMT_MISC: FsType = FsType(0x4249_4e4d);

/// Enters a new mount namespace, whose mounts end with this process.
pub(crate) fn enter_private_namespace() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| Error::new(Step::Unshare, "the mount namespace", e))?;
    sys::make_mounts_private().map_err(|errno| {
        let error = Error::new(Step::Mount, "/ with MS_PRIVATE", errno);
        match errno {
            Errno::EINVAL => error.hint(
                "the root directory is not a mount point (a plain chroot): first run `mount --bind DIR DIR` outside",
            ),
            _ => error,
        }
    })
}

/// A directory for temporary mounts.
///
/// # Errors
/// [`Step::Mount`] if there is none: the second one comes with the module, unless /proc shows processes only. [`Step::Open`].
pub(crate) fn mount_point() -> Result<&'static str> {
    let mut refused = None;
    for path in MOUNT_POINTS {
        match open_directory(Path::new(path)) {
            Ok(_) => return Ok(path),
            Err(Errno::ENOENT | Errno::ENOTDIR) => (),
            Err(e) => refused = refused.or(Some(Error::new(Step::Open, path, e))),
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    let [made, usual] = MOUNT_POINTS;
    let why = format!("there is no directory to mount it on, neither {made} nor {usual}");
    let load =
        if Path::new("/proc/sys/fs").is_dir() { "run `modprobe binfmt_misc` on the host; or " } else { "" };
    let hint = format!("{load}make one: `mkdir -p {made}`; or name one: `qus --install TARGETS --mount DIR`");
    Err(Error::new(Step::Mount, "binfmt_misc", why).hint(hint))
}

/// A mount point without mounts. Those of an earlier command, or copies from another namespace, would keep handlers while this process
/// runs, or make mounting the same file system fail.
///
/// # Errors
/// [`Step::Mount`] if `at` isn't a directory.
pub(crate) fn cleared_mount_point(at: Option<&Path>) -> Result<&Path> {
    let at = at.map_or_else(|| mount_point().map(Path::new), Ok)?;
    look_below("binfmt_misc", at)?;
    while umount2(at, MntFlags::MNT_DETACH).is_ok() {}
    Ok(at)
}

/// What is mounted to register in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instance {
    /// The binfmt_misc of this user namespace.
    Own,
    /// What looks like an empty one, for a dry run: a first mount would hide the outer handlers.
    StandIn,
}

/// Mounts it.
pub(crate) fn mount_instance(at: &Path, instance: Instance) -> Result<()> {
    if instance == Instance::Own {
        return mount_binfmt(at);
    }
    // Does this kernel let a user namespace have one? Tried in another, if there may be one.
    let is_refused = || match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
        Ok(()) => mount("binfmt_misc", at, Some("binfmt_misc"), MsFlags::empty(), None),
        Err(_) => Ok(()),
    };
    sys::in_child(is_refused).map_err(|e| no_binfmt(at, e))?;
    mount_tmpfs(at)?;
    for (file, text) in [("register", ""), ("status", "enabled\n")] {
        let path = at.join(file);
        std::fs::write(&path, text).map_err(|e| Error::at(Step::Write, &path, e))?;
    }
    // The kernel's belongs to root, who may not be a user of this namespace.
    let register = at.join("register");
    let given = chown(&register, Some(0), None)
        .and_then(|()| set_permissions(&register, Permissions::from_mode(0o200)));
    given.map_err(|_| Error::at(Step::Lock, &register, Errno::EACCES))
}

/// Mounts the binfmt_misc of this user namespace.
pub(crate) fn mount_binfmt(at: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mount = || mount("binfmt_misc", at, Some("binfmt_misc"), flags, None);
    seen("binfmt_misc", at, BINFMT_MISC, &|| mount().map_err(|e| no_binfmt(at, e))).map(drop)
}

fn no_binfmt(at: &Path, errno: Errno) -> Error {
    let error = unmountable("binfmt_misc", at, errno.into());
    let modules_disabled =
        || std::fs::read_to_string("/proc/sys/kernel/modules_disabled").is_ok_and(|set| set.trim() == "1");
    match errno {
        Errno::ENODEV if modules_disabled() => error.hint(
            "kernel.modules_disabled=1 forbids loading its module: run `echo binfmt_misc >/etc/modules-load.d/qus.conf` on the host, and reboot it",
        ),
        Errno::ENODEV => error.hint(
            "this kernel has no binfmt_misc: run `modprobe binfmt_misc` on the host, or enable CONFIG_BINFMT_MISC",
        ),
        _ => error,
    }
}

/// Is this the root of a binfmt_misc? Another directory may have a file `register`, too.
///
/// # Errors
/// Those of `fstatfs`.
pub(crate) fn is_binfmt(root: &File) -> nix::Result<bool> {
    Ok(fstatfs(root)?.filesystem_type() == BINFMT_MISC)
}

/// The error for something that can't be mounted there.
fn unmountable(what: &str, at: &Path, why: Cause) -> Error {
    Error::new(Step::Mount, format!("{what} on {}", at.display()), why)
}

/// Opens a directory, without asking an automount for its file system, as `O_DIRECTORY` or statx(2) would: that comes to the host's
/// mount namespace, and in a private one the kernel says ELOOP.
fn open_directory(path: &Path) -> nix::Result<OwnedFd> {
    let opened = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&opened)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFDIR { Ok(opened) } else { Err(Errno::ENOTDIR) }
}

/// Opens a directory to mount on, which isn't the root directory; also returns its path without symlinks.
fn look_below(what: &str, at: &Path) -> Result<(OwnedFd, PathBuf)> {
    let below = open_directory(at).map_err(|e| unmountable(what, at, e.into()))?;
    let real = std::fs::read_link(own_path(&below)).unwrap_or_default();
    if real == Path::new("/") {
        let error = unmountable(what, at, "it is the root directory".into());
        return Err(error.hint("it takes a directory of its own below that"));
    }
    Ok((below, real))
}

/// Mounts something on a directory, and opens that by the same path. What is mounted on the root directory, or on a link of /proc to a
/// directory, is seen by no later lookup: each would go on in the directory below, which is somebody else's.
fn seen(what: &str, at: &Path, kind: FsType, mount: &dyn Fn() -> Result<()>) -> Result<OwnedFd> {
    let (below, real) = look_below(what, at)?;
    mount()?;
    let look = || {
        let (top, _) = look_below(what, at)?;
        let is_new =
            || Ok(fstat(&top)?.st_dev != fstat(&below)?.st_dev && fstatfs(&top)?.filesystem_type() == kind);
        match is_new() {
            Ok(true) => Ok(top),
            Ok(false) => Err(unmountable(what, at, "that path leads past what is mounted on it".into())
                .hint(format!("name the directory by its own path, {}", real.display()))),
            Err(errno) => Err(unmountable(what, at, Cause::Errno(errno))),
        }
    };
    look().inspect_err(|_| {
        // By that path, it is the uppermost mount.
        let _ = umount2(&real, MntFlags::MNT_DETACH);
    })
}

/// Mounts selinuxfs, if SELinux is enabled and allows it.
pub(crate) fn mount_selinux() {
    if selinux::is_enabled() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let _ = mount("qus", Path::new(selinux::DIR), Some("selinuxfs"), flags, None);
    }
}

/// Mounts a file system. With SELinux, its files have a label that all containers may execute, if the policy has one.
fn mount_for_all(at: &Path, kind: &str, flags: MsFlags, options: &str) -> nix::Result<()> {
    let mount = |options: &str| mount("qus", at, Some(kind), flags, Some(options));
    let is_labelled = |context: &&str| mount(&format!("{options},context={context}")).is_ok();
    if selinux::contexts().iter().any(is_labelled) { Ok(()) } else { mount(options) }
}

/// Mounts an empty tmpfs, and opens it.
pub(crate) fn mount_tmpfs(at: &Path) -> Result<OwnedFd> {
    let mount = || mount_for_all(at, "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=755");
    seen("tmpfs", at, TMPFS_MAGIC, &|| mount().map_err(|e: Errno| unmountable("tmpfs", at, e.into())))
}

/// Mounts a directory of emulators at `at`, so that what is mounted on its root stays there whatever becomes of the directory; how
/// many mounts that took, none where it can't be had.
///
/// A deleted directory loses its mounts, and an engine with plain directories (`vfs`) deletes the container's. So an overlay is put in
/// between, whose root nobody can delete. If the directory is on an overlay, as with most engines, the deletion happens below that,
/// and does no harm. With `own`, and with SELinux, there is always an overlay of this process.
pub(crate) fn mount_lasting(dir: &Path, at: &Path, own: bool) -> Result<usize> {
    let failed = |e: Errno| Error::new(Step::Mount, format!("{} on {}", dir.display(), at.display()), e);
    let is_overlay = || statfs(dir).is_ok_and(|s| s.filesystem_type() == OVERLAYFS);
    if !own && is_overlay() && !selinux::is_enabled() {
        mount(dir, at, None, MsFlags::MS_BIND, None).map_err(failed)?;
        return Ok(1);
    }
    Ok(mount_overlay(dir, at).map_or(0, |()| 2))
}

/// Mounts a read-only overlay of the directory. An overlay requires two layers: the other one is an empty tmpfs below it.
fn mount_overlay(dir: &Path, at: &Path) -> nix::Result<()> {
    // By descriptor: commas, colons and backslashes in a path would have a meaning in the options.
    let lower = open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    if at.display().to_string().contains([',', ':', '\\']) {
        return Err(Errno::EINVAL);
    }
    // Keep noexec and nosuid.
    let inherited = statvfs(dir)?.flags();
    let mut flags = MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    flags.set(MsFlags::MS_NOEXEC, inherited.contains(FsFlags::ST_NOEXEC));
    flags.set(MsFlags::MS_NOSUID, inherited.contains(FsFlags::ST_NOSUID));
    mount("qus", at, Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755,size=4k"))?;
    let layers = format!("lowerdir={}:{}", at.display(), own_path(&lower).display());
    mount_for_all(at, "overlay", flags, &layers).inspect_err(|_| {
        // Harmless if this fails.
        let _ = umount2(at, MntFlags::MNT_DETACH);
    })
}

/// Copies an emulator with its permissions.
///
/// # Errors
/// [`Step::Copy`]; EACCES if its file system is mounted noexec.
pub(crate) fn copy(file: &Path, to: &Path) -> Result<()> {
    let failed = |why: Cause| Error::new(Step::Copy, format!("{} into memory", file.display()), why);
    let no_exec = statvfs(file).is_ok_and(|s| s.flags().contains(FsFlags::ST_NOEXEC));
    if no_exec {
        return Err(failed(Errno::EACCES.into()).hint("its file system is mounted noexec"));
    }
    let copied = || {
        let mut from = File::open(file)?;
        let mut to = File::options().write(true).create_new(true).open(to)?;
        // Whatever the umask is.
        to.set_permissions(from.metadata()?.permissions())?;
        // The standard library's copy would add 10 KB.
        let mut buffer = [0; 1 << 14];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                n => to.write_all(&buffer[..n])?,
            }
        }
    };
    copied().map_err(|e: std::io::Error| failed(e.into()))
}

/// Does `work` in a child, with a root directory where `path` leads to this open file, and nothing else is: a tmpfs on `at`.
///
/// # Errors
/// EPERM without CAP_SYS_CHROOT; those of mount and of `work`.
pub(crate) fn where_path_leads_to(
    path: &Path,
    file: &File,
    at: &Path,
    work: &dyn Fn() -> nix::Result<()>,
) -> nix::Result<()> {
    let is_slash = |(at, byte): (usize, &u8)| (*byte == b'/' && at > 0).then_some(at);
    let dirs = path.as_os_str().as_bytes().iter().enumerate().filter_map(is_slash);
    let prepare = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        sys::make_mounts_private()?;
        mount("qus", at, Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=755"))?;
        // The link leads through it.
        let proc = at.join("proc");
        mkdir(&proc, Mode::S_IRWXU)?;
        mount("/proc", &proc, None, MsFlags::MS_BIND, None)?;
        chroot(at)?;
        for end in dirs {
            mkdir(&path.as_os_str().as_bytes()[..end], Mode::S_IRWXU)?;
        }
        symlinkat(&own_path(file), AT_FDCWD, path)
    };
    sys::in_child(|| prepare().and_then(|()| work()))
}

/// Is a mount of this namespace in that other table, too? Its number is that of no other mount on this host (proc_pid_mountinfo(5)).
pub(crate) fn are_shared_with(table: &str) -> bool {
    let first = |table: &str| {
        // Not all of it: the kernel would make some kilobytes.
        let mut text = [0; 16];
        let len = File::open(table).ok()?.read(&mut text).ok()?;
        let number = text[..len].split(|byte| *byte == b' ').next();
        number.filter(|number| !number.is_empty()).map(<[u8]>::to_owned)
    };
    let ours = first("/proc/self/mountinfo");
    ours.is_some() && ours == first(table)
}

/// Has this file been opened through a mount of this mount namespace?
///
/// # Errors
/// Those of reading that from /proc.
pub(crate) fn is_mounted_here(file: &File) -> std::io::Result<bool> {
    let number = sys::mount_of(file)?;
    let table = std::fs::read("/proc/self/mountinfo")?;
    let is_it = |line: &[u8]| line.split(|byte| *byte == b' ').next() == Some(number.as_bytes());
    // The root directory's is not in the table if that is no mount point (chroot).
    Ok(sys::mount_of(&File::open("/")?)? == number || table.split(|byte| *byte == b'\n').any(is_it))
}

/// Where file systems of this type, or of any, are mounted in this namespace (proc_pid_mountinfo(5)).
///
/// # Errors
/// Those of reading the table.
pub(crate) fn mounted(kind: Option<&str>) -> std::io::Result<Vec<PathBuf>> {
    points(&|_, of_kind| kind.is_none_or(|kind| kind.as_bytes() == of_kind))
}

/// Where the file system with this device number is mounted in this namespace.
pub(crate) fn mounts_of(device: u64) -> Vec<PathBuf> {
    let device = format!("{}:{}", major(device), minor(device));
    points(&|of_device, _| of_device == device.as_bytes()).unwrap_or_default()
}

/// The mount points of the mounts whose device and type are accepted.
fn points(is_wanted: &dyn Fn(&[u8], &[u8]) -> bool) -> std::io::Result<Vec<PathBuf>> {
    // Some kilobytes: the kernel makes all of it again for each piece that is asked for.
    let mut table = Vec::with_capacity(1 << 14);
    File::open("/proc/self/mountinfo")?.read_to_end(&mut table)?;
    let lines = table.split(|byte| *byte == b'\n');
    let wanted = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (device, point) = (fields.nth(2)?, fields.nth(1)?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        is_wanted(device, kind).then(|| unescaped(point))
    });
    Ok(wanted.collect())
}

/// A path as mountinfo shows it: blanks, tabs, newlines and backslashes are three octal digits after a backslash.
fn unescaped(shown: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(shown.len());
    let mut rest = shown;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(byte.unwrap_or(*first));
        rest = &after[if byte.is_some() { 3 } else { 0 }..];
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn escapes_in_mount_points_are_decoded() {
        for (shown, path) in [
            ("/a\\040b", "/a b"),
            ("/a\\134040", "/a\\040"),
            ("/a\\12", "/a\\12"),
            ("/\\", "/\\"),
            ("/a\\011\\012", "/a\t\n"),
        ] {
            assert_eq!(unescaped(shown.as_bytes()), Path::new(path), "{shown}");
        }
    }

    #[test]
    fn the_mount_table_has_proc() {
        assert!(mounted(Some("proc")).unwrap().contains(&PathBuf::from("/proc")));
        let device = |path: &str| std::fs::metadata(path).unwrap().dev();
        let of_proc = mounts_of(device("/proc"));
        assert!(of_proc.contains(&PathBuf::from("/proc")) && !of_proc.contains(&PathBuf::from("/")));
    }
}

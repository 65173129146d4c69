//! A mount of binfmt_misc to work on, that keeps the handlers alive after we are gone.
//!
//! All handlers live in one superblock per user namespace, and since 5.10.225, 6.1.107 and 6.7 they die with its last mount
//! (docs/kernel.md). A container that mounts binfmt_misc, registers and exits leaves nothing behind, unless something keeps
//! a mount. What we do about it, without touching the host:
//!
//! 1. in a private mount namespace, put the directory of the QEMU binaries on a mount M, and binfmt_misc on M's root;
//! 2. clone that tree (`open_tree`) into one that belongs to no namespace, and open the binaries *through the clone* when
//!    they are registered with `F`;
//! 3. exit. The handler's file pins the clone of M; a tree that is unmounted when its descriptor is closed stays connected
//!    (Linux 5.2 to 7.2), so the clone keeps the binfmt_misc on it, and that keeps the superblock. Removing the handlers
//!    ends the circle.
//!
//! Whether it worked is then seen by behaviour: [`BinfmtMount::settle`] drops every mount of ours, mounts again and looks. It
//! refuses to believe version numbers.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, statfs};

use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::error::{Cause, Error, Result, Step};
use crate::rule::Rule;
use crate::sys;

/// Directories that can serve as mount points: the image's own, then one that every kernel with binfmt_misc has.
const MOUNT_POINTS: [&str; 2] = ["/qus/anchor", USUAL_DIR];

/// `PROC_PID_INIT_INO` in include/linux/proc_ns.h: the inode of the initial PID namespace.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// `OVERLAYFS_SUPER_MAGIC` in include/uapi/linux/magic.h.
const OVERLAYFS: FsType = FsType(0x794c_7630);

/// What keeps the handlers alive when we are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The mount of binfmt_misc in the host's own mount namespace.
    Host,
    /// The clone of the binaries' mount that the handlers themselves hold.
    Anchor,
    /// The same, but the kernel has no overlay, and whoever deletes the binaries' directory ends it.
    AnchorOnDirectory,
    /// The same, with copies in memory of the binaries that were mounted into the directory one by one.
    AnchorOnCopy,
    /// Something that we don't see, but they are still there without any mount of ours.
    Other,
    /// As long as this process runs, its mount.
    Ourselves,
}

/// What is known of the place where this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Is our mount namespace the host's? Mounts made in it stay when we exit.
    pub on_host: bool,
    /// It isn't, but we see the host's first process and with it that namespace (`--pid=host`).
    pub host_in_reach: bool,
    /// Are we in a user namespace that isn't the initial one (rootless)?
    pub in_user_namespace: bool,
}

impl Namespaces {
    /// Looks at /proc.
    ///
    /// # Errors
    /// [`Step::Inspect`], where /proc is not mounted.
    pub fn look() -> Result<Self> {
        let inode = |path: &str| std::fs::metadata(path).map(|m| m.ino());
        let failed = |path: &'static str| move |e| Error::new(Step::Inspect, path, e).hint("mount /proc");
        let pids = inode("/proc/self/ns/pid").map_err(failed("/proc/self/ns/pid"))?;
        let mounts = inode("/proc/self/ns/mnt").map_err(failed("/proc/self/ns/mnt"))?;
        // Without privileges we may not ask about process 1; then nothing is going to be mounted either.
        let of_init = inode("/proc/1/ns/mnt").ok();
        let uid_map = std::fs::read_to_string("/proc/self/uid_map").map_err(failed("/proc/self/uid_map"))?;
        let in_user_namespace = !uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
        let sees_init = pids == INITIAL_PID_NAMESPACE && of_init.is_some();
        let on_host = sees_init && of_init == Some(mounts);
        Ok(Self { on_host, host_in_reach: sees_init && !on_host && !in_user_namespace, in_user_namespace })
    }
}

/// A binfmt_misc directory to work on, and what is needed to make it last.
#[derive(Debug)]
pub struct BinfmtMount {
    binfmt: Binfmt,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It is in the host's own mount namespace, where we have mounted it or not.
    Host {
        /// RanBy us, just now.
        mounted: bool,
    },
    /// It was there already when we came, and no private one is needed: nothing will be registered.
    Found,
    /// It is in a mount namespace of ours, that ends with us.
    Private {
        /// What handlers pin, if they can.
        tree: Option<DetachedTree>,
        /// Cause there is none, where there should be one.
        refused: Option<Errno>,
        /// Has the host a mount of its own? We have seen to that.
        host_has_one: bool,
    },
}

/// The tree that handlers pin: the binaries' mount with binfmt_misc on it.
#[derive(Debug)]
struct DetachedTree {
    clone: OwnedFd,
    names: PathBuf,
    /// The root of what it is a clone of: the mount that binfmt_misc is mounted on.
    original: File,
    /// What keeps the handlers then, if all goes well.
    keeper: Keeper,
}

impl BinfmtMount {
    /// A binfmt_misc to look at and to remove handlers from. Mounts one where none is to be seen, on `at` or on a directory
    /// that is meant for it.
    ///
    /// # Errors
    /// [`Step::Mount`] and [`Step::List`].
    pub fn to_look_at(place: Namespaces, at: Option<&Path>) -> Result<Self> {
        if Self::is_in_sight(at)? {
            return Ok(Self { binfmt: Binfmt::at(at.unwrap_or(Path::new(USUAL_DIR))), kind: Kind::Found });
        }
        Self::of_our_own(at).map_err(|e| rootless(e, place))
    }

    /// Is there one in sight, without mounting?
    ///
    /// # Errors
    /// [`Step::List`], where something stands in the way.
    pub fn is_in_sight(at: Option<&Path>) -> Result<bool> {
        Binfmt::at(at.unwrap_or(Path::new(USUAL_DIR))).is_mounted()
    }

    /// A mount in a mount namespace of our own, that ends with this process and with what it executes.
    ///
    /// # Errors
    /// [`Step::Mount`], where the kernel refuses.
    pub fn of_our_own(at: Option<&Path>) -> Result<Self> {
        enter_private_namespace()?;
        let at = cleared_mount_point(at)?;
        mount_binfmt(at)?;
        Ok(Self {
            binfmt: Binfmt::at(at),
            kind: Kind::Private { tree: None, refused: None, host_has_one: false },
        })
    }

    /// A binfmt_misc to register handlers in. With `binaries`, the directory whose files are going to be registered with flag
    /// `F`, they can be made to outlive us.
    ///
    /// # Errors
    /// [`Step::Mount`], where the kernel refuses; [`Step::List`], where something stands in the way.
    pub fn to_register_in(place: Namespaces, binaries: Option<&Path>, at: Option<&Path>) -> Result<Self> {
        if place.on_host {
            return Self::on_host(at.unwrap_or(Path::new(USUAL_DIR)));
        }
        // Where that is refused, there are other ways to keep the handlers.
        let host_has_one = place.host_in_reach && sys::in_child(mount_on_host).is_ok();
        Self::private(binaries, host_has_one, at).map_err(|e| rootless(e, place))
    }

    fn private(binaries: Option<&Path>, host_has_one: bool, at: Option<&Path>) -> Result<Self> {
        enter_private_namespace()?;
        let at = cleared_mount_point(at)?;
        let root = binaries.map(|dir| mount_binaries(dir, at)).transpose()?;
        mount_binfmt(at)?;
        // Where the kernel has no open_tree, handlers may survive all the same: whether they do is seen at the end.
        let cloned = root.zip(binaries).map(|((original, keeper), dir)| {
            let clone = sys::clone_tree(&original)?;
            // Relative to the directory itself, where we may be, nothing that is mounted there is seen.
            let names = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
            Ok(DetachedTree { clone, names, original, keeper })
        });
        let (tree, refused) =
            cloned.transpose().map_or_else(|errno| (None, Some(errno)), |tree| (tree, None));
        if let Some(tree) = &tree {
            // Handlers shall be called by the binaries' usual path, but be opened through the clone: in this namespace, links
            // stand in that directory's place.
            mount_tmpfs(&tree.names)?;
        }
        Ok(Self { binfmt: Binfmt::at(at), kind: Kind::Private { tree, refused, host_has_one } })
    }

    fn on_host(at: &Path) -> Result<Self> {
        let binfmt = Binfmt::at(at);
        let mounted = !binfmt.is_mounted()?;
        if mounted {
            mount_binfmt(at)?;
        }
        Ok(Self { binfmt, kind: Kind::Host { mounted } })
    }

    /// Takes a mount on the host back, where nothing was registered after all. Private ones end with us anyway.
    pub fn abandon(self) {
        if let Kind::Host { mounted: true } = self.kind {
            // Where that fails, an empty binfmt_misc stays mounted where it belongs.
            let _ = umount2(self.binfmt.dir(), MntFlags::empty());
        }
    }

    /// The directory to work on.
    #[must_use]
    pub const fn binfmt(&self) -> &Binfmt {
        &self.binfmt
    }

    /// Is it in the host's own mount namespace? Then what names a path means the host's.
    #[must_use]
    pub const fn is_on_host(&self) -> bool {
        matches!(self.kind, Kind::Host { .. })
    }

    /// Cause handlers can't be made to outlive us here, if the kernel has refused that.
    #[must_use]
    pub const fn unanchored(&self) -> Option<Errno> {
        match self.kind {
            Kind::Private { refused, .. } => refused,
            _ => None,
        }
    }

    /// Where the binaries are to be opened: `dir` itself, or the clone of it.
    #[must_use]
    pub fn opened(&self, dir: &Path) -> PathBuf {
        match &self.kind {
            Kind::Private { tree: Some(tree), .. } => own_path(&tree.clone),
            _ => dir.to_owned(),
        }
    }

    /// Registers a handler whose interpreter is the file `name` in the directory of the binaries.
    ///
    /// # Errors
    /// Those of [`Binfmt::register`].
    pub fn register(&self, rule: &Rule, name: &str) -> Result<()> {
        if let Kind::Private { tree: Some(tree), .. } = &self.kind {
            let target = own_path(&tree.clone).join(name);
            match symlink(target, tree.names.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::new(Step::Register, rule.name.as_str(), e));
                }
                _ => {}
            }
        }
        self.binfmt.register(rule)
    }

    /// Gives up every mount and descriptor that only we hold, mounts again and tells what keeps the handlers `names` alive;
    /// `None` where they are gone. No file of binfmt_misc may be open here (a lock, for example). `is_new`: some of them were
    /// registered through the clone just now.
    ///
    /// # Errors
    /// [`Step::Keep`], where the kernel refuses one of these steps.
    pub fn settle(&mut self, names: &[String], is_new: bool) -> Result<Option<Keeper>> {
        let Kind::Private { tree, host_has_one, .. } = &mut self.kind else {
            return Ok(Some(Keeper::Host));
        };
        let failed = |what: &'static str| move |e: Errno| Error::new(Step::Keep, what, e);
        let at = self.binfmt.dir();
        let tree = tree.take();
        let anchor = tree.as_ref().map(|t| t.keeper).filter(|_| is_new);
        // With the mount below it goes the binfmt_misc on it: each umount costs a grace period of RCU.
        let lowest = tree.as_ref().map_or_else(|| at.to_owned(), |t| own_path(&t.original));
        umount2(&lowest, MntFlags::MNT_DETACH).map_err(failed("the handlers without our mount"))?;
        drop(tree);
        mount_binfmt(at)?;
        // All of them go, or none; one that is missing was removed by somebody else.
        let left = self.binfmt.names()?;
        let are_there = names.is_empty() || left.iter().any(|name| names.iter().any(|n| name == n.as_str()));
        let keeper = if *host_has_one { Keeper::Host } else { anchor.unwrap_or(Keeper::Other) };
        Ok(are_there.then_some(keeper))
    }

    /// Removes handlers that were registered here, wherever a failure of [`BinfmtMount::settle`] has left us.
    ///
    /// # Errors
    /// [`Step::Mount`], [`Step::Remove`].
    pub fn take_back(&self, name: &str) -> Result<()> {
        if !self.binfmt.is_mounted()? {
            mount_binfmt(self.binfmt.dir())?;
        }
        self.binfmt.remove(name).map(drop)
    }
}

/// The path by which we, and only we, reach what a descriptor of ours stands for.
fn own_path(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Leaves the mount namespace that we share with others: what is mounted from now on ends with us.
fn enter_private_namespace() -> Result<()> {
    let failed = |e| Error::new(Step::Mount, "in a mount namespace of our own", e);
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(|errno| match errno {
        Errno::EINVAL => failed(errno).hint(
            "the root directory here is no mount point (a plain chroot): bind-mount it onto itself first",
        ),
        _ => failed(errno),
    })
}

/// Sees to it that binfmt_misc is mounted on the host, from a process that may end with that mount namespace.
fn mount_on_host() -> std::result::Result<(), Errno> {
    let host = open("/proc/1/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    setns(host, CloneFlags::CLONE_NEWNS)?;
    match Binfmt::at(USUAL_DIR).is_mounted() {
        Ok(true) => Ok(()),
        _ => mount_binfmt(USUAL_DIR)
            .map_err(|e| if let Cause::Errno(errno) = e.why { errno } else { Errno::EIO }),
    }
}

/// The kernel's answer to a mount is EPERM in every user namespace before Linux 6.7: another hint helps there.
fn rootless(error: Error, place: Namespaces) -> Error {
    match (&error.why, error.step) {
        (Cause::Errno(Errno::EPERM), Step::Mount) if place.in_user_namespace => error.hint(
            "this is a user namespace (rootless): it takes Linux 6.7 and its root; else register on the host",
        ),
        _ => error,
    }
}

/// A mount point with nothing on it: what an earlier command of this run has mounted there, or what we have inherited a copy of,
/// would be taken for somebody else's mount later, or refuse the same file system above it.
fn cleared_mount_point(at: Option<&Path>) -> Result<&Path> {
    let at = at.map_or_else(|| mount_point().map(Path::new), Ok)?;
    // Whatever is mounted there first would be blamed.
    let metadata = std::fs::metadata(at).map_err(Cause::from);
    let is_dir = metadata.and_then(|m| m.is_dir().then_some(()).ok_or(Errno::ENOTDIR.into()));
    is_dir.map_err(|why| Error::new(Step::Mount, format!("on {}", at.display()), why))?;
    while umount2(at, MntFlags::MNT_DETACH).is_ok() {}
    Ok(at)
}

/// A directory that something may be mounted on for a moment.
///
/// # Errors
/// [`Step::Mount`], where there is none: this kernel has no binfmt_misc.
pub fn mount_point() -> Result<&'static str> {
    let is_dir = |p: &&str| Path::new(p).is_dir();
    MOUNT_POINTS.into_iter().find(is_dir).ok_or_else(|| {
        // The kernel makes this directory together with the module.
        Error::new(Step::Mount, format!("on {USUAL_DIR}"), Errno::ENODEV)
    })
}

fn mount_binfmt(at: impl AsRef<Path>) -> Result<()> {
    let at = at.as_ref();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("binfmt_misc"), at, Some("binfmt_misc"), flags, None::<&str>)
        .map_err(|e| Error::new(Step::Mount, format!("on {}", at.display()), e))
}

fn mount_tmpfs(at: &Path) -> Result<()> {
    mount(Some("qus"), at, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755,size=1m"))
        .map_err(|e| Error::new(Step::Keep, format!("the handlers by a tmpfs on {}", at.display()), e))
}

/// Mounts the directory of the binaries on `at`; the root of that mount, and how well it can keep handlers.
///
/// A directory that somebody deletes loses what is mounted on it, and an engine with plain directories (`vfs`) deletes the
/// container's. So there an overlay goes in between, whose root nobody can delete. An overlay's own directories (the
/// container's root in most engines) are deleted below it, which doesn't touch them.
///
/// A file that was mounted into the directory by itself (`-v FILE:/qus/bin/FILE`) is on a mount that nothing can be mounted in,
/// and doesn't pin the one below it. So it is copied into that overlay: its size in memory, for as long as its handler.
fn mount_binaries(dir: &Path, at: &Path) -> Result<(File, Keeper)> {
    let failed =
        |e: Errno| Error::new(Step::Keep, format!("the handlers by a mount of {}", dir.display()), e);
    let bind = |flags| mount(Some(dir), at, None::<&str>, MsFlags::MS_BIND | flags, None::<&str>);
    let alone = files_mounted_in(dir);
    let is_overlay = statfs(dir).map_err(failed)?.filesystem_type() == OVERLAYFS;
    let keeper = if !alone.is_empty() && mount_overlay(dir, at, &alone).is_ok() {
        Keeper::AnchorOnCopy
    } else if !alone.is_empty() {
        // They come along only so, and whether their handlers last depends on the host.
        bind(MsFlags::MS_REC).map_err(failed)?;
        Keeper::Other
    } else if !is_overlay && mount_overlay(dir, at, &[]).is_ok() {
        Keeper::Anchor
    } else {
        bind(MsFlags::empty()).map_err(failed)?;
        if is_overlay { Keeper::Anchor } else { Keeper::AnchorOnDirectory }
    };
    let root = open(at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    root.map(|root| (File::from(root), keeper)).map_err(failed)
}

/// The files that are mounted in this directory one by one.
fn files_mounted_in(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    // The fifth field is the mount point (proc_pid_mountinfo(5)).
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.parent() == Some(&dir) && point.is_file()).collect()
}

/// A read-only overlay of the directory, with copies of these files above it. It needs two layers: the other one is a tmpfs,
/// mounted where the overlay goes then.
fn mount_overlay(dir: &Path, at: &Path, files: &[PathBuf]) -> std::io::Result<()> {
    // Named by its descriptor: commas, colons and backslashes in a path would mean something in the options.
    let lower = open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    if at.display().to_string().contains([',', ':', '\\']) {
        return Err(Errno::EINVAL.into());
    }
    // In KiB, with a page for the directory and one for the end of each file.
    let mut size = 4;
    for file in files {
        size += file.metadata()?.len() / 1024 + 4;
    }
    let size = format!("mode=755,size={size}k");
    mount(Some("qus"), at, Some("tmpfs"), MsFlags::MS_NODEV, Some(size.as_str()))?;
    let layers = format!("lowerdir={}:{}", at.display(), own_path(&lower).display());
    let copied = files.iter().try_for_each(|file| {
        let name = file.file_name().unwrap_or_default();
        copy(&mut File::open(file)?, &at.join(name))
    });
    let mounted = copied.and_then(|()| {
        let flags = MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
        Ok(mount(Some("qus"), at, Some("overlay"), flags, Some(layers.as_str()))?)
    });
    if mounted.is_err() {
        // What the caller sees is why the overlay was refused; the tmpfs below does no harm if it stays.
        let _ = umount2(at, MntFlags::MNT_DETACH);
    }
    mounted
}

/// Copies an emulator. (The standard library's copy knows more ways than we need, in ten kilobytes.)
fn copy(from: &mut File, to: &Path) -> std::io::Result<()> {
    let mut to = File::options().write(true).create_new(true).mode(0o755).open(to)?;
    let mut buffer = [0; 1 << 14];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n])?,
        }
    }
}

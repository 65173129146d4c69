//! A mount of binfmt_misc to register handlers in, and the detached trees that keep it when this process has exited.
//!
//! All handlers of a user namespace live in one superblock, and since 5.10.225, 6.1.107 and 6.7 they die with its last mount
//! (docs/kernel.md). A container that mounts binfmt_misc, registers and exits leaves nothing behind, unless something keeps a
//! mount. What qus does about it, without touching the host:
//!
//! 1. in a private mount namespace, put the directory of the emulators on a mount M, and binfmt_misc on M's root;
//! 2. clone that tree (`open_tree`) into one that belongs to no namespace, and open the emulators *through the clone* when they
//!    are registered with `F`;
//! 3. close the clone, and exit. The handlers' files hold the clone of M; a tree that is unmounted when its descriptor is closed
//!    stays connected (Linux 5.2 to 7.2), so the clone of M keeps the binfmt_misc on it, and that keeps the superblock. Removing
//!    the handlers ends the circle.
//!
//! Whether it worked is seen on each tree itself, whoever else holds what: on its binfmt_misc there is a *sentinel*, an empty
//! tmpfs that nobody else can hold. While that is alive, so is the mount under it. `inotify` tells when it is gone.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::read;

use crate::binfmt::{Binfmt, USUAL_DIR};
use crate::error::{Cause, Error, Result, Step};
use crate::mounts::{self, own_path};
use crate::sys;
use crate::userns::Namespaces;

/// How long a binfmt_misc that nothing of qus holds is watched: longer than another tool that registers holds its own mount.
const WATCHED_FOR: Duration = Duration::from_secs(1);

/// What keeps a handler alive when this process has exited, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// The mount of binfmt_misc in the host's own mount namespace.
    Host,
    /// The detached tree that the handler itself holds.
    Anchor,
    /// Something that qus can't see, a mount or the kernel itself: for [`WATCHED_FOR`], binfmt_misc was there with no mount of qus'.
    Unseen,
    /// As long as this process runs, its mount.
    Process,
}

/// A binfmt_misc directory to register in, and what is needed to make handlers last.
#[derive(Debug)]
pub(crate) struct BinfmtMount {
    binfmt: Binfmt,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It is in the host's own mount namespace, where this run has mounted it or not.
    Host { mounted: bool },
    /// It is in a mount namespace that ends with this process.
    Private {
        /// Has the host a mount of its own? This run has seen to that.
        host_has_one: bool,
        /// In a user namespace.
        is_rootless: bool,
        trees: Vec<DetachedTree>,
        /// Directories that a tmpfs is mounted over, so that links can stand in the places of emulators.
        linked: Vec<PathBuf>,
        /// Where anything was mounted before.
        mounted: Vec<PathBuf>,
    },
}

impl BinfmtMount {
    /// A binfmt_misc to register handlers in: on the host its own, elsewhere one in a private mount namespace. With `look_only`,
    /// nothing is mounted on the host.
    pub(crate) fn for_registering(place: Namespaces, at: Option<&Path>, look_only: bool) -> Result<Self> {
        let dir = at.unwrap_or(Path::new(USUAL_DIR));
        if place.on_host {
            let is_there = place.is_own_mounted(dir)?;
            if is_there || !look_only {
                if !is_there {
                    mounts::mount_binfmt(dir)?;
                }
                return Ok(Self { binfmt: Binfmt::at(dir), kind: Kind::Host { mounted: !is_there } });
            }
        }
        // Where that is refused, there are other ways to keep the handlers.
        let reach = if look_only { enter_host } else { mount_on_host };
        let host_has_one = place.on_host || place.host_in_sight && sys::in_child(reach).is_ok();
        let mounted = mounts::mounted(None);
        let binfmt = place.binfmt_of_our_own(at)?;
        let (trees, linked) = (Vec::new(), Vec::new());
        let is_rootless = place.in_user_namespace;
        Ok(Self { binfmt, kind: Kind::Private { host_has_one, is_rootless, trees, linked, mounted } })
    }

    /// The directory to work on.
    pub(crate) const fn binfmt(&self) -> &Binfmt {
        &self.binfmt
    }

    /// Is it in the host's own mount namespace? Then what names a path means the host's.
    pub(crate) const fn is_on_host(&self) -> bool {
        matches!(self.kind, Kind::Host { .. })
    }

    /// Does the host hold it, as far as that can be seen from here?
    pub(crate) const fn is_held_by_host(&self) -> bool {
        matches!(self.kind, Kind::Host { .. } | Kind::Private { host_has_one: true, .. })
    }

    /// Where to open the emulator `name` that is really at `file`, so that its handler holds a detached tree, and which one. A
    /// directory is cloned when the first of its emulators is asked for. An emulator that can't be reached there, as it is a mount
    /// by itself (`-v FILE:/qus/bin/FILE`), is copied into memory, which it takes for as long as its handler is there.
    pub(crate) fn anchored(&mut self, name: &str, file: &Path) -> Result<(PathBuf, Option<usize>)> {
        let Kind::Private { is_rootless, trees, mounted, .. } = &mut self.kind else {
            return Ok((file.to_owned(), None));
        };
        let mut tree_of = |dir: Option<&Path>| -> Result<Option<usize>> {
            let found = trees.iter().position(|t| t.dir.as_deref() == dir);
            if found.is_some() {
                return Ok(found);
            }
            let tree = DetachedTree::of(dir, self.binfmt.dir(), *is_rootless, true)?;
            Ok(tree.map(|tree| {
                trees.push(tree);
                trees.len() - 1
            }))
        };
        if let (Some(dir), Some(base)) = (file.parent(), file.file_name())
            && !mounted.iter().any(|point| point.as_os_str() == file.as_os_str())
            && let Some(at) = tree_of(Some(dir))?
        {
            return Ok((trees[at].path().join(base), Some(at)));
        }
        // To open anything but a file could hold us up; that it is none is said when it is checked.
        let Some(at) = file.is_file().then(|| tree_of(None)).transpose()?.flatten() else {
            return Ok((file.to_owned(), None));
        };
        let copy = trees[at].path().join(name);
        if !copy.exists() {
            mounts::copy(file, &copy)?;
        }
        Ok((copy, Some(at)))
    }

    /// Has the path `interpreter` lead to this open file, for this process only: handlers are called by the emulators' usual
    /// paths, but hold the file that was checked. On the host, the path is the file's own.
    pub(crate) fn link(&mut self, interpreter: &Path, file: &File) -> Result<()> {
        let Kind::Private { linked, .. } = &mut self.kind else { return Ok(()) };
        let Some(dir) = interpreter.parent() else { return Ok(()) };
        if !linked.iter().any(|d| d == dir) {
            mounts::mount_tmpfs(dir)?;
            linked.push(dir.to_owned());
        }
        let link = || symlink(own_path(file), interpreter);
        let linked = match link() {
            // Another file's.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                std::fs::remove_file(interpreter).and_then(|()| link())
            }
            linked => linked,
        };
        linked.map_err(|e| Error::new(Step::Link, interpreter.display().to_string(), e))
    }

    /// Lets go of the trees; which of them are still there, held by the handlers alone? No file that was opened through one may be
    /// open any more.
    pub(crate) fn release_trees(&mut self) -> Vec<bool> {
        match &mut self.kind {
            Kind::Private { trees, .. } => trees.drain(..).map(DetachedTree::outlives_us).collect(),
            Kind::Host { .. } => Vec::new(),
        }
    }

    /// Does this kernel keep a tree that only an open file on it holds? Tried with one that nothing else depends on.
    pub(crate) fn kernel_keeps_trees(&self) -> Result<bool> {
        let Some(tree) = DetachedTree::of(None, self.binfmt.dir(), false, false)? else { return Ok(false) };
        let held = File::create(tree.path().join("held"))
            .map_err(|e| Error::new(Step::Open, "a new file on tmpfs", e))?;
        let is_kept = tree.outlives_us();
        drop(held);
        let at = self.binfmt.dir();
        umount2(at, MntFlags::MNT_DETACH)
            .map_err(|e| Error::new(Step::Unmount, at.display().to_string(), e))?;
        Ok(is_kept)
    }

    /// Gives up every mount of this process that holds binfmt_misc; does something else hold it? No file of it may be open.
    pub(crate) fn is_there_without_us(&self) -> Result<bool> {
        let at = self.binfmt.dir();
        let watch = Watch::on(at, AddWatchFlags::IN_DELETE_SELF)?;
        umount2(at, MntFlags::MNT_DETACH)
            .map_err(|e| Error::new(Step::Unmount, at.display().to_string(), e))?;
        // Our namespace has copies of what was mounted where this process was started, which may have been its last.
        let kind = Some("binfmt_misc");
        while mounts::mounted(kind).iter().filter(|copy| umount2(*copy, MntFlags::MNT_DETACH).is_ok()).count()
            > 0
        {}
        if !mounts::mounted(kind).is_empty() {
            return Ok(false);
        }
        let start = Instant::now();
        while start.elapsed() < WATCHED_FOR {
            if watch.is_told() {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(true)
    }

    /// Tells of handlers that are removed from now on.
    pub(crate) fn watch_removals(&self) -> Result<Watch> {
        Watch::on(self.binfmt.dir(), AddWatchFlags::IN_DELETE)
    }

    /// Unmounts what this run has mounted on the host, if nobody has registered anything in it. Private mounts end with the process.
    pub(crate) fn unmount_if_empty(&self) {
        if matches!(self.kind, Kind::Host { mounted: true }) {
            // Where that fails, binfmt_misc stays mounted where it belongs.
            let _ = self.unmount();
        }
    }

    fn unmount(&self) -> std::result::Result<(), Errno> {
        let dir = self.binfmt.dir();
        // What is registered up to the umount is seen through the clone, which keeps it.
        let clone = sys::clone_tree(open(dir, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)?;
        let inside = Binfmt::at(own_path(&clone));
        let is_empty = || inside.names().is_ok_and(|names| names.is_empty());
        if is_empty() {
            umount2(dir, MntFlags::empty())?;
            if !is_empty() {
                mounts::mount_binfmt(dir).map_err(|_| Errno::EBUSY)?;
            }
        }
        Ok(())
    }
}

/// A clone of a mount with binfmt_misc on it, in no mount namespace.
#[derive(Debug)]
struct DetachedTree {
    /// What it is a mount of; `None`: memory.
    dir: Option<PathBuf>,
    clone: OwnedFd,
    sentinel: Watch,
}

impl DetachedTree {
    /// Clones a mount of this directory; `None` where the directory can't be mounted so that its deletion does no harm. What it
    /// is a clone of stays mounted at `at`. With `own`, it is a file system of this user namespace's; with `binfmt`, it has one.
    fn of(dir: Option<&Path>, at: &Path, own: bool, binfmt: bool) -> Result<Option<Self>> {
        let mut mounts = match dir {
            Some(dir) => mounts::mount_lasting(dir, at, own)?,
            None => mounts::mount_tmpfs(at).map(|()| 1)?,
        };
        if mounts == 0 {
            return Ok(None);
        }
        let failed = |e| Error::new(Step::Open, at.display().to_string(), e);
        let root =
            open(at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
        let mut build = || {
            if binfmt {
                mounts::mount_binfmt(at)?;
                mounts += 1;
            }
            mounts::mount_tmpfs(at)?;
            mounts += 1;
            let sentinel = Watch::on(at, AddWatchFlags::IN_DELETE_SELF)?;
            let clone = sys::clone_tree(&root)
                .map_err(|e| Error::new(Step::Clone, format!("the mount on {}", at.display()), e))?;
            // Now only the clone has it.
            umount2(at, MntFlags::empty())
                .map_err(|e| Error::new(Step::Unmount, at.display().to_string(), e))?;
            Ok(Some(Self { dir: dir.map(Path::to_owned), clone, sentinel }))
        };
        build().inspect_err(|_| {
            // What was there before is seen again; where that fails, the next step says so.
            for _ in 0..mounts {
                let _ = umount2(at, MntFlags::MNT_DETACH);
            }
        })
    }

    /// The path through it, for this process only. Nothing that is mounted on its root is seen there.
    fn path(&self) -> PathBuf {
        own_path(&self.clone)
    }

    /// Lets go of it. Is it still there, held by what was opened through it?
    fn outlives_us(self) -> bool {
        drop(self.clone);
        !self.sentinel.is_told()
    }
}

/// Tells when a file system is gone, or what else was asked for, and doesn't hold it meanwhile.
#[derive(Debug)]
pub(crate) struct Watch(Inotify);

impl Watch {
    /// Some event must be asked for; that of an unmount always comes.
    fn on(dir: &Path, events: AddWatchFlags) -> Result<Self> {
        let failed = |e| Error::new(Step::Watch, dir.display().to_string(), e);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
        inotify.add_watch(dir, events).map_err(failed)?;
        Ok(Self(inotify))
    }

    pub(crate) fn is_told(&self) -> bool {
        // Room for an event with the longest name.
        let mut events = [0; size_of::<libc::inotify_event>() + libc::NAME_MAX as usize + 1];
        let mut is_told = false;
        while read(&self.0, &mut events).is_ok_and(|n| n > 0) {
            is_told = true;
        }
        is_told
    }
}

/// Is binfmt_misc mounted on the host, whose first process is in sight?
pub(crate) fn is_mounted_on_host() -> bool {
    let look = || {
        enter_host()?;
        Binfmt::at(USUAL_DIR).is_mounted().is_ok_and(|is| is).then_some(()).ok_or(Errno::ENOENT)
    };
    sys::in_child(look).is_ok()
}

/// Sees to it that binfmt_misc is mounted on the host, from a process that may end with that mount namespace.
fn mount_on_host() -> std::result::Result<(), Errno> {
    enter_host()?;
    match Binfmt::at(USUAL_DIR).is_mounted() {
        Ok(true) => Ok(()),
        _ => mounts::mount_binfmt(Path::new(USUAL_DIR))
            .map_err(|e| if let Cause::Errno(errno) = e.why { errno } else { Errno::EIO }),
    }
}

fn enter_host() -> std::result::Result<(), Errno> {
    let host = open("/proc/1/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    setns(host, CloneFlags::CLONE_NEWNS)
}

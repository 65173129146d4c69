//! A mount of binfmt_misc to register handlers in, and the detached trees that keep it after this process exits.
//!
//! All handlers of a user namespace are in one superblock, and since Linux 5.10.225, 6.1.107 and 6.7 they vanish with its last mount
//! (docs/kernel.md). If a container mounts binfmt_misc, registers and exits, nothing is left, unless something keeps a mount. qus
//! does this without touching the host:
//!
//! 1. In a private mount namespace, mount the directory of the emulators (M), and binfmt_misc on the root of M.
//! 2. Clone that tree (`open_tree`) into a detached one, and register the emulators with `F` *through the clone*.
//! 3. Close the clone, and exit. The handlers' files hold the clone of M. A tree that is unmounted when its descriptor is closed stays
//!    connected (Linux 5.2 to 7.2), so the clone of M keeps the binfmt_misc on it, and that keeps the superblock. Removing the
//!    handlers ends the cycle.
//!
//! Each tree shows by itself whether that worked, no matter who else holds binfmt_misc: on its binfmt_misc there is a *sentinel*, an
//! empty tmpfs that nothing else can hold. As long as that exists, so does the mount below. `inotify` reports its end.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{Mode, fstat, stat};
use nix::unistd::read;

use crate::binfmt::{Binfmt, LOCK_PATIENCE, USUAL_DIR};
use crate::error::{Cause, Error, Result, Step};
use crate::mounts::{self, Instance};
use crate::sys::{self, own_path};
use crate::userns::Namespaces;

/// How long a binfmt_misc that no qus holds is watched: longer than another tool holds its mount while it registers.
const WATCHED_FOR: Duration = Duration::from_secs(1);

/// The hint for emulators in a directory that can't be covered.
pub(crate) const OWN_DIR: &str = "put the emulators into a directory of their own";

/// What keeps a handler after this process exits, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// The mount of binfmt_misc in the host's own mount namespace.
    Host,
    /// The detached tree that the handler itself holds.
    Anchor,
    /// Something that qus can't see: binfmt_misc was there for [`WATCHED_FOR`] without a mount of this qus, and no other held it.
    Unseen,
    /// The mount of this process, while it runs.
    Process,
}

/// A binfmt_misc to register in, and what makes its handlers last.
#[derive(Debug)]
pub(crate) struct BinfmtMount {
    binfmt: Binfmt,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// In the host's mount namespace, or as if it were; did this run mount it?
    Host { mounted: bool },
    /// In a mount namespace that ends with this process.
    Private {
        /// Is it mounted on the host, perhaps by this run?
        host_has_one: bool,
        is_rootless: bool,
        instance: Instance,
        trees: Vec<DetachedTree>,
        /// The tmpfs on directories of emulators, with symlinks to these; and their device numbers.
        covers: Vec<(libc::dev_t, OwnedFd)>,
        /// All mount points from before.
        mounted: Vec<PathBuf>,
        /// Tells of the end of binfmt_misc. Only made if needed: the kernel takes several milliseconds to close one.
        end: Option<Watch>,
    },
}

impl BinfmtMount {
    /// A binfmt_misc to register in: on the host that of the host, otherwise this instance in a private mount namespace. With
    /// `look_only`, nothing is mounted on the host: a mount that only this process sees takes the place of the one that a run would make.
    pub(crate) fn for_registering(
        place: Namespaces,
        at: Option<&Path>,
        look_only: bool,
        instance: Instance,
    ) -> Result<Self> {
        let dir = at.unwrap_or(Path::new(USUAL_DIR));
        if place.on_host && instance == Instance::Own {
            let is_there = place.is_own_mounted(dir)?;
            let binfmt = match is_there || !look_only {
                true => Binfmt::at(dir),
                false => place.private_mount(Some(dir), instance)?,
            };
            let mounted = !is_there && !look_only;
            if mounted {
                mounts::mount_binfmt(dir)?;
            }
            return Ok(Self { binfmt, kind: Kind::Host { mounted } });
        }
        // If this fails, there are other ways to keep the handlers.
        let reach = if look_only { enter_host } else { mount_on_host };
        let host_has_one = place.host_in_sight && sys::in_child(reach).is_ok();
        let mounted = mounts::mounted(None).unwrap_or_default();
        let binfmt = place.private_mount(at, instance)?;
        mounts::mount_selinux();
        let (trees, covers) = (Vec::new(), Vec::new());
        let is_rootless = place.in_user_namespace;
        let kind = Kind::Private { host_has_one, is_rootless, instance, trees, covers, mounted, end: None };
        Ok(Self { binfmt, kind })
    }

    /// The directory.
    pub(crate) const fn binfmt(&self) -> &Binfmt {
        &self.binfmt
    }

    /// Is it in the host's mount namespace, so that paths are those of the host?
    pub(crate) const fn is_on_host(&self) -> bool {
        matches!(self.kind, Kind::Host { .. })
    }

    /// Does it only look like a binfmt_misc?
    pub(crate) const fn is_stand_in(&self) -> bool {
        matches!(self.kind, Kind::Private { instance: Instance::StandIn, .. })
    }

    /// Does the host hold it, as far as qus can see?
    pub(crate) const fn is_held_by_host(&self) -> bool {
        matches!(self.kind, Kind::Host { .. } | Kind::Private { host_has_one: true, .. })
    }

    /// The path to open the emulator `name` by, whose path is `file`, so that its handler holds a detached tree; and the index of that.
    /// Each directory is cloned once. An emulator that is itself a mount (`-v FILE:/qus/bin/FILE`) isn't in the clone: it is copied to
    /// a tmpfs, which uses memory as long as its handler exists.
    pub(crate) fn anchored(&mut self, name: &str, file: &Path) -> Result<(PathBuf, Option<usize>)> {
        let Kind::Private { is_rootless, instance, trees, mounted, .. } = &mut self.kind else {
            return Ok((file.to_owned(), None));
        };
        let mut tree_of = |dir: Option<&Path>| -> Result<Option<usize>> {
            let found = trees.iter().position(|t| t.dir.as_deref() == dir);
            if found.is_some() {
                return Ok(found);
            }
            let tree = DetachedTree::of(dir, self.binfmt.dir(), *is_rootless, Some(*instance))?;
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
        // Opening anything but a file could block; the check reports it.
        let Some(at) = file.is_file().then(|| tree_of(None)).transpose()?.flatten() else {
            return Ok((file.to_owned(), None));
        };
        let copy = trees[at].path().join(name);
        if !copy.exists() {
            mounts::copy(file, &copy)?;
        }
        Ok((copy, Some(at)))
    }

    /// Makes the path `interpreter` lead to this open file, for this process only, so that handlers show the usual paths, but hold the
    /// files that were checked. Not needed on the host.
    pub(crate) fn link(&mut self, interpreter: &Path, file: &File) -> Result<()> {
        let Kind::Private { covers, .. } = &mut self.kind else { return Ok(()) };
        let (Some(dir), Some(name)) = (interpreter.parent(), interpreter.file_name()) else { return Ok(()) };
        let failed = |e: Cause| Error::at(Step::Link, interpreter, e);
        let is_own = |to: PathBuf| to.parent() == own_path(file).parent();
        let device = stat(dir).map_err(|e| failed(e.into()))?.st_dev;
        let at = match covers.iter().position(|cover| cover.0 == device) {
            Some(at) => at,
            None => {
                let cover = cover(dir, &self.binfmt)?;
                covers.push((fstat(&cover).map_err(|e| failed(e.into()))?.st_dev, cover));
                covers.len() - 1
            }
        };
        // By the descriptor: nothing outside of that tmpfs is touched, wherever the path leads to.
        let at = own_path(&covers[at].1).join(name);
        let link = || symlink(own_path(file), &at);
        let linked = match link() {
            // To another file: one of this process.
            Err(e) if e.kind() == ErrorKind::AlreadyExists && std::fs::read_link(&at).is_ok_and(is_own) => {
                std::fs::remove_file(&at).and_then(|()| link())
            }
            linked => linked,
        };
        linked.map_err(|e| failed(e.into()))
    }

    /// Releases the trees; returns which of them still exist, held by handlers alone. Files that were opened through them must be
    /// closed.
    pub(crate) fn release_trees(&mut self) -> Vec<bool> {
        match &mut self.kind {
            Kind::Private { trees, .. } => trees.drain(..).map(DetachedTree::outlives_us).collect(),
            Kind::Host { .. } => Vec::new(),
        }
    }

    /// Does this kernel keep a tree that only an open file holds? Tried with a tree for this purpose.
    pub(crate) fn kernel_keeps_trees(&self) -> Result<bool> {
        let Some(tree) = DetachedTree::of(None, self.binfmt.dir(), false, None)? else { return Ok(false) };
        let held = File::create(tree.path().join("held"))
            .map_err(|e| Error::new(Step::Open, "a new file on tmpfs", e))?;
        let is_kept = tree.outlives_us();
        drop(held);
        let at = self.binfmt.dir();
        umount2(at, MntFlags::MNT_DETACH).map_err(|e| Error::at(Step::Unmount, at, e))?;
        Ok(is_kept)
    }

    /// Makes sure that the end of binfmt_misc can be seen. Before anything without a tree is registered: later, there may be no more
    /// inotify instances.
    ///
    /// # Errors
    /// [`Step::Watch`].
    pub(crate) fn watch_end(&mut self) -> Result<()> {
        if let Kind::Private { end: end @ None, .. } = &mut self.kind {
            *end = Some(Watch::on(self.binfmt.dir(), AddWatchFlags::IN_DELETE_SELF)?);
        }
        Ok(())
    }

    /// Removes all mounts of binfmt_misc of this process; does something else hold it? `release` closes the files of it.
    ///
    /// # Errors
    /// Before `release`, with a mount still there: [`Step::Unmount`], [`Step::Watch`]. After it, with none: [`Step::Wait`] if another
    /// qus holds it for longer than [`LOCK_PATIENCE`].
    pub(crate) fn is_there_without_us(&mut self, release: &mut dyn FnMut()) -> Result<bool> {
        // Nothing else can hold the first one of this user namespace.
        if self.is_stand_in() {
            return Ok(false);
        }
        self.watch_end()?;
        let Kind::Private { end: Some(end), .. } = &self.kind else { return Ok(true) };
        let at = self.binfmt.dir();
        let failed = |at: &Path, e: Errno| Error::at(Step::Unmount, at, e);
        let seen = || {
            let root = open(at, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            Ok((std::fs::metadata(own_path(&root))?.dev(), std::fs::read_link(own_path(&root))?))
        };
        let (device, own) = seen().map_err(|e: std::io::Error| Error::at(Step::Open, at, e))?;
        // Copies of mounts in the namespace where it was started, which may have been the last one. Those of an outer
        // instance don't count, and may be locked.
        let copies = || mounts::mounts_of(device).into_iter().filter(|point| *point != own);
        let mut refused = None;
        let mut is_unmounted = |copy: &PathBuf| match umount2(copy, MntFlags::MNT_DETACH) {
            Ok(()) => true,
            Err(errno) => {
                refused = Some(failed(copy, errno));
                false
            }
        };
        while copies().filter(&mut is_unmounted).count() > 0 {}
        if let Some(error) = refused.filter(|_| copies().next().is_some()) {
            return Err(error);
        }
        // Its own is the lowest there, below those that the trees were cloned from.
        loop {
            umount2(at, MntFlags::MNT_DETACH).map_err(|e| failed(at, e))?;
            if !mounts::mounts_of(device).contains(&own) {
                break;
            }
        }
        release();
        // To see whether another qus holds it, this one has to hold it for a moment.
        let is_in_use = || {
            let is_in_use = mounts::mount_binfmt(at).is_ok_and(|()| self.binfmt.is_in_use());
            umount2(at, MntFlags::MNT_DETACH).is_ok() && is_in_use
        };
        let start = Instant::now();
        loop {
            if end.comes_within(WATCHED_FOR / 2) {
                return Ok(false);
            }
            if !is_in_use() {
                return Ok(!end.comes_within(WATCHED_FOR / 2));
            }
            if start.elapsed() > LOCK_PATIENCE {
                let why = "it does not finish, so nobody can tell whether the handlers stay without it";
                return Err(Error::new(Step::Wait, "another qus", why).hint("run again when it has finished"));
            }
        }
    }

    /// Watches for removals of handlers, and for what is written to one, to all or to register another.
    pub(crate) fn watch_changes(&self) -> Result<Watch> {
        Watch::on(self.binfmt.dir(), AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MODIFY)
    }

    /// Unmounts binfmt_misc from the host if this run mounted it, and nobody has registered anything in it.
    pub(crate) fn unmount_if_empty(&self) {
        // If this fails, binfmt_misc stays mounted at its usual place.
        let _ = match self.kind {
            Kind::Host { mounted: true } => self.unmount(),
            // The next command must not take it for a binfmt_misc.
            Kind::Private { instance: Instance::StandIn, .. } => {
                umount2(self.binfmt.dir(), MntFlags::MNT_DETACH)
            }
            _ => Ok(()),
        };
    }

    fn unmount(&self) -> std::result::Result<(), Errno> {
        let dir = self.binfmt.dir();
        // The clone keeps, and shows, what is registered up to the umount.
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

/// Covers a directory with an empty tmpfs. binfmt_misc must stay in sight.
fn cover(dir: &Path, binfmt: &Binfmt) -> Result<OwnedFd> {
    let cover = mounts::mount_tmpfs(dir).map_err(|error| match error.why {
        Cause::Errno(Errno::EINVAL) => error.hint("name a directory of this mount namespace"),
        _ => error,
    })?;
    let see = || match binfmt.is_mounted()? {
        true => Ok(cover),
        false => {
            let why = format!("it would hide binfmt_misc on {}", binfmt.dir().display());
            let error = Error::new(Step::Mount, format!("tmpfs on {}", dir.display()), why);
            Err(error.hint(OWN_DIR))
        }
    };
    see().inspect_err(|_| {
        // If this fails, it ends with this process.
        let _ = umount2(dir, MntFlags::MNT_DETACH);
    })
}

/// A detached clone of a mount with binfmt_misc on it.
#[derive(Debug)]
struct DetachedTree {
    /// The mounted directory; `None`: a tmpfs.
    dir: Option<PathBuf>,
    clone: OwnedFd,
    sentinel: Watch,
}

impl DetachedTree {
    /// Mounts this directory at `at`, and clones that; `None` if a deletion of the directory would do harm. With `own`, the file system
    /// belongs to this user namespace; with `binfmt`, there is a binfmt_misc on it.
    fn of(dir: Option<&Path>, at: &Path, own: bool, binfmt: Option<Instance>) -> Result<Option<Self>> {
        let mut mounts = match dir {
            Some(dir) => mounts::mount_lasting(dir, at, own)?,
            None => mounts::mount_tmpfs(at).map(|_| 1)?,
        };
        if mounts == 0 {
            return Ok(None);
        }
        let failed = |e| Error::at(Step::Open, at, e);
        let root =
            open(at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
        let mut build = || {
            if let Some(instance) = binfmt {
                mounts::mount_instance(at, instance)?;
                mounts += 1;
            }
            mounts::mount_tmpfs(at)?;
            mounts += 1;
            let sentinel = Watch::on(at, AddWatchFlags::IN_DELETE_SELF)?;
            let clone = sys::clone_tree(&root)
                .map_err(|e| Error::new(Step::Clone, format!("the mount on {}", at.display()), e))?;
            // The sentinel is only in the clone now.
            umount2(at, MntFlags::empty()).map_err(|e| Error::at(Step::Unmount, at, e))?;
            Ok(Some(Self { dir: dir.map(Path::to_owned), clone, sentinel }))
        };
        build().inspect_err(|_| {
            // Restores what was there; the next step reports a failure.
            for _ in 0..mounts {
                let _ = umount2(at, MntFlags::MNT_DETACH);
            }
        })
    }

    /// The path into it, for this process only, below the mounts on its root.
    fn path(&self) -> PathBuf {
        own_path(&self.clone)
    }

    /// Releases it; does it still exist, held by files that were opened through it?
    fn outlives_us(self) -> bool {
        drop(self.clone);
        !self.sentinel.is_told()
    }
}

/// Reports the end of a file system, or other events, without holding it.
#[derive(Debug)]
pub(crate) struct Watch(Inotify);

impl Watch {
    /// At least one event is required; that of an unmount always comes.
    fn on(dir: &Path, events: AddWatchFlags) -> Result<Self> {
        let failed = |e| Error::at(Step::Watch, dir, e);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
        inotify.add_watch(dir, events).map_err(failed)?;
        Ok(Self(inotify))
    }

    fn comes_within(&self, time: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < time {
            if self.is_told() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
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

/// Is binfmt_misc mounted on the host? Requires `--pid=host`.
pub(crate) fn is_mounted_on_host() -> bool {
    let look = || {
        enter_host()?;
        Binfmt::at(USUAL_DIR).is_mounted().is_ok_and(|is| is).then_some(()).ok_or(Errno::ENOENT)
    };
    sys::in_child(look).is_ok()
}

/// Mounts binfmt_misc on the host if it isn't. The calling process stays in that mount namespace.
fn mount_on_host() -> std::result::Result<(), Errno> {
    enter_host()?;
    match Binfmt::at(USUAL_DIR).is_mounted() {
        Ok(true) => Ok(()),
        _ => mounts::mount_binfmt(Path::new(USUAL_DIR)).map_err(|e| e.errno()),
    }
}

fn enter_host() -> std::result::Result<(), Errno> {
    let host = open("/proc/1/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    setns(host, CloneFlags::CLONE_NEWNS)
}

//! Finds and checks emulators.
//!
//! If their directory has a `SHA256SUMS` file, as `sha256sum` writes it, an emulator is used only if its digest matches. Nothing
//! here writes, and names are single path components.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use crate::arch::{ARCHES, Arch, PREFIX};
use crate::elf::{Executable, Flaw, HEAD_LEN, Machine};
use crate::error::{Error, Result, Step};
use crate::sys::own_path;

/// The name of the file that lists the digests.
pub const SUMS: &str = "SHA256SUMS";

/// Bytes that are read at a time: many enough for hashing to dominate, few enough to stay in the cache.
const CHUNK: usize = 64 * 1024;

/// The longest `SHA256SUMS` that is read, in bytes; they are some 3 KB long.
const SUMS_MAX: u64 = 1 << 20;

/// The longest chain of symlinks, as `MAXSYMLINKS` in include/linux/namei.h.
const LINKS_MAX: usize = 40;

/// A SHA-256 digest.
pub type Sum = [u8; 32];

/// A directory of emulators.
#[derive(Debug)]
pub struct EmulatorDir {
    dir: PathBuf,
    /// What precedes `qemu-TARGET` in the names of emulators, and what follows it.
    prefix: String,
    suffix: String,
    sums: Option<Vec<(String, Sum)>>,
    names: Vec<String>,
    /// Those of them that aren't regular files.
    links: Vec<String>,
    /// The directory's path without symlinks.
    real: OnceLock<PathBuf>,
}

/// An emulator that was opened and checked.
#[derive(Debug)]
pub struct Emulator {
    /// The open file.
    pub file: File,
    /// Its digest, which matches `SHA256SUMS`; `None` if there is no such file.
    pub sum: Option<Sum>,
    /// The machine that it runs on; `None` if it was only seen to run.
    pub machine: Option<Machine>,
    /// From before it was read.
    pub metadata: Metadata,
}

impl Emulator {
    /// The one at that path, which isn't checked.
    ///
    /// # Errors
    /// Those of `stat` and `open`.
    pub(crate) fn at(path: &Path) -> std::io::Result<Self> {
        let (file, metadata) = open_file(path)?;
        Ok(Self { file, sum: None, machine: None, metadata })
    }

    /// One that runs programs already, and isn't checked.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub(crate) fn running(file: File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { file, sum: None, machine: None, metadata })
    }

    /// The dynamic loader that it needs, if it isn't static. Other root file systems lack that, and flag `F` doesn't bring it.
    pub(crate) fn loader(&self) -> Option<String> {
        let mut head = [0; HEAD_LEN];
        let found = self.file.read_at(&mut head, 0).ok()?;
        Executable::read(head.get(..found)?, self.metadata.len()).ok()?.interpreter
    }

    /// Is this file, which the kernel has loaded, the same program? It may be another file with the same bytes, such as another
    /// container's.
    ///
    /// # Errors
    /// Those of `fstat` and `read`.
    pub fn is_same_as(&self, loaded: &File) -> std::io::Result<bool> {
        let (ours, theirs) = (&self.metadata, loaded.metadata()?);
        if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
            return Ok(true);
        }
        if theirs.len() != ours.len() {
            return Ok(false);
        }
        let digest_of = |file: &File| digest(&mut file.try_clone()?);
        Ok(digest_of(loaded)? == self.sum.map_or_else(|| digest_of(&self.file), Ok)?)
    }

    /// Does that path still lead to it, and does it hold what was checked?
    ///
    /// # Errors
    /// Those of `open`, `fstat` and `read`.
    pub(crate) fn is_still_at(&self, path: &str) -> std::io::Result<bool> {
        Ok(self.is_same_as(&File::open(path)?)? && self.unchanged()?)
    }

    /// Does the file still hold what was checked? To be asked after registering: a handler also runs what is later written to
    /// that file in place. If only names or permissions have changed, the digest shows it; without one, that counts as a change.
    ///
    /// # Errors
    /// Those of `fstat` and `read`.
    pub fn unchanged(&self) -> std::io::Result<bool> {
        is_unchanged(&self.file, &self.metadata, self.sum)
    }
}

fn is_unchanged(file: &File, before: &Metadata, sum: Option<Sum>) -> std::io::Result<bool> {
    if Stamp::of(&file.metadata()?) == Stamp::of(before) {
        return Ok(true);
    }
    sum.map_or(Ok(false), |sum| Ok(digest(&mut file.try_clone()?)? == sum))
}

/// Tells whether a file was written to. Before Linux 6.13, its times are some milliseconds coarse: of two writes within one tick,
/// the second goes unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of that metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What an emulator must be.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// Does this host run programs of a machine?
    pub runs: fn(Machine) -> bool,
    /// This host, for error messages.
    pub host: &'a Arch,
    /// It must be statically linked: with flag `F` it runs in other root file systems.
    pub is_static: bool,
}

impl EmulatorDir {
    /// Reads the names in a directory, and its `SHA256SUMS`. Its emulators are `PREFIXqemu-TARGETSUFFIX`.
    ///
    /// # Errors
    /// [`Step::Open`] and [`Step::Read`] of the two; [`Step::Check`] if `SHA256SUMS` is malformed.
    pub fn open(dir: &Path, prefix: &str, suffix: &str) -> Result<Self> {
        let failed = |e: std::io::Error| Error::at(Step::Open, dir, e);
        let (mut names, mut links) = (Vec::new(), Vec::new());
        for item in std::fs::read_dir(dir).map_err(failed)? {
            let item = item.map_err(|e| Error::at(Step::Read, dir, e))?;
            if let Ok(name) = item.file_name().into_string()
                && name.contains(PREFIX)
            {
                // Free on most file systems.
                if item.file_type().is_ok_and(|kind| !kind.is_file()) {
                    links.push(name.clone());
                }
                names.push(name);
            }
        }
        names.sort_unstable();
        let (prefix, suffix) = (prefix.to_owned(), suffix.to_owned());
        let real = OnceLock::new();
        let mut store = Self { dir: dir.to_owned(), prefix, suffix, sums: None, names, links, real };
        let path = store.path_of(SUMS);
        match store.open_file(SUMS) {
            Ok((file, _)) => {
                let mut text = String::new();
                file.take(SUMS_MAX + 1)
                    .read_to_string(&mut text)
                    .map_err(|e| Error::new(Step::Read, path.as_str(), e))?;
                if text.len() as u64 > SUMS_MAX {
                    return Err(Error::new(Step::Check, path, format!("it is longer than {SUMS_MAX} bytes")));
                }
                store.sums =
                    Some(parse_sums(&text).map_err(|why| Error::new(Step::Check, path.as_str(), why))?);
            }
            // A dangling symlink is there.
            Err(e) if e.kind() == ErrorKind::NotFound && dir.join(SUMS).symlink_metadata().is_err() => {}
            Err(e) => return Err(Error::new(Step::Open, path, e)),
        }
        Ok(store)
    }

    /// Does the directory have a `SHA256SUMS`?
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.sums.is_some()
    }

    /// The files of all emulators, in the order of the table. Other tools of QEMU (`qemu-img`, `qemu-system-x86_64`) aren't emulators.
    #[must_use]
    pub fn emulators(&self) -> Vec<String> {
        let mut files: Vec<_> = ARCHES.iter().filter_map(|arch| self.find(arch)).collect();
        // Rows of one emulator are adjacent.
        files.dedup();
        files
    }

    /// The files in `SHA256SUMS`, except itself.
    pub fn listed(&self) -> impl Iterator<Item = &String> {
        self.sums.iter().flatten().map(|(name, _)| name).filter(|name| *name != SUMS)
    }

    /// The path of a file, for users and for the kernel.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The file of an emulator: with the suffix, or else with `-static` (most packages), or with none (Debian 13).
    #[must_use]
    pub fn find(&self, arch: &Arch) -> Option<String> {
        let is_there = |name: &String| self.names.binary_search(name).is_ok();
        let named = |suffix: &&str| format!("{}{PREFIX}{}{suffix}", self.prefix, arch.emulator);
        [&self.suffix, STATIC, ""].iter().map(named).find(is_there)
    }

    /// The path of the file `name` without symlinks.
    ///
    /// # Errors
    /// ENOENT; any if it is outside a directory with `SHA256SUMS`.
    pub fn real_path(&self, name: &str) -> std::io::Result<PathBuf> {
        // By the kernel: canonicalize would link musl's realpath. The standard library takes O_PATH for a part of musl's O_ACCMODE
        // and drops it; without it, opening a FIFO would block forever.
        let real = |path: &Path| -> std::io::Result<PathBuf> {
            let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            std::fs::read_link(own_path(&file))
        };
        if self.links.iter().any(|link| link == name) {
            return real(&self.path_inside(name)?);
        }
        if self.names.binary_search_by(|there| there.as_str().cmp(name)).is_err() {
            return Err(Errno::ENOENT.into());
        }
        if self.real.get().is_none() {
            // Another thread would set the same.
            let _ = self.real.set(real(&self.dir)?);
        }
        Ok(self.real.get().map_or_else(|| self.dir.join(name), |dir| dir.join(name)))
    }

    /// The path to open a file by.
    fn path_inside(&self, name: &str) -> std::io::Result<PathBuf> {
        let is_listed = self.sums.is_some() || name == SUMS;
        Ok(self.dir.join(if is_listed { self.linked_inside(name)? } else { name.into() }))
    }

    fn open_file(&self, name: &str) -> std::io::Result<(File, Metadata)> {
        open_file(&self.path_inside(name)?)
    }

    /// The name of the file in this directory that the symlink `name` leads to. `SHA256SUMS` is about the directory's own files, so
    /// symlinks out of it are only followed without one (a host's /usr/bin).
    fn linked_inside(&self, name: &str) -> std::io::Result<OsString> {
        let mut name = OsString::from(name);
        for _ in 0..LINKS_MAX {
            let Ok(target) = std::fs::read_link(self.dir.join(&name)) else { return Ok(name) };
            let mut parts = target.components();
            match (parts.next(), parts.next()) {
                (Some(Component::Normal(file)), None) => name = file.to_owned(),
                _ => {
                    let why = format!("it is a symlink to {}, outside its directory", target.display());
                    return Err(std::io::Error::other(why));
                }
            }
        }
        Err(Errno::ELOOP.into())
    }

    /// Opens an emulator, by the path `through` if given, and checks all that can be checked without running it; its digest last.
    ///
    /// # Errors
    /// [`Step::Open`], [`Step::Read`]; [`Step::Check`] if it isn't as required.
    pub fn check(&self, name: &str, through: Option<&Path>, required: Requirements<'_>) -> Result<Emulator> {
        let unreadable = |e: std::io::Error| Error::new(Step::Read, self.path_of(name), e);
        let unfit = |why: String| Error::new(Step::Check, self.path_of(name), why);
        let opened = through.map_or_else(|| self.path_inside(name), |path| Ok(path.to_owned()));
        let (mut file, metadata) = opened
            .and_then(|path| open_file(&path))
            .map_err(|e| Error::new(Step::Open, self.path_of(name), e))?;
        if metadata.mode() & (libc::S_ISUID | libc::S_ISGID) != 0 {
            let why =
                "it is setuid or setgid: everyone who runs a program by it would gain its owner's privileges";
            return Err(unfit(why.to_owned()).hint("run `chmod ug-s` on it: no emulator needs these bits"));
        }
        let mut head = [0; HEAD_LEN];
        let found = fill(&mut file, &mut head).map_err(unreadable)?;
        let exe = Executable::read(&head[..found], metadata.len())
            .map_err(|flaw| unfit(describe(&flaw)).hint("pull the image again, or reinstall the package"))?;
        if !(required.runs)(exe.machine) {
            let (theirs, ours) = (machine_name(exe.machine), required.host.target);
            return Err(unfit(format!("it is for {theirs} hosts, and this host is {ours}"))
                .hint(format!("use the image or package for {ours}")));
        }
        if let Some(loader) = exe.interpreter.filter(|_| required.is_static) {
            return Err(unfit(format!("it is dynamically linked: containers would need {loader}")).hint(
                "flag F requires static emulators: those of qemu-user-static, or of Debian 13's qemu-user",
            ));
        }
        let sum = self.compare(name, &mut file, &metadata)?;
        Ok(Emulator { file, machine: Some(exe.machine), sum, metadata })
    }

    /// Compares a file's digest with the list; returns its length in bytes.
    ///
    /// # Errors
    /// As for [`EmulatorDir::check`].
    pub fn check_digest(&self, name: &str) -> Result<u64> {
        let opened = self.open_file(name);
        let (mut file, metadata) = opened.map_err(|e| Error::new(Step::Open, self.path_of(name), e))?;
        self.compare(name, &mut file, &metadata).map(|_| metadata.len())
    }

    /// The digest of an open file, which matches `SHA256SUMS`, if there is one; `before` is from before anything was read.
    fn compare(&self, name: &str, file: &mut File, before: &Metadata) -> Result<Option<Sum>> {
        let unreadable = |e: std::io::Error| Error::new(Step::Read, self.path_of(name), e);
        let unfit = |why: String| Error::new(Step::Check, self.path_of(name), why);
        let sum = match &self.sums {
            None => None,
            Some(sums) => {
                let Ok(at) = sums.binary_search_by(|(listed, _)| listed.as_str().cmp(name)) else {
                    return Err(unfit(format!("{} does not list it", self.path_of(SUMS))));
                };
                let (found, expected) = (digest(file).map_err(unreadable)?, &sums[at].1);
                if found != *expected {
                    let text = format!("its sha256 is {}, and {SUMS} says {}", hex(&found), hex(expected));
                    return Err(unfit(text).hint("it was modified or damaged: pull the image again"));
                }
                Some(found)
            }
        };
        if !is_unchanged(file, before, sum).map_err(unreadable)? {
            return Err(
                unfit("it changed while qus read it".to_owned()).hint("run again when it is complete")
            );
        }
        Ok(sum)
    }
}

/// The suffix of static emulators in most packages.
pub const STATIC: &str = "-static";

fn open_file(path: &Path) -> std::io::Result<(File, Metadata)> {
    let no_file = || std::io::Error::other("it is not a regular file");
    // Checked before it is opened: opening a device may have effects.
    if !path.metadata()?.is_file() {
        return Err(no_file());
    }
    // O_NONBLOCK: a FIFO may have replaced it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(no_file()) }
}

/// Reads until `buffer` is full or the file ends; returns the number of bytes.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut found = 0;
    while found < buffer.len() {
        match file.read(&mut buffer[found..]) {
            Ok(0) => break,
            Ok(n) => found += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// The digest of a whole file.
///
/// # Errors
/// Those of `read`.
pub fn digest(file: &mut File) -> std::io::Result<Sum> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    file.rewind()?;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => hasher.update(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The lines of `sha256sum`: 64 hexadecimal digits, a space, a space or `*`, a name. Returns names and digests, sorted.
///
/// # Errors
/// The line that isn't of that form, for the user.
pub fn parse_sums(text: &str) -> std::result::Result<Vec<(String, Sum)>, String> {
    let mut sums = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(|l| l.trim_end_matches('\r'))) {
        if line.is_empty() {
            continue;
        }
        let parsed = line.split_at_checked(64).and_then(|(digits, rest)| {
            let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
            Some((unhex(digits)?, name.strip_prefix("./").unwrap_or(name)))
        });
        let Some((sum, name)) = parsed else {
            return Err(format!("line {number} is not in the format of sha256sum"));
        };
        if name.is_empty() || name.contains('/') {
            return Err(format!("line {number} is not about a file directly in this directory"));
        }
        sums.push((name.to_owned(), sum));
    }
    sums.sort_unstable();
    sums.dedup();
    match sums.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("it has two digests for {}", pair[0].0)),
        None => Ok(sums),
    }
}

fn unhex(digits: &str) -> Option<Sum> {
    // from_str_radix would accept a sign.
    if !digits.bytes().all(|d| d.is_ascii_hexdigit()) {
        return None;
    }
    let mut sum = [0; 32];
    for (byte, pair) in sum.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(sum)
}

fn hex(sum: &Sum) -> String {
    sum.iter().map(|b| format!("{b:02x}")).collect()
}

fn describe(flaw: &Flaw) -> String {
    match flaw {
        Flaw::NotElf => "it is not an ELF file".to_owned(),
        Flaw::NotExecutable => "it is an ELF file, but not an executable".to_owned(),
        Flaw::Truncated { expected, found } => {
            format!("it is truncated: {found} bytes of at least {expected}")
        }
    }
}

fn machine_name(found: Machine) -> String {
    ARCHES
        .iter()
        .find(|a| a.machine_bytes() == found)
        .map_or_else(|| format!("unknown (ELF machine {})", found.2), |a| a.target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Arch, named};

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("qus-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn open(dir: &Path) -> EmulatorDir {
        EmulatorDir::open(dir, "", STATIC).unwrap()
    }

    const ANY: Requirements<'_> = Requirements { runs: |_| false, host: &ARCHES[0], is_static: false };

    fn own() -> &'static Arch {
        named(std::env::consts::ARCH).next().unwrap()
    }

    fn ours() -> Requirements<'static> {
        Requirements { runs: |machine| machine == own().machine_bytes(), host: own(), is_static: false }
    }

    #[test]
    fn the_requested_suffix_comes_first_then_static_then_none() {
        let d = dir("find");
        for name in ["qemu-arm", "qemu-arm-static", "qemu-arm-x", "qemu-mips-static", "qemu-mips", "qemu-ppc"]
        {
            std::fs::write(d.join(name), "").unwrap();
        }
        let open = |prefix, suffix| EmulatorDir::open(&d, prefix, suffix).unwrap();
        for (emulator, suffix, found) in [
            ("arm", "", Some("qemu-arm")),
            ("arm", "-static", Some("qemu-arm-static")),
            ("arm", "-x", Some("qemu-arm-x")),
            ("mips", "-x", Some("qemu-mips-static")),
            ("ppc", "-static", Some("qemu-ppc")),
            ("ppc", "-x", Some("qemu-ppc")),
            ("sh4", "-static", None),
        ] {
            let arch = named(emulator).next().unwrap();
            assert_eq!(open("", suffix).find(arch).as_deref(), found, "{emulator}{suffix}");
            assert_eq!(open("my-", suffix).find(arch), None, "my-{emulator}{suffix}");
        }
        assert_eq!(open("", "-static").emulators(), ["qemu-arm-static", "qemu-mips-static", "qemu-ppc"]);
        assert_eq!(open("", "").emulators(), ["qemu-arm", "qemu-mips", "qemu-ppc"]);
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_dangling_list_of_digests_is_an_error() {
        let d = dir("dangling");
        for target in ["missing", "/not/here"] {
            let _ = std::fs::remove_file(d.join(SUMS));
            std::os::unix::fs::symlink(target, d.join(SUMS)).unwrap();
            assert_eq!(EmulatorDir::open(&d, "", "").unwrap_err().step, Step::Open, "{target}");
        }
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn other_tools_of_qemu_are_not_emulators() {
        let d = dir("tools");
        for name in
            "img system-x86_64 system-arm nbd io storage-daemon ga bridge-helper keymap armx".split(' ')
        {
            std::fs::write(d.join(format!("qemu-{name}")), "").unwrap();
            std::fs::write(d.join(format!("qemu-{name}-static")), "").unwrap();
        }
        assert!(open(&d).emulators().is_empty());
        std::fs::write(d.join("my-qemu-i386"), "").unwrap();
        assert!(open(&d).emulators().is_empty());
        assert_eq!(EmulatorDir::open(&d, "my-", "-static").unwrap().emulators(), ["my-qemu-i386"]);
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_changed_byte_a_missing_line_and_a_wrong_host_are_refused() {
        let d = dir("check");
        let mut bytes = std::fs::read("/proc/self/exe").unwrap();
        std::fs::write(d.join("qemu-a"), &bytes).unwrap();
        std::fs::write(d.join("qemu-b"), &bytes).unwrap();
        let sum = hex(&digest(&mut File::open(d.join("qemu-a")).unwrap()).unwrap());
        std::fs::write(d.join(SUMS), format!("{sum}  qemu-a\n{sum}  {SUMS}\n")).unwrap();
        let s = open(&d);
        assert_eq!(hex(&s.check("qemu-a", None, ours()).unwrap().sum.unwrap()), sum);
        assert_eq!(s.check_digest("qemu-a").unwrap(), bytes.len() as u64);
        assert_eq!(s.listed().collect::<Vec<_>>(), ["qemu-a"]);
        let refused = |required, name: &str| s.check(name, None, required).unwrap_err().to_string();
        assert!(refused(ours(), "qemu-b").contains("does not list it"));
        assert!(refused(ANY, "qemu-a").contains("it is for"));
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(d.join("qemu-a"), &bytes).unwrap();
        assert!(refused(ours(), "qemu-a").contains("its sha256 is"));
        assert!(s.check_digest("qemu-a").unwrap_err().to_string().contains("its sha256 is"));
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_write_after_the_check_is_a_change_and_chmod_is_not() {
        let d = dir("stamp");
        let path = d.join("qemu-arm");
        std::fs::copy("/proc/self/exe", &path).unwrap();
        let check = || open(&d).check("qemu-arm", None, ours()).unwrap();
        let set_mode = |mode| {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        // The clock of the file system has to go on.
        let wait = || std::thread::sleep(std::time::Duration::from_millis(20));
        wait();
        let unlisted = check();
        assert!(unlisted.unchanged().unwrap());
        wait();
        set_mode(0o700);
        assert!(!unlisted.unchanged().unwrap());
        let sum = hex(&digest(&mut File::open(&path).unwrap()).unwrap());
        std::fs::write(d.join(SUMS), format!("{sum}  qemu-arm\n")).unwrap();
        let listed = check();
        wait();
        set_mode(0o755);
        assert!(listed.unchanged().unwrap());
        let last = listed.metadata.len() - 1;
        // With the same length and time.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"?", last).unwrap();
        file.set_modified(listed.metadata.modified().unwrap()).unwrap();
        assert!(!listed.unchanged().unwrap());
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        let d = dir("racing");
        let path = d.join("qemu-arm");
        std::fs::write(&path, "one").unwrap();
        let s = open(&d);
        let (mut file, before) = s.open_file("qemu-arm").unwrap();
        assert_eq!(s.compare("qemu-arm", &mut file, &before), Ok(None));
        std::fs::write(&path, "longer").unwrap();
        let error = s.compare("qemu-arm", &mut file, &before).unwrap_err();
        assert!(error.to_string().contains("it changed while qus read it"), "{error}");
        // A backup that sets its time back changes nothing that is read.
        let sum = hex(&digest(&mut file).unwrap());
        std::fs::write(d.join(SUMS), format!("{sum}  qemu-arm\n")).unwrap();
        let s = open(&d);
        let before = file.metadata().unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_ne!(Stamp::of(&file.metadata().unwrap()), Stamp::of(&before));
        assert!(s.compare("qemu-arm", &mut file, &before).unwrap().is_some());
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_real_path_follows_all_symlinks() {
        let d = dir("links");
        let real = d.canonicalize().unwrap();
        std::fs::create_dir_all(d.join("in")).unwrap();
        for name in ["in/qemu-arm", "elsewhere"] {
            std::fs::write(d.join(name), "").unwrap();
        }
        for (to, link) in [("qemu-arm", "in/qemu-armeb"), ("../elsewhere", "in/qemu-mips"), ("in", "link")] {
            std::os::unix::fs::symlink(to, d.join(link)).unwrap();
        }
        let of = |name: &str| open(&d.join("link")).real_path(name);
        for (name, path) in
            [("qemu-arm", "in/qemu-arm"), ("qemu-armeb", "in/qemu-arm"), ("qemu-mips", "elsewhere")]
        {
            assert_eq!(of(name).unwrap(), real.join(path), "{name}");
        }
        assert!(of("qemu-ppc").is_err());
        std::fs::write(d.join("in").join(SUMS), "").unwrap();
        assert_eq!(of("qemu-armeb").unwrap(), real.join("in/qemu-arm"));
        assert!(of("qemu-mips").unwrap_err().to_string().contains("outside its directory"));
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let d = dir("fifo");
        nix::unistd::mkfifo(&d.join("qemu-arm"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let s = open(&d);
        assert!(
            s.check("qemu-arm", None, ANY).unwrap_err().to_string().ends_with("it is not a regular file")
        );
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn only_the_format_of_sha256sum_is_accepted() {
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let of = |text: &str| {
            parse_sums(text).map(|sums| sums.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(
            of(&format!("{sum}  qemu-arm\n{sum} *qemu-mips\r\n\n")).unwrap(),
            ["qemu-arm", "qemu-mips"]
        );
        assert_eq!(of(&format!("{sum}  ./qemu-arm\n")).unwrap(), ["qemu-arm"]);
        for bad in [
            sum.replace("e3", "+3") + "  a",
            format!("{sum}  ../qemu-arm"),
            format!("{sum}  /bin/sh"),
            format!("{sum} qemu"),
            "x".repeat(70),
        ] {
            assert!(of(&bad).is_err(), "{bad}");
        }
        let other = sum.replace('e', "f");
        assert!(of(&format!("{sum}  a\n{other}  a\n")).unwrap_err().contains("two digests"));
        assert!(of("é".repeat(40).as_str()).is_err());
    }
}

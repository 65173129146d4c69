//! The QEMU binaries: find, check, digest.
//!
//! A directory of them may carry a `SHA256SUMS` file as `sha256sum` writes it. Then a binary is used only if its digest is
//! in there and is right. It only reads, and never leaves the directory: names are single path components.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use crate::arch::{ARCHES, Arch, PREFIX};
use crate::elf::{Executable, Flaw, HEAD_LEN, Machine};
use crate::error::{Error, Result, Step};

/// The name of the file that lists the digests.
pub const SUMS: &str = "SHA256SUMS";

/// Bytes that are read and hashed at a time: large enough for the hash to dominate, small enough to stay in the cache.
const CHUNK: usize = 64 * 1024;

/// SUMS files are some 3 KB long; a longer one than this is not one.
const SUMS_MAX: u64 = 1 << 20;

/// How many links may follow each other: as the kernel's own limit, far more than anybody needs.
const LINKS_MAX: usize = 40;

/// A SHA-256 digest.
pub type Sum = [u8; 32];

/// A directory of QEMU binaries.
#[derive(Debug)]
pub struct EmulatorDir {
    dir: PathBuf,
    sums: Option<BTreeMap<String, Sum>>,
    names: Vec<String>,
    /// Those of them that are no plain files.
    links: Vec<String>,
    /// Where the directory really is.
    real: OnceLock<PathBuf>,
}

/// A binary that was opened and checked.
#[derive(Debug)]
pub struct Emulator {
    /// The open file.
    pub file: File,
    /// Its digest, if the directory lists digests; it was compared.
    pub sum: Option<Sum>,
    /// What runs it.
    pub machine: Machine,
    /// What the file system said of it before it was read.
    pub metadata: Metadata,
}

impl Emulator {
    /// Does this file, that the kernel has loaded, hold the same program? The same file, or one with the same bytes (another
    /// container's, a copy in memory).
    #[must_use]
    pub fn is_same_as(&self, loaded: &File) -> bool {
        let Ok(theirs) = loaded.metadata() else { return false };
        let ours = &self.metadata;
        if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
            return true;
        }
        let digest_of = |file: &File| file.try_clone().and_then(|mut f| digest(&mut f)).ok();
        let expected = || self.sum.or_else(|| digest_of(&self.file));
        theirs.len() == ours.len() && digest_of(loaded).is_some_and(|found| expected() == Some(found))
    }

    /// Does the file still hold what was checked? Ask after all that relies on it: a file that is replaced is another one, but
    /// one that is written to in place keeps its name, and is what a handler runs. Where only its name or its rights have
    /// changed, the digest says so; without one, that counts as a change, too.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn unchanged(&self) -> std::io::Result<bool> {
        if Stamp::of(&self.file.metadata()?) == Stamp::of(&self.metadata) {
            return Ok(true);
        }
        self.sum.map_or(Ok(false), |sum| Ok(digest(&mut self.file.try_clone()?)? == sum))
    }
}

/// What no write to a file leaves as it was. The kernel's clock for it ticks every few milliseconds (before Linux 6.13): a write
/// within the tick of the one before it is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file that this was read from.
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

/// What is demanded of a binary.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// Does this host execute programs of a machine?
    pub runs: fn(Machine) -> bool,
    /// What this host is, to say if the binary is for none of them.
    pub host: &'a Arch,
    /// It must not need a dynamic loader: with flag `F` it runs where there is none.
    pub is_static: bool,
}

impl EmulatorDir {
    /// Reads which files there are, and SHA256SUMS.
    ///
    /// # Errors
    /// [`Step::Open`], where the directory or its SHA256SUMS can't be read; [`Step::Check`], where the latter makes no sense.
    pub fn open(dir: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::new(Step::Open, dir.display().to_string(), e);
        let (mut names, mut links) = (Vec::new(), Vec::new());
        for item in std::fs::read_dir(dir).map_err(failed)? {
            let item = item.map_err(failed)?;
            if let Ok(name) = item.file_name().into_string()
                && name.contains(PREFIX)
            {
                // Most file systems say it at once.
                if item.file_type().is_ok_and(|kind| !kind.is_file()) {
                    links.push(name.clone());
                }
                names.push(name);
            }
        }
        names.sort_unstable();
        let mut store = Self { dir: dir.to_owned(), sums: None, names, links, real: OnceLock::new() };
        let path = store.path_of(SUMS);
        match store.open_file(SUMS) {
            Ok((file, _)) => {
                let mut text = String::new();
                file.take(SUMS_MAX + 1)
                    .read_to_string(&mut text)
                    .map_err(|e| Error::new(Step::Open, path.as_str(), e))?;
                if text.len() as u64 > SUMS_MAX {
                    return Err(Error::new(Step::Check, path, format!("it is longer than {SUMS_MAX} bytes")));
                }
                store.sums =
                    Some(parse_sums(&text).map_err(|why| Error::new(Step::Check, path.as_str(), why))?);
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::new(Step::Open, path, e)),
        }
        Ok(store)
    }

    /// Does it list digests?
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.sums.is_some()
    }

    /// The emulators that are used with that prefix and suffix, a file each, in the order of the table. Other tools of QEMU
    /// (`qemu-img`, `qemu-system-x86_64`) are none.
    pub fn emulators(&self, prefix: &str, suffix: &str) -> impl Iterator<Item = String> {
        // Rows that are run by one emulator follow each other.
        let mut emulators: Vec<_> = ARCHES.iter().map(|a| a.emulator).collect();
        emulators.dedup();
        emulators.into_iter().filter_map(move |emulator| self.find(emulator, prefix, suffix))
    }

    /// Is there any emulator?
    #[must_use]
    pub fn has_any(&self, prefix: &str, suffix: &str) -> bool {
        self.emulators(prefix, suffix).next().is_some()
    }

    /// The names of the files that are listed in SHA256SUMS, emulators or not, there or not. No list can have its own digest.
    pub fn listed(&self) -> impl Iterator<Item = &String> {
        self.sums.iter().flat_map(BTreeMap::keys).filter(|name| *name != SUMS)
    }

    /// The path of a file as users and the kernel see it.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The name of the file that runs `emulator`'s programs: with that prefix and suffix; where there is none, with `-static` (most
    /// packages), or with no suffix (Debian 13).
    #[must_use]
    pub fn find(&self, emulator: &str, prefix: &str, suffix: &str) -> Option<String> {
        let is_there = |name: &String| self.names.binary_search(name).is_ok();
        [suffix, STATIC, ""].iter().map(|s| format!("{prefix}{PREFIX}{emulator}{s}")).find(is_there)
    }

    /// Where the file that is called `name` really is, after all links: what a handler that opens it holds.
    ///
    /// # Errors
    /// Where there is none, or it is outside of a directory that speaks of its own files only.
    pub fn real_path(&self, name: &str) -> std::io::Result<PathBuf> {
        // What the kernel calls it: canonicalize would bring musl's realpath along. The standard library takes O_PATH for a part of
        // musl's O_ACCMODE, and drops it; without it, a FIFO would hold us up for ever.
        let real = |path: &Path| -> std::io::Result<PathBuf> {
            let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        };
        if self.links.iter().any(|link| link == name) {
            return real(&self.path_inside(name)?);
        }
        if self.names.binary_search_by(|there| there.as_str().cmp(name)).is_err() {
            return Err(Errno::ENOENT.into());
        }
        if self.real.get().is_none() {
            // Another thread's answer would be the same.
            let _ = self.real.set(real(&self.dir)?);
        }
        Ok(self.real.get().map_or_else(|| self.dir.join(name), |dir| dir.join(name)))
    }

    /// The path to open it by.
    fn path_inside(&self, name: &str) -> std::io::Result<PathBuf> {
        let speaks = self.sums.is_some() || name == SUMS;
        Ok(self.dir.join(if speaks { self.linked_inside(name)? } else { name.into() }))
    }

    fn open_file(&self, name: &str) -> std::io::Result<(File, Metadata)> {
        open_file(&self.path_inside(name)?)
    }

    /// The name of the file that the link `name` leads to. A directory that says what is in it (SHA256SUMS) speaks of its own
    /// files; links that lead out of it are for those that say nothing (a host's /usr/bin).
    fn linked_inside(&self, name: &str) -> std::io::Result<OsString> {
        let mut name = OsString::from(name);
        for _ in 0..LINKS_MAX {
            let Ok(target) = std::fs::read_link(self.dir.join(&name)) else { return Ok(name) };
            let mut parts = target.components();
            match (parts.next(), parts.next()) {
                (Some(Component::Normal(file)), None) => name = file.to_owned(),
                _ => {
                    let why = format!("it is a link to {}, outside of its directory", target.display());
                    return Err(std::io::Error::other(why));
                }
            }
        }
        Err(Errno::ELOOP.into())
    }

    /// Opens a binary, `through` another path if there is one, and checks all that can be known without running it; its digest last.
    ///
    /// # Errors
    /// [`Step::Open`], where it can't be read; [`Step::Check`], where it is not what is demanded.
    pub fn check(&self, name: &str, through: Option<&Path>, demands: Requirements<'_>) -> Result<Emulator> {
        let unreadable = |e: std::io::Error| Error::new(Step::Open, self.path_of(name), e);
        let unfit = |why: String| Error::new(Step::Check, self.path_of(name), why);
        let opened = through.map_or_else(|| self.path_inside(name), |path| Ok(path.to_owned()));
        let (mut file, metadata) = opened.and_then(|path| open_file(&path)).map_err(unreadable)?;
        if metadata.mode() & (libc::S_ISUID | libc::S_ISGID) != 0 {
            let why =
                "it is set-uid or set-gid: whoever executes a foreign program would get its owner's rights";
            return Err(unfit(why.to_owned()).hint("no emulator needs that bit: chmod ug-s takes it away"));
        }
        let mut head = [0; HEAD_LEN];
        let found = fill(&mut file, &mut head).map_err(unreadable)?;
        let exe = Executable::read(&head[..found], metadata.len()).map_err(|flaw| {
            unfit(describe(&flaw))
                .hint("the image or the download is damaged: pull it again, or reinstall the package")
        })?;
        if !(demands.runs)(exe.machine) {
            let (theirs, ours) = (machine_name(exe.machine), demands.host.target);
            return Err(unfit(format!("it is a program for {theirs} hosts, and this host is {ours}"))
                .hint(format!("take the {ours} variant of the image or package")));
        }
        if let Some(loader) = exe.interpreter.filter(|_| demands.is_static) {
            return Err(unfit(format!("it needs {loader}, which other root file systems don't have"))
                .hint("-p takes statically linked binaries: qemu-user-static, or Debian 13's qemu-user"));
        }
        let sum = self.compare(name, &mut file, &metadata)?;
        Ok(Emulator { file, machine: exe.machine, sum, metadata })
    }

    /// Compares any file's digest with the one that is listed; its length.
    ///
    /// # Errors
    /// As above.
    pub fn check_digest(&self, name: &str) -> Result<u64> {
        let opened = self.open_file(name);
        let (mut file, metadata) = opened.map_err(|e| Error::new(Step::Open, self.path_of(name), e))?;
        self.compare(name, &mut file, &metadata).map(|_| metadata.len())
    }

    /// The digest of an open file, that is what SHA256SUMS says, if there is one; `before` is from before anything was read.
    fn compare(&self, name: &str, file: &mut File, before: &Metadata) -> Result<Option<Sum>> {
        let unreadable = |e: std::io::Error| Error::new(Step::Open, self.path_of(name), e);
        let unfit = |why: String| Error::new(Step::Check, self.path_of(name), why);
        let sum = match &self.sums {
            None => None,
            Some(sums) => {
                let Some(expected) = sums.get(name) else {
                    return Err(unfit(format!("{} does not list it", self.path_of(SUMS))));
                };
                let found = digest(file).map_err(unreadable)?;
                if found != *expected {
                    let text = format!("its sha256 is {}, and {SUMS} says {}", hex(&found), hex(expected));
                    return Err(unfit(text).hint("the binary was changed or damaged: pull the image again"));
                }
                Some(found)
            }
        };
        let after = file.metadata().map_err(unreadable)?;
        if Stamp::of(&after) != Stamp::of(before) {
            return Err(
                unfit("it changed while it was read".to_owned()).hint("run again when it is complete")
            );
        }
        Ok(sum)
    }
}

/// The suffix of statically linked binaries.
pub const STATIC: &str = "-static";

fn open_file(path: &Path) -> std::io::Result<(File, Metadata)> {
    let no_file = || std::io::Error::other("it is not a regular file");
    // Looked at before it is opened: to open a device may do something already.
    if !path.metadata()?.is_file() {
        return Err(no_file());
    }
    // Without O_NONBLOCK, a FIFO that has taken its place since would hold us up for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(no_file()) }
}

/// Reads until `buffer` is full or the file ends; how many bytes there are.
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
/// Those of reading it.
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

/// The lines of `sha256sum`: 64 hexadecimal digits, a space, a space or `*`, a name.
///
/// # Errors
/// In words, which line makes no sense.
pub fn parse_sums(text: &str) -> std::result::Result<BTreeMap<String, Sum>, String> {
    let mut sums = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines().map(|l| l.trim_end_matches('\r'))) {
        if line.is_empty() {
            continue;
        }
        let parsed = line.split_at_checked(64).and_then(|(digits, rest)| {
            let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
            Some((unhex(digits)?, name.strip_prefix("./").unwrap_or(name)))
        });
        let Some((sum, name)) = parsed else {
            return Err(format!("line {number} is not a line of sha256sum"));
        };
        if name.is_empty() || name.contains('/') {
            return Err(format!("line {number} names a file outside of its directory"));
        }
        if sums.insert(name.to_owned(), sum).is_some_and(|other| other != sum) {
            return Err(format!("it gives two digests for {name}"));
        }
    }
    Ok(sums)
}

fn unhex(digits: &str) -> Option<Sum> {
    // A sign is no digit, though Rust's numbers may have one.
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
        Flaw::Truncated { expected, found } => format!("it is cut off: {found} bytes of at least {expected}"),
    }
}

/// What users call such a machine.
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

    const ANY: Requirements<'_> = Requirements { runs: |_| false, host: &ARCHES[0], is_static: false };

    /// The row that this program is of.
    fn own() -> &'static Arch {
        named(std::env::consts::ARCH).next().unwrap()
    }

    /// What this very program fulfils.
    fn ours() -> Requirements<'static> {
        Requirements { runs: |machine| machine == own().machine_bytes(), host: own(), is_static: false }
    }

    #[test]
    fn the_suffix_asked_for_is_first_then_static_then_none() {
        let d = dir("find");
        for name in ["qemu-arm", "qemu-arm-static", "qemu-arm-x", "qemu-mips-static", "qemu-mips", "qemu-ppc"]
        {
            std::fs::write(d.join(name), "").unwrap();
        }
        let s = EmulatorDir::open(&d).unwrap();
        for (emulator, suffix, found) in [
            ("arm", "", Some("qemu-arm")),
            ("arm", "-static", Some("qemu-arm-static")),
            ("arm", "-x", Some("qemu-arm-x")),
            ("mips", "-x", Some("qemu-mips-static")),
            ("ppc", "-static", Some("qemu-ppc")),
            ("ppc", "-x", Some("qemu-ppc")),
            ("sh4", "-static", None),
        ] {
            assert_eq!(s.find(emulator, "", suffix).as_deref(), found, "{emulator}{suffix}");
            assert_eq!(s.find(emulator, "my-", suffix), None, "my-{emulator}{suffix}");
        }
        let all = |suffix| s.emulators("", suffix).collect::<Vec<_>>();
        assert_eq!(all("-static"), ["qemu-arm-static", "qemu-mips-static", "qemu-ppc"]);
        assert_eq!(all(""), ["qemu-arm", "qemu-mips", "qemu-ppc"]);
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn other_tools_of_qemu_are_no_emulators() {
        let d = dir("tools");
        for name in
            "img system-x86_64 system-arm nbd io storage-daemon ga bridge-helper keymap armx".split(' ')
        {
            std::fs::write(d.join(format!("qemu-{name}")), "").unwrap();
            std::fs::write(d.join(format!("qemu-{name}-static")), "").unwrap();
        }
        assert!(!EmulatorDir::open(&d).unwrap().has_any("", "-static"));
        std::fs::write(d.join("my-qemu-i386"), "").unwrap();
        let s = EmulatorDir::open(&d).unwrap();
        assert!(!s.has_any("", "-static") && s.has_any("my-", "-static"));
        assert_eq!(s.emulators("my-", "").collect::<Vec<_>>(), ["my-qemu-i386"]);
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
        let s = EmulatorDir::open(&d).unwrap();
        assert_eq!(hex(&s.check("qemu-a", None, ours()).unwrap().sum.unwrap()), sum);
        assert_eq!(s.check_digest("qemu-a").unwrap(), bytes.len() as u64);
        assert_eq!(s.listed().collect::<Vec<_>>(), ["qemu-a"]);
        let refused = |demands, name: &str| s.check(name, None, demands).unwrap_err().to_string();
        assert!(refused(ours(), "qemu-b").contains("does not list it"));
        assert!(refused(ANY, "qemu-a").contains("is a program for"));
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(d.join("qemu-a"), &bytes).unwrap();
        assert!(refused(ours(), "qemu-a").contains("its sha256 is"));
        assert!(s.check_digest("qemu-a").unwrap_err().to_string().contains("its sha256 is"));
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_write_after_the_check_is_seen_and_another_mode_is_none() {
        let d = dir("stamp");
        let path = d.join("qemu-arm");
        std::fs::copy("/proc/self/exe", &path).unwrap();
        let check = || EmulatorDir::open(&d).unwrap().check("qemu-arm", None, ours()).unwrap();
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
        // As long as before, and as old.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"?", last).unwrap();
        file.set_modified(listed.metadata.modified().unwrap()).unwrap();
        assert!(!listed.unchanged().unwrap());
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn what_changes_while_it_is_read_is_refused() {
        let d = dir("racing");
        let path = d.join("qemu-arm");
        std::fs::write(&path, "one").unwrap();
        let s = EmulatorDir::open(&d).unwrap();
        let (mut file, before) = s.open_file("qemu-arm").unwrap();
        assert_eq!(s.compare("qemu-arm", &mut file, &before), Ok(None));
        std::fs::write(&path, "longer").unwrap();
        let error = s.compare("qemu-arm", &mut file, &before).unwrap_err();
        assert!(error.to_string().contains("it changed while it was read"), "{error}");
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_real_path_is_where_the_file_is_after_all_links() {
        let d = dir("links");
        let real = d.canonicalize().unwrap();
        std::fs::create_dir_all(d.join("in")).unwrap();
        for name in ["in/qemu-arm", "elsewhere"] {
            std::fs::write(d.join(name), "").unwrap();
        }
        for (to, link) in [("qemu-arm", "in/qemu-armeb"), ("../elsewhere", "in/qemu-mips"), ("in", "link")] {
            std::os::unix::fs::symlink(to, d.join(link)).unwrap();
        }
        let of = |name: &str| EmulatorDir::open(&d.join("link")).unwrap().real_path(name);
        for (name, path) in
            [("qemu-arm", "in/qemu-arm"), ("qemu-armeb", "in/qemu-arm"), ("qemu-mips", "elsewhere")]
        {
            assert_eq!(of(name).unwrap(), real.join(path), "{name}");
        }
        assert!(of("qemu-ppc").is_err());
        std::fs::write(d.join("in").join(SUMS), "").unwrap();
        assert_eq!(of("qemu-armeb").unwrap(), real.join("in/qemu-arm"));
        assert!(of("qemu-mips").unwrap_err().to_string().contains("outside of its directory"));
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let d = dir("fifo");
        nix::unistd::mkfifo(&d.join("qemu-arm"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let s = EmulatorDir::open(&d).unwrap();
        assert!(
            s.check("qemu-arm", None, ANY).unwrap_err().to_string().ends_with("it is not a regular file")
        );
        std::fs::remove_dir_all(d).unwrap();
    }

    #[test]
    fn sums_are_those_of_sha256sum_and_nothing_else() {
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let of = |text: &str| parse_sums(text).map(|m| m.into_keys().collect::<Vec<_>>());
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

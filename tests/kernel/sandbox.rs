//! A private place for each test: own user, mount and PID namespaces, and with the first a binfmt_misc of its own. It needs no
//! root, changes nothing on the host, and ends with the test.
//!
//! `QUS_TEST_HOST=s390x` (any of manifests/hosts) has the entrypoint that scripts/build-entrypoint has built for that host tested
//! instead of cargo's. Where this machine can't run it, its QEMU is executed by name, without a handler; all else in
//! the sandbox stays as it is. What can't pass so is in the file `left-out` beside this one.
//!
//! Where something is missing, the test is skipped and says so on stderr; where `CI` is set, that is a failure.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use qus::arch::named;

use crate::transcript::Transcript;

/// One test's place.
pub(crate) struct Sandbox {
    holder: Child,
    pid: String,
    /// Seconds that one command may take.
    patience: u32,
    transcript: Transcript,
}

/// Who exists in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Users {
    /// Root alone, who is the user that runs the tests.
    Root,
    /// The first 65536, who are the same outside.
    Many,
}

/// Waits until the users are mapped, and then executes the rest as root.
const ONCE_MAPPED: &str = r#"until read -r _ </proc/self/gid_map; do sleep 0.01; done; exec "$0" "$@""#;

impl Sandbox {
    /// A new one, with the image's layout: the emulators in /qus/bin, and /qus/anchor. No binfmt_misc is mounted in it.
    pub(crate) fn new() -> Option<Self> {
        Self::of(tested(), None, Users::Root)
    }

    /// The same, with the entrypoint as it is in the image: static, with the system calls of another C library.
    #[allow(dead_code)] // for tests/kernel
    pub(crate) fn with_static_entrypoint() -> Option<Self> {
        Self::of(Entrypoint::built_for(&host().unwrap_or("amd64".to_owned())), None, Users::Root)
    }

    /// The same, with other users in it than root. To make that, one must be root.
    #[allow(dead_code)] // for tests/truth
    pub(crate) fn with_many_users() -> Option<Self> {
        Self::of(tested(), None, Users::Many)
    }

    /// The same, with the arm64 entrypoint and its emulators in /arm64v8.
    pub(crate) fn with_arm64_entrypoint() -> Option<Self> {
        let made_by = "scripts/build-entrypoint arm64v8; scripts/fetch-emulators sid arm64v8";
        let found = directory("QUS_TEST_ARM64", "target/dist/arm64v8", made_by).and_then(|dir| {
            let is_complete = dir.join("qus").is_file() && dir.join("sid/bin").is_dir();
            match is_complete {
                true if is_current(&dir.join("qus")) => Ok(dir),
                true => Err(format!("{} is older than the source: {made_by}", dir.display())),
                false => Err(format!("{} is incomplete: {made_by}", dir.display())),
            }
        });
        let dir = found.inspect_err(|why| skip(why)).ok()?;
        Self::of(tested(), Some(&dir), Users::Root)
    }

    fn of(entrypoint: Result<Entrypoint, String>, arm64: Option<&Path>, users: Users) -> Option<Self> {
        if let Some(why) = left_out() {
            tell(&format!("LEFT OUT {}: {why}", test_name()));
            return None;
        }
        entrypoint.and_then(|e| Self::start(&e, arm64, users)).inspect_err(|why| skip(why)).ok()
    }

    fn start(entrypoint: &Entrypoint, arm64: Option<&Path>, users: Users) -> Result<Self, String> {
        if std::env::consts::ARCH != "x86_64" {
            return Err("the transcripts are those of an x86_64 host".to_owned());
        }
        let emulators = directory(
            "QUS_TEST_EMULATORS",
            "target/dist/amd64/sid/bin",
            "scripts/fetch-emulators sid amd64",
        )?;
        let foreign = directory("QUS_TEST_FOREIGN", "target/foreign", "scripts/internal/fetch-programs")?;
        // `unshare` ends its child when it is ended, and the PID namespace all that is in it.
        let mut holder = Command::new("unshare")
            .arg("--user")
            .args((users == Users::Root).then_some("--map-root-user"))
            .args(["--mount", "--propagation=private", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", ONCE_MAPPED, "sh", "-c", include_str!("sandbox.sh"), "sandbox"])
            .args([env!("CARGO_TARGET_TMPDIR").as_ref(), &*entrypoint.file, &emulators, &foreign])
            .arg(&entrypoint.by)
            .args(arm64)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot execute unshare: {e}"))?;
        if users == Users::Many {
            map_many_users(&holder).inspect_err(|_| drop(holder.kill().and_then(|()| holder.wait())))?;
        }
        let mut pid = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        if pid.is_empty() {
            let mut why = String::new();
            holder.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            let _ = holder.wait();
            return Err(format!("no private namespaces with a binfmt_misc here: {}", why.trim()));
        }
        let patience = if entrypoint.by.is_empty() { 60 } else { 300 };
        Ok(Self { holder, pid: pid.trim().to_owned(), patience, transcript: Transcript::default() })
    }

    /// A step of the test: its commands and what they print become part of the transcript.
    pub(crate) fn step(&mut self, script: &str) {
        let output = self.run(script);
        self.transcript.add(script, &output);
        if must_fail() && self.transcript.is_lost("kernel") {
            self.compare();
        }
    }

    /// Prepares something, or asks; what it prints to stdout is the answer. It must succeed.
    pub(crate) fn quietly(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `script` inside. If something still holds its output when its time is over (what `timeout` ends may leave processes of
    /// namespaces of their own), all of the sandbox is ended.
    pub(crate) fn run(&self, script: &str) -> Output {
        let limit = Duration::from_secs(u64::from(self.patience) + 10);
        let holder = Pid::from_raw(self.holder.id().cast_signed());
        let (ended, awaited) = mpsc::channel::<()>();
        let is_late = std::thread::spawn(move || {
            let is_late = awaited.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            is_late && kill(holder, Signal::SIGKILL).is_ok()
        });
        let output = self.enter(script).output().unwrap();
        drop(ended);
        assert!(!is_late.join().unwrap(), "{script}\nprocesses of it were there after {limit:?}\n{output:?}");
        output
    }

    /// A command that runs `script` inside.
    pub(crate) fn enter(&self, script: &str) -> Command {
        let mut command = Command::new("timeout");
        command
            .args([
                &self.patience.to_string(),
                "nsenter",
                "--target",
                &self.pid,
                "--user",
                "--mount",
                "--pid",
                "--preserve-credentials",
            ])
            .args(["sh", "-c", script])
            .env_clear()
            .env("PATH", "/path:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Compares what all steps printed with the golden file of this test.
    pub(crate) fn compare(&self) {
        self.transcript.compare("kernel", "");
    }

    /// The same, for one of several golden files of this test.
    pub(crate) fn compare_part(&self, part: &str) {
        self.transcript.compare("kernel", part);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let ended = self.holder.wait().unwrap();
        assert!(ended.success() || std::thread::panicking(), "handlers may be left, for good: {ended}");
    }
}

/// The `qus` of a sandbox.
struct Entrypoint {
    file: PathBuf,
    /// The emulator that runs it and its options; nothing, where this machine does.
    by: String,
}

impl Entrypoint {
    /// The one that scripts/build-entrypoint has built for a host.
    fn built_for(host: &str) -> Result<Self, String> {
        let made_by = format!("scripts/build-entrypoint {host}");
        let file = directory("QUS_TEST_STATIC", &format!("target/dist/{host}"), &made_by)?.join("qus");
        let arch = named(host).next().ok_or_else(|| format!("there is no host {host}"))?;
        if !is_current(&file) {
            return Err(format!("{} is older than the source: {made_by}", file.display()));
        }
        let mut by = String::new();
        if Some(arch.family) != named(std::env::consts::ARCH).next().map(|a| a.family) {
            by = format!("qemu-{}-static", arch.emulator);
        }
        if host == "arm32v6" {
            by.push_str(" -cpu arm1176"); // the first Raspberry Pi's
        }
        Ok(Self { file, by })
    }
}

/// Whose entrypoint is tested, if it isn't cargo's.
fn host() -> Option<String> {
    std::env::var("QUS_TEST_HOST").ok()
}

/// What is tested.
fn tested() -> Result<Entrypoint, String> {
    let cargos = || Ok(Entrypoint { file: env!("CARGO_BIN_EXE_qus").into(), by: String::new() });
    host().map_or_else(cargos, |host| Entrypoint::built_for(&host))
}

/// Is what is tested another host's, emulated? Then all takes ten times as long.
#[allow(dead_code)] // for tests/kernel
pub(crate) fn is_emulated() -> bool {
    tested().is_ok_and(|e| !e.by.is_empty())
}

/// The rows of the file `left-out`: hosts, a test, and why it can't pass there.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let rows = include_str!("left-out").lines().filter(|l| !l.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<_> = row.splitn(3, '\t').collect();
        let [hosts, test, why] = columns[..] else { panic!("left-out: three columns, not '{row}'") };
        (hosts, test, why)
    })
}

/// `QUS_TEST_LEFT_OUT=run` runs tests that are left out all the same; they must fail, and need not go on once they do.
fn must_fail() -> bool {
    std::env::var_os("QUS_TEST_LEFT_OUT").is_some()
}

/// Cause this test is left out, if it is.
fn left_out() -> Option<&'static str> {
    let host = host().filter(|_| !must_fail())?;
    let is_there = |hosts: &str| hosts.split(' ').any(|h| h == host || h == "emulated" && is_emulated());
    let test = test_name();
    rows().find(|(hosts, name, _)| *name == test && is_there(hosts)).map(|(_, _, why)| why)
}

/// Is it newer than each file of the source?
fn is_current(built: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified());
    let Ok(built) = changed(built) else { return false };
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(dir) = dirs.pop() {
        for item in std::fs::read_dir(dir).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if changed(&path).unwrap() > built {
                return false;
            }
        }
    }
    true
}

/// Maps users one to one. `unshare` leaves that to newuidmap, which refuses it to root.
fn map_many_users(holder: &Child) -> Result<(), String> {
    let proc = PathBuf::from(format!("/proc/{}", holder.id()));
    let namespace = |proc: &Path| std::fs::read_link(proc.join("ns/user"));
    let failed = |e: std::io::Error| format!("no namespace with several users here: {e} (it takes root)");
    let start = Instant::now();
    while namespace(&proc).map_err(failed)? == namespace(Path::new("/proc/self")).map_err(failed)? {
        if start.elapsed() > Duration::from_secs(10) {
            return Err("unshare makes no user namespace".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    std::fs::write(proc.join("uid_map"), "0 0 65536").map_err(failed)?;
    std::fs::write(proc.join("gid_map"), "0 0 65536").map_err(failed)
}

/// A directory of test material: where the environment says, or in the build output.
fn directory(variable: &str, usual: &str, made_by: &str) -> Result<PathBuf, String> {
    let dir = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(usual), PathBuf::from);
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(format!("no {}: {made_by} makes it, {variable} names another", dir.display()))
    }
}

fn test_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Past the test harness, which keeps quiet about tests that end well; at once, or a point of its progress comes in between.
pub(crate) fn tell(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// The tests that are left out for some host.
#[allow(dead_code)] // for tests/kernel
pub(crate) fn all_left_out() -> impl Iterator<Item = &'static str> {
    rows().map(|(_, test, _)| test)
}

/// Says that a test could not be run.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped: {why}");
    tell(&format!("SKIPPED {}: {why}", test_name()));
}

//! What the rounds are made of: processes beside each other, and looks at what is left.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, chdir, chroot};

/// Where others hold a mount, and other tools register.
pub(crate) const HELD: &str = "/mnt";

/// Where is looked, from a mount namespace that ends with the look.
const LOOK: &str = "/look";

/// What the kernel shows of each handler.
pub(crate) type Entries = BTreeMap<String, Vec<u8>>;

/// A process that was started.
pub(crate) struct Running(Child);

/// One that has ended.
pub(crate) struct Ended {
    /// Its exit code; none if it was ended by a signal.
    pub(crate) code: Option<i32>,
    /// What it has said.
    pub(crate) says: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    }

    pub(crate) fn wait(self) -> Ended {
        let output = self.0.wait_with_output().unwrap();
        // No entrypoint of ours is ended by itself: only a hold, which is told to, before it listens.
        assert!(matches!(output.status.signal(), None | Some(15)), "{output:?}");
        let text = [output.stdout, output.stderr].concat();
        Ended { code: output.status.code(), says: String::from_utf8_lossy(&text).into_owned() }
    }
}

impl Ended {
    pub(crate) fn is_good(&self) -> bool {
        self.code == Some(0)
    }

    /// Does its report (JSON) give this state for that target?
    pub(crate) fn has(&self, target: &str, state: &str) -> bool {
        let text: String = self.says.split_whitespace().collect();
        text.contains(&format!(r#""name":"{target}","state":"{state}""#))
    }
}

/// The entrypoint.
pub(crate) fn qus(args: &[&str]) -> Command {
    let mut command = Command::new("/path/qus");
    command.args(args);
    command
}

/// The same, in a mount namespace where `over` is what `dir` has.
pub(crate) fn qus_with(dir: &str, over: &str, args: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-c"]);
    command.args([&format!(r#"mount --bind {dir} {over} && exec /path/qus "$@""#), "sh"]);
    command.args(args);
    command
}

/// The same command, where the kernel refuses open_tree as a container's filter of system calls does.
#[allow(unsafe_code)]
pub(crate) fn without_open_tree(mut command: Command) -> Command {
    // What the filter does: take the number of the system call, and answer ENOSYS to that one.
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k };
    let number = u32::try_from(libc::SYS_open_tree).unwrap();
    let refusal = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refusal),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: both calls change only the process that calls, a child before its exec. The program has as many steps as it
        // says, all of them in `filter`, which the closure owns, and the kernel copies them before the call returns.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec it makes two system calls and reads errno; it takes no lock and no memory.
    unsafe { command.pre_exec(install) };
    command
}

/// Does something in a mount namespace that ends with it.
fn apart<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .unwrap();
            what()
        });
        thread.join().unwrap()
    })
}

fn mount_at(dir: &str) {
    mount(Some("b"), dir, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
}

fn read(dir: &str) -> Entries {
    let items = std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let entries = items.filter(|path| !path.ends_with("register") && !path.ends_with("status"));
    entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

/// What is registered.
pub(crate) fn entries() -> Entries {
    apart(|| {
        mount_at(LOOK);
        read(LOOK)
    })
}

/// Removes all handlers, and the mount. Whatever is left would still be there in the next round.
pub(crate) fn clear(is_held: bool) {
    apart(|| {
        mount_at(LOOK);
        for name in read(LOOK).keys() {
            // Where one took others along, that was noted.
            let _ = std::fs::write(Path::new(LOOK).join(name), "-1");
        }
        assert!(read(LOOK).is_empty());
    });
    if is_held {
        umount(HELD).unwrap();
    }
}

/// Mounts it at the usual place, as most hosts do. qus looks elsewhere.
pub(crate) fn hold() {
    mount_at(HELD);
}

/// Registers a handler as other tools do; false if the kernel refuses (there is one of that name).
pub(crate) fn register(line: &str) -> bool {
    std::fs::write(Path::new(HELD).join("register"), line.as_bytes()).is_ok()
}

/// Removes one of that name as other tools do, whosever it is; false if there is none.
pub(crate) fn unregister(name: &str) -> bool {
    let entry = Path::new(HELD).join(name);
    entry.exists() && std::fs::write(entry, "-1").is_ok()
}

/// Does a program of that target run in this root?
pub(crate) fn runs_here(target: &str) -> bool {
    runs_in("/", &format!("/foreign/busybox-{target}"))
}

/// Does it run in a root that has nothing but such programs, as in a container?
pub(crate) fn runs_elsewhere(target: &str) -> bool {
    runs_in("/new", &format!("/busybox-{target}"))
}

fn runs_in(root: &str, program: &str) -> bool {
    let mut command = Command::new(program);
    // Opened here: that root has no devices.
    let nothing = || File::options().read(true).write(true).open("/dev/null").unwrap();
    command.arg("true").stdin(nothing()).stdout(nothing()).stderr(nothing());
    apart(|| {
        chroot(root).unwrap();
        chdir("/").unwrap();
        command.status().is_ok_and(|s| s.success())
    })
}

/// Waits so long that rounds which follow one another differ, evenly within `most` milliseconds.
pub(crate) fn pause(round: usize, most: u64) {
    // Steps of the golden ratio never come near to each other.
    let part = u64::try_from(round * 618 % 1000).unwrap();
    std::thread::sleep(Duration::from_micros(part * most));
}

/// Nothing of a round may be left but what was there before it.
pub(crate) fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
}

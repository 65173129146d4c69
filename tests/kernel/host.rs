//! On the host itself, where mounts stay. A sandbox isn't a host, but its first process is in the mount namespace of the test, as on a
//! host, and strace makes the kernel report the initial PID namespace.

use crate::sandbox::Sandbox;

/// `on-host COMMAND…`: the inode of the PID namespace is that of the initial one (`stx_ino` is the 32nd to 39th byte of
/// statx(2)'s answer). It is a directory by that answer, for with 32-bit musl fstat(3) is a statx, too, and gets the same answer for
/// each path that is named in `$strace`, where more of strace's options are.
const ON_HOST: &str = "cat >/path/on-host <<'SH'
#!/bin/sh
answer=ff0f000000100000000000000000000001000000000000000000000024410000fcffffef00000000
exec strace -qq -o /dev/null -e trace=statx,umount2 -P /proc/self/ns/pid -e inject=statx:poke_exit=@arg5=$answer $strace \"$@\"
SH
chmod +x /path/on-host; rmdir /qus/anchor";

/// The host's binfmt_misc is unmounted two seconds after qus has decided to.
const SLOW_UMOUNT: &str = "strace='-P /proc/sys/fs/binfmt_misc -e inject=umount2:delay_enter=2s'";

const MOUNTS: &str = "grep -c ' /proc/sys/fs/binfmt_misc ' /proc/self/mountinfo";

fn host() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    s.quietly(ON_HOST);
    Some(s)
}

#[test]
fn a_host_without_a_mount_gets_one_if_something_was_registered() {
    let Some(mut s) = host() else { return };
    s.step("on-host qus list");
    s.step("on-host qus -s -- -p -Q /not/here arm");
    s.step(&format!(
        "cp -r /qus/bin /bad; echo >/bad/SHA256SUMS; on-host qus -s -- -p -Q /bad arm; {MOUNTS}"
    ));
    s.step(&format!("on-host qus -s -- -p arm; {MOUNTS}"));
    s.step("/foreign/busybox-arm uname -m");
    s.step(&format!("on-host qus -- -r; {MOUNTS}"));
    s.compare();
}

#[test]
fn a_user_namespace_mounts_nothing_in_the_hosts_mount_namespace() {
    let Some(mut s) = host() else { return };
    s.step("unshare --user --map-root-user on-host qus install --dry-run arm | head -n 1");
    s.step("unshare --user --map-root-user sh -c 'on-host qus install arm; clean'");
    s.compare();
}

#[test]
fn doctor_reports_the_hosts_mount_not_its_own() {
    let Some(mut s) = host() else { return };
    s.step("on-host qus doctor | grep -A 1 binfmt_misc");
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    s.step("on-host qus doctor | grep -A 1 binfmt_misc");
    s.compare();
}

#[test]
fn doctors_advice_on_systemd_binfmt_brings_handlers_back() {
    let Some(mut s) = host() else { return };
    if !std::path::Path::new("/usr/lib/systemd/systemd-binfmt").exists() {
        return crate::sandbox::skip("no systemd-binfmt: package systemd");
    }
    s.quietly(
        "mkdir -p /run/systemd/system /etc/binfmt.d; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        [ ! -d /usr/lib/binfmt.d ] || mount -t tmpfs empty /usr/lib/binfmt.d
        cat >/path/advice <<'SH'
#!/bin/sh
on-host qus doctor | sed -n '/ systemd: /,/→/p' | sed 's/--engine podman //'
SH
        chmod +x /path/advice",
    );
    let restart = "/usr/lib/systemd/systemd-binfmt; ls /proc/sys/fs/binfmt_misc";
    s.step("on-host qus install arm s390x; advice");
    s.quietly("echo ':other:E::other::/bin/true:' >/etc/binfmt.d/other.conf");
    s.step("advice");
    s.step(restart);
    s.step("on-host qus install arm s390x >/dev/null; $(advice | sed -n 's/.*→ //p')");
    s.step(restart);
    s.step("/foreign/busybox-arm uname -m; /foreign/busybox-s390x uname -m; advice");
    // As a directory may be named, and a handler of the same programs.
    s.step("rm /etc/binfmt.d/qemu-*; mkdir '/a b'; cp /qus/bin/qemu-arm-static '/a b'; on-host qus install --replace --path '/a b' arm >/dev/null; on-host qus remove s390x; advice");
    s.step("sh -c \"$(advice | sed -n 's/.*→ //p')\"; cat /etc/binfmt.d/qemu-*; advice | head -n 1");
    s.step("rm /etc/binfmt.d/qemu-*; on-host qus remove arm; cp /qus/bin/qemu-arm-static /own-arm; printf %s \"$(qus export binfmt.d --path '/a b' --force arm)\" | sed 's|:qemu-arm:|:qemu-armhf:|; s|/a b/qemu-arm-static|/own-arm|' >/proc/sys/fs/binfmt_misc/register; advice");
    s.step("on-host qus install arm s390x >/dev/null; >/etc/binfmt.d/qemu-arm.conf; >/etc/binfmt.d/qemu-s390x.conf; advice | head -n 1; echo -1 >/proc/sys/fs/binfmt_misc/qemu-armhf");
    // What an image has brought, the host has no file for.
    s.step("rm /etc/binfmt.d/qemu-*; mkdir /image; cp /qus/bin/qemu-arm-static /image; on-host qus install --replace --path /image arm >/dev/null; rm -r /image; advice");
    s.quietly("mkdir /image");
    // Each handler comes back with its flags.
    let shown = "cd /proc/sys/fs/binfmt_misc; grep -E 'interpreter|flags' qemu-*";
    s.quietly("on-host qus remove; on-host qus install s390x; on-host qus install --credentials yes --preserve-argv0 no arm; on-host qus install --persistent no aarch64");
    s.step(&format!("advice; {shown}"));
    s.step(&format!(
        "sh -c \"$(advice | sed -n 's/.*→ //p')\"; {restart} >/dev/null; {shown}; advice | head -n 1"
    ));
    s.quietly(
        "rm /etc/binfmt.d/qemu-*; mkdir -p /etc/systemd/system; cp /qus/bin/qemu-riscv64-static /image",
    );
    s.step("on-host qus install --path /image --credentials yes riscv64; rm -r /image; advice");
    s.step("sh -c \"$(advice | sed -n 's/systemctl/: &/; s/.*→ //p')\"; grep ^Exec /etc/systemd/system/qus.service");
    s.step("mkdir -p /etc/systemd/system/systemd-binfmt.service.wants; >/etc/systemd/system/systemd-binfmt.service.wants/qus.service; advice");
    s.compare();
}

/// Flag O: its programs need not be readable.
#[test]
fn a_flag_that_qus_has_no_option_for_is_said_to_be_lost() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mkdir -p /run/systemd/system /etc/binfmt.d; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        [ ! -d /usr/lib/binfmt.d ] || mount -t tmpfs empty /usr/lib/binfmt.d
        mkdir /p; cp /foreign/busybox-arm /p/uname; chmod 0111 /p/uname
        echo 'setpriv --bounding-set=-dac_override,-dac_read_search /p/uname -m' >/path/unreadable; chmod +x /path/unreadable",
    );
    for flags in ["O", "OPF"] {
        s.quietly(&format!(
            "on-host qus remove; cp /qus/bin/qemu-arm-static /their-arm
            printf %s \"$(qus export binfmt.d --path /qus/bin arm)\" | sed 's|:[^:]*:PF$|:/their-arm:{flags}|' >/proc/sys/fs/binfmt_misc/register"
        ));
        s.step("unreadable; on-host qus doctor | grep -A 1 systemd | sed 's/--engine podman //'");
        s.step("on-host qus install arm; unreadable");
    }
    s.compare();
}

#[test]
fn a_dry_run_sees_that_an_emulator_is_being_written() {
    let Some(mut s) = host() else { return };
    s.quietly("mkdir /own /bad; cp /qus/bin/qemu-arm-static /own; cp /bin/false /bad/qemu-arm-static");
    let mount = ["", "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc"];
    for mount in mount {
        s.quietly(mount);
        for run in ["--dry-run", "--dry-run --no-prove", "--no-prove"] {
            s.step(&format!("exec 3>>/own/qemu-arm-static; on-host qus install {run} --path /own arm"));
        }
        // Without flag F, too, it is tried: here are the paths that it names.
        for run in ["--dry-run", ""] {
            s.step(&format!("on-host qus install {run} --persistent no --path /bad arm"));
        }
    }
    s.compare();
}

#[test]
fn doctor_foresees_that_handlers_would_not_last() {
    let Some(mut s) = Sandbox::new() else { return };
    let without = "strace -f -qq -o /dev/null -e trace=open_tree -e inject=open_tree:error=ENOSYS";
    s.step(&format!("{without} qus doctor | grep -A 1 keeping"));
    s.step(&format!("{without} qus install arm"));
    s.step("qus doctor | grep keeping");
    s.quietly("mount -t binfmt_misc b /mnt");
    s.step(&format!("{without} qus doctor | grep -A 1 keeping"));
    s.step(&format!("{without} qus install arm"));
    s.compare();
}

#[test]
fn doctor_claims_no_lack_of_privileges_that_it_cannot_see() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(WITHOUT_NAMESPACES);
    s.step(
        "strace --quiet=all -o /dev/null -e trace=open,openat -P /proc/self/status -e inject=open,openat:error=EACCES \
         qus doctor | grep -A 1 privileges",
    );
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc");
    let user = "setpriv --bounding-set=-sys_admin";
    s.step(&format!("{user} without qus install arm; {user} without qus doctor | grep -A 1 privileges"));
    s.step(&format!("{user} without qus remove arm"));
    s.compare();
}

/// What may not be listed was not forbidden by what confines qus.
#[test]
fn doctor_blames_a_security_module_for_mounts_alone() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; echo 'docker-default (enforce)' >/label");
    for (call, path) in [("getdents64", "/proc/sys/fs/binfmt_misc"), ("mount", "binfmt_misc")] {
        s.step(&format!(
            "sh -c 'mount --bind /label /proc/$$/attr/current
            exec strace -D --quiet=all -o /dev/null -e trace={call} -P {path} -e inject={call}:error=EACCES qus doctor' | \
            grep -A 1 -E 'AppArmor|binfmt_misc'"
        ));
        s.quietly("umount /proc/sys/fs/binfmt_misc || :");
    }
    s.compare();
}

#[test]
fn a_hidden_first_process_is_not_said_to_be_a_hosts() {
    let Some(mut s) = Sandbox::with_many_users() else { return };
    s.quietly(WITHOUT_NAMESPACES);
    for hidden in [0, 2] {
        s.quietly(&format!("mount -o remount,hidepid={hidden} /proc"));
        s.step("setpriv --reuid 1000 --regid 1000 --clear-groups without qus doctor | grep place");
    }
    s.compare();
}

#[test]
fn a_sysctl_that_forbids_user_namespaces_is_named() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly("echo 0 >/proc/sys/user/max_user_namespaces");
    s.step("qus doctor | grep -A 1 namespaces");
    s.step("qus run --targets arm -- true");
    s.compare();
}

#[test]
fn the_host_is_known_without_cap_sys_ptrace() {
    let Some(mut s) = host() else { return };
    // As units with a bounding set, and as ordinary users.
    let user = "setpriv --bounding-set=-sys_ptrace";
    s.step(&format!("{user} readlink /proc/1/ns/mnt"));
    s.step(&format!("{user} on-host qus doctor | grep -A 1 binfmt_misc"));
    s.step(&format!("{user} on-host qus install arm; {MOUNTS}"));
    s.step(&format!("{user} on-host qus doctor | grep -A 1 binfmt_misc"));
    s.step(&format!("unshare --mount {user} on-host qus doctor | grep -A 1 binfmt_misc"));
    s.compare();
}

#[test]
fn a_handler_by_path_stays_if_its_successor_fails() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mkdir /bad; cp /bin/false /bad/qemu-arm-static",
    );
    s.step("on-host qus -s -- arm");
    s.step("on-host qus -s -- -Q /bad arm");
    s.step("/foreign/busybox-arm uname -m; ls /proc/sys/fs/binfmt_misc");
    s.step("cp /qus/bin/qemu-arm-static /bad/qemu-arm; on-host qus -- -Q /bad arm");
    s.step("/foreign/busybox-arm uname -m; ls /proc/sys/fs/binfmt_misc");
    s.compare();
}

#[test]
fn an_emulator_that_is_still_being_written_is_to_be_waited_for() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mkdir /own; cp /qus/bin/qemu-arm-static /own",
    );
    for run in ["--no-prove", "--dry-run", ""] {
        s.step(&format!("exec 9>>/own/qemu-arm-static; on-host qus install {run} --path /own arm"));
    }
    s.step("ls /proc/sys/fs/binfmt_misc");
    s.compare();
}

#[test]
fn handlers_of_another_tool_stay_when_a_run_fails() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "cp -r /qus/bin /bad; echo >/bad/SHA256SUMS
        cat >/path/concurrently <<'SH'
#!/bin/sh
await test -e /proc/sys/fs/binfmt_misc/register
sleep 1
echo ':jar:M::PK::/bin/true:' >/proc/sys/fs/binfmt_misc/register
SH
        chmod +x /path/concurrently",
    );
    s.step(&format!(
        "concurrently & {SLOW_UMOUNT} on-host qus -s -- -p -Q /bad arm; wait; {MOUNTS}; ls /proc/sys/fs/binfmt_misc"
    ));
    s.compare();
}

#[test]
fn hold_on_the_host_registers_only_the_emulator_that_it_tried() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mkdir /own; cp /qus/bin/qemu-arm-static /own; cp /own/qemu-arm-static /own/same; cp /bin/true /own/other
        mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; cd /proc/sys/fs/binfmt_misc
        on-host qus hold --path /own arm >/tmp/out 2>>/tmp/err & echo $! >/tmp/pid
        await -p $! grep '^they stay' /tmp/out",
    );
    let removed = "echo -1 >/proc/sys/fs/binfmt_misc/qemu-arm
        await grep 'another process' /tmp/err
        grep 'another process' /tmp/err; ls /proc/sys/fs/binfmt_misc; : >/tmp/err";
    s.step(&format!("mv /own/same /own/qemu-arm-static; {removed}"));
    s.step(&format!("mv /own/other /own/qemu-arm-static; {removed}"));
    s.step(
        "pid=$(cat /tmp/pid); kill -TERM $(cat /proc/$pid/task/$pid/children); ls /proc/sys/fs/binfmt_misc",
    );
    s.compare();
}

#[test]
fn hold_keeps_what_the_host_unmounts() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        on-host qus hold --clean arm >/tmp/out 2>/tmp/err & echo $! >/tmp/pid
        await -p $! grep '^they stay' /tmp/out",
    );
    s.step("umount /proc/sys/fs/binfmt_misc 2>&1; /foreign/busybox-arm uname -m");
    s.step("umount --lazy /proc/sys/fs/binfmt_misc; /foreign/busybox-arm uname -m");
    s.step(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; pid=$(cat /tmp/pid); kill -TERM $(cat /proc/$pid/task/$pid/children)
        await -p $pid false; ls /proc/sys/fs/binfmt_misc",
    );
    s.compare();
}

#[test]
fn what_comes_back_on_the_host_has_the_emulator_that_it_had() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mkdir /their
        qus export binfmt.d arm --path /qus/bin | sed 's|/qus/bin/.*|/their/arm:F|' >/their/rule
        cat >/path/while-held <<'SH'
#!/bin/sh
cd /proc/sys/fs/binfmt_misc
: >/tmp/out
cp /qus/bin/qemu-arm-static /their/arm
cat /their/rule >register
cat qemu-arm >/tmp/before
on-host qus hold --clean arm >/tmp/out 2>/tmp/err &
await -p $! grep '^they stay' /tmp/out
head -n 1 /tmp/out
eval \"$1\"
kill -TERM $(cat /proc/$!/task/$!/children)
wait $!
echo exit $?
tail -n 1 /tmp/err
cmp qemu-arm /tmp/before && /foreign/busybox-arm uname -m
echo -1 >qemu-arm
SH
        chmod +x /path/while-held",
    );
    s.step("while-held 'cp /bin/true /their/new; mv /their/new /their/arm'");
    s.step("while-held 'rm /their/arm'");
    s.compare();
}

#[test]
fn a_file_that_took_an_emulators_place_is_not_said_to_run() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mount -t binfmt_misc b /proc/sys/fs/binfmt_misc; mkdir /own; cp /qus/bin/qemu-arm-static /own
        (cd /own && sha256sum qemu-arm-static >SHA256SUMS)",
    );
    // Once it is tried, before it is registered.
    let slowly = "-P /proc/sys/fs/binfmt_misc/register -e trace=statx,umount2,write -e inject=write:delay_exit=2s:when=1";
    s.step(&format!(
        "strace='{slowly}' on-host qus install --path /own arm & await ls /proc/sys/fs/binfmt_misc/qemu-arm.new
        cp /bin/true /own/new; mv /own/new /own/qemu-arm-static; wait $!"
    ));
    s.step("ls /proc/sys/fs/binfmt_misc");
    s.compare();
}

#[test]
fn a_namespace_with_all_users_is_not_the_initial_one() {
    let Some(mut s) = Sandbox::new() else { return };
    // /proc/self/uid_map, as strace has it read, is that of the initial user namespace. The first read is all but the line's end.
    let all: String =
        format!("{:>10} {:>10} {:>10}", 0, 0, u32::MAX).bytes().map(|b| format!("{b:02x}")).collect();
    s.step(&format!(
        "strace -qqq -o /dev/null -e trace=read -P /proc/self/uid_map -e inject=read:poke_exit=@arg2={all}:when=1 \
         qus install arm 2>/dev/null"
    ));
    s.compare();
}

/// `without COMMAND…`: as a kernel that has none; so it is on its host.
const WITHOUT_NAMESPACES: &str = "cat >/path/without <<'SH'
#!/bin/sh
exec strace --quiet=all -o /dev/null -e trace=statx,openat -P /proc/self/ns/pid -P /proc/self/ns/user -P /proc/self/uid_map \
    -e inject=statx,openat:error=ENOENT \"$@\"
SH
        chmod +x /path/without; rmdir /qus/anchor";

#[test]
fn a_kernel_without_pid_and_user_namespaces_will_do() {
    let Some(mut s) = Sandbox::new() else { return };
    s.quietly(WITHOUT_NAMESPACES);
    for command in ["list", "install arm", "status", "remove"] {
        s.step(&format!("without qus {command}"));
    }
    s.compare();
}

/// What a user does where the host's binfmt_misc is an automount that nobody has looked at.
const BESIDE_AN_AUTOMOUNT: &str = "exec 2>&1; ls /proc/sys/fs/binfmt_misc >/dev/null 2>&1 && echo no automount
    \"$1\" install --quiet --path \"$2\" arm && \"$3\" uname -m
    \"$1\" list | grep -c qemu-arm
    \"$1\" remove --quiet arm && ! \"$3\" true 2>/dev/null && \"$1\" run --path \"$2\" --targets arm -- \"$3\" uname -m";

#[test]
fn an_automount_for_another_mount_namespace_is_no_obstacle() {
    let at = |path: &str| format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let emulators = std::env::var("QUS_TEST_EMULATORS").unwrap_or_else(|_| at("target/dist/amd64/sid/bin"));
    let foreign = std::env::var("QUS_TEST_FOREIGN").unwrap_or_else(|_| at("target/foreign"));
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation=private", &at("tests/kernel/automount")])
        .args(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", BESIDE_AN_AUTOMOUNT, "sh"])
        .args([env!("CARGO_BIN_EXE_qus"), &emulators, &format!("{foreign}/busybox-arm")])
        .output()
        .unwrap();
    if [Some(1), Some(99)].contains(&output.status.code()) && output.stdout.is_empty() {
        return crate::sandbox::skip(&format!("only root can mount an automount: {output:?}"));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "armv7l\n1\narmv7l\n", "{output:?}");
}

/// As NixOS names and registers its own, perhaps with flag `F`.
#[test]
fn a_handler_that_containers_cannot_use_is_noted() {
    let Some(mut s) = host() else { return };
    s.quietly(
        "mount -t binfmt_misc b /mnt; mount -t binfmt_misc b /proc/sys/fs/binfmt_misc
        mkdir /other; cp /foreign/busybox-arm /other; cp /qus/bin/qemu-arm-static /box",
    );
    for flags in ["P", "PF"] {
        s.quietly(&format!(
            "qus export binfmt.d arm --path /qus/bin | \
             sed 's/:qemu-arm:/:armv7l-linux:/; s|/qus/bin/.*|/box:{flags}|' >/mnt/register"
        ));
        s.step("on-host qus install arm; chroot /other /busybox-arm uname -m");
        s.step("on-host qus -s -- arm");
        s.step("on-host qus doctor | grep armv7l");
        s.quietly("echo -1 >/mnt/armv7l-linux");
    }
    s.compare();
}

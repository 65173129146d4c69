//! SELinux: the labels that containers may execute, as far as the kernel tells.

use std::fs::{File, OpenOptions, read_to_string};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::OnceLock;

use crate::sys;

/// The mount point of selinuxfs, which exists wherever SELinux is enabled.
pub(crate) const DIR: &str = "/sys/fs/selinux";

/// The domain that engines confine containers to. A file that it may execute without categories, containers of any may.
pub(crate) const CONTAINER: &str = "system_u:system_r:container_t:s0";

/// The domain of the host's users.
pub(crate) const USER: &str = "unconfined_u:unconfined_r:unconfined_t:s0";

/// Contexts that containers may execute, the most restricted first. Which of them exist depends on the policy.
const CONTEXTS: [&str; 2] =
    ["system_u:object_r:container_ro_file_t:s0", "system_u:object_r:container_file_t:s0"];

pub(crate) fn is_enabled() -> bool {
    static ENABLED: OnceLock<bool> = OnceLock::new();
    *ENABLED.get_or_init(|| Path::new(DIR).exists())
}

/// Is it enabled, and not seen to be permissive? In a user namespace that can't be seen.
fn may_enforce() -> bool {
    is_enabled() && !read_to_string(format!("{DIR}/enforce")).is_ok_and(|mode| mode.trim() == "0")
}

/// The contexts to try for what containers are to execute; none without SELinux.
pub(crate) fn contexts() -> &'static [&'static str] {
    if is_enabled() { &CONTEXTS } else { &[] }
}

/// The label of a file that confined containers may not execute, and so not use as an interpreter.
pub(crate) fn forbidden_label(file: &File) -> Option<String> {
    if !may_enforce() {
        return None;
    }
    let label = sys::label_of(file)?;
    // Where the kernel can't be asked, in a user namespace: another container has other categories.
    let has_categories = || label.split(':').nth(4).is_some();
    let is_allowed = match Path::new(DIR).join("access").exists() {
        true => allows(CONTAINER, &label, "file", &["read", "execute", "map"]).unwrap_or(true),
        false => !has_categories(),
    };
    (!is_allowed).then_some(label)
}

/// Does the policy forbid memory that is writable and executable, which every QEMU needs, to one of these domains?
pub(crate) fn forbids_execmem(domain: &str) -> bool {
    may_enforce() && allows(domain, domain, "process", &["execmem"]) == Some(false)
}

/// What allows it, in Debian's policy or in Fedora's.
pub(crate) const EXECMEM: &str =
    "`setsebool -P allow_execmem on` or `setsebool -P deny_execmem off`, as the policy has it";

/// Does the policy allow all these permissions? `None`: that could not be asked, or one of the labels is unknown to it.
fn allows(subject: &str, object: &str, class: &str, permissions: &[&str]) -> Option<bool> {
    let number =
        |file: &str| read_to_string(format!("{DIR}/class/{class}/{file}")).ok()?.trim().parse::<u32>().ok();
    let mut wanted = 0;
    for permission in permissions {
        wanted |= 1_u32.checked_shl(number(&format!("perms/{permission}"))?.checked_sub(1)?)?;
    }
    let mut access = OpenOptions::new().read(true).write(true).open(format!("{DIR}/access")).ok()?;
    access.write_all(format!("{subject} {object} {}", number("index")?).as_bytes()).ok()?;
    let mut answer = String::new();
    access.read_to_string(&mut answer).ok()?;
    let allowed = u32::from_str_radix(answer.split(' ').next()?, 16).ok()?;
    Some(allowed & wanted == wanted)
}

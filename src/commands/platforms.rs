//! An architecture that runs here → its OCI platforms.
//!
//! The variant of a platform says which instructions its programs may use; only variants that are sure to run are included.

use nix::sys::utsname::uname;

use crate::arch::Arch;

/// The platforms of an architecture, the one without a variant first.
pub(super) fn platforms(arch: &Arch, native: bool) -> Vec<&'static str> {
    let variants = match arch.name {
        "arm" if native && is_armv6() => return vec!["linux/arm/v6"],
        // QEMU's default processor has all of ARMv7.
        "arm" => return vec!["linux/arm/v7", "linux/arm/v6"],
        // QEMU's default processor has all of the plain platform; more isn't documented.
        "x86_64" if native => x86_64_variants(),
        _ => &[],
    };
    [arch.platforms.get(..1).unwrap_or_default(), variants].concat()
}

/// Does this processor lack ARMv7, as the Raspberry Pi Zero?
fn is_armv6() -> bool {
    uname().is_ok_and(|u| u.machine().to_string_lossy().starts_with("armv6"))
}

/// The micro-architecture levels of the x86-64 psABI (section 3.1.1) that this processor has.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn x86_64_variants() -> &'static [&'static str] {
    use std::arch::is_x86_feature_detected as has;
    let v2 = has!("sse3")
        && has!("ssse3")
        && has!("sse4.1")
        && has!("sse4.2")
        && has!("popcnt")
        && has!("cmpxchg16b");
    let v3 = v2
        && has!("avx")
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe");
    match (v2, v3) {
        (_, true) => &["linux/amd64/v2", "linux/amd64/v3"],
        (true, false) => &["linux/amd64/v2"],
        (false, false) => &[],
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
const fn x86_64_variants() -> &'static [&'static str] {
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::named;

    #[test]
    fn the_plain_platform_comes_first_then_variants_that_run() {
        let of = |name: &str, native| platforms(named(name).next().unwrap(), native);
        assert_eq!(of("aarch64", true), ["linux/arm64"]);
        assert_eq!(of("x86_64", false), ["linux/amd64"]);
        assert_eq!(of("x86_64", true)[0], "linux/amd64");
        assert_eq!(of("arm", false), ["linux/arm/v7", "linux/arm/v6"]);
        assert!(of("hppa", false).is_empty());
    }
}

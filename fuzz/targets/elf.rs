//! The first bytes of a file: any are an executable that makes sense, or a named flaw.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qus::arch::ARCHES;
use qus::elf::Executable;

fuzz_target!(|data: &[u8]| {
    // The length is what the file system says: it need not fit.
    for len in [data.len() as u64, 64, u64::MAX] {
        let Ok(exe) = Executable::read(data, len) else { continue };
        assert_eq!(&data[..4], b"\x7fELF");
        if let Some(loader) = exe.interpreter {
            assert!(loader.len() <= data.len() * 3, "longer than the file, with every byte replaced");
        }
    }
    // The kernel would ask one row of the table at most.
    assert!(ARCHES.iter().filter(|a| a.pattern.matches(data)).count() <= 1);
});

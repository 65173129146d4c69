//! SHA256SUMS: what is taken names files of that directory only, and means the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qus::emulators::parse_sums;

fuzz_target!(|text: &str| {
    let Ok(sums) = parse_sums(text) else { return };
    let mut again = String::new();
    for (name, sum) in &sums {
        assert!(!name.is_empty() && !name.contains(['/', '\n']), "{name:?}");
        let digits: String = sum.iter().map(|b| format!("{b:02x}")).collect();
        assert!(text.to_ascii_lowercase().contains(&digits), "{digits} is nowhere in it");
        again += &format!("{digits}  {name}\n");
    }
    assert!(parse_sums(&again).is_ok_and(|same| same == sums), "{again}");
});

//! Modules import only what is below them in the list of src/lib.rs, so that there is no circle; inside of `install/`, too.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::path::Path;

/// The files of a directory and all below it.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let items = std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().path());
    items.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The modules that a source names after `prefix`: `crate::sys` is `sys`, `use super::{a, b}` is both.
fn named<'a>(source: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for piece in source.split(prefix).skip(1) {
        match piece.strip_prefix('{') {
            Some(list) => found.extend(list.split('}').next().unwrap().split(',').map(|word| {
                let word = word.trim();
                word.split(|c| !is_word(c)).next().unwrap()
            })),
            None => found.push(piece.split(|c| !is_word(c)).next().unwrap()),
        }
    }
    found
}

/// What is in front of the tests of a file, without comments.
fn code(path: &Path) -> String {
    let source = std::fs::read_to_string(path).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The order that a module's head says: the names in the first column of its table.
fn order(head: &str) -> Vec<String> {
    let rows = head.lines().filter_map(|line| line.strip_prefix("//! | ")).filter(|row| row.contains('`'));
    let names = rows.flat_map(|row| {
        let names = row.split(" | ").next().unwrap().split(", ");
        names.map(|name| name.trim_matches(['[', ']', '`']).to_owned()).collect::<Vec<_>>()
    });
    names.collect()
}

#[test]
fn imports_only_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = order(&std::fs::read_to_string(src.join("lib.rs")).unwrap());
    let level = |module: &str| order.iter().position(|m| m == module);
    assert!(level("cli") < level("error") && level("error").is_some(), "{order:?}");
    let mut seen = 0;
    for path in files(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if path.extension().is_none_or(|e| e != "rs") || ["lib", "main"].contains(&module) {
            continue;
        }
        let at = level(module).unwrap_or_else(|| panic!("{module} is not in the list of src/lib.rs"));
        for name in named(&code(&path), "crate::") {
            let below = level(name).unwrap_or_else(|| panic!("{}: crate::{name}?", inside.display()));
            assert!(below > at || name == module, "{} imports {name}, which is above it", inside.display());
            // What can be asked is all that the command line knows, and what came of it all that reports know.
            let is_hidden = |of: &str, names: &[&str]| module == of && names.contains(&name);
            assert!(!is_hidden("cli", &["report", "commands", "outcome", "plan", "probe"]), "{name}");
            assert!(!is_hidden("report", &["commands", "request", "plan"]), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} imports");
}

#[test]
fn the_steps_of_an_install_have_no_cycle() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/install");
    let mut left: Vec<_> = files(&dir)
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let source = code(&path);
            let imports: Vec<_> = named(&source, "super::").into_iter().map(str::to_owned).collect();
            (name, imports)
        })
        .collect();
    let names: Vec<_> = left.iter().map(|(name, _)| name.clone()).collect();
    // A module that imports none of the rest is below them.
    while !left.is_empty() {
        let before = left.len();
        let still: Vec<_> = left.iter().map(|(name, _)| name.clone()).collect();
        left.retain(|(_, imports)| imports.iter().any(|i| names.contains(i) && still.contains(i)));
        assert!(left.len() < before, "a circle: {left:?}");
    }
}

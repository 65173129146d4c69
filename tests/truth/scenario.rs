//! Scenarios: read from text, and refused where they say something that would not be checked.

/// One row of the table.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    /// Its heading.
    pub(crate) group: String,
    /// What is given.
    pub(crate) title: String,
    /// What kind of place it needs.
    pub(crate) place: Place,
    /// Makes it so.
    pub(crate) set_up: String,
    /// What the user does.
    pub(crate) run: String,
    /// How that is shown, where it is long.
    pub(crate) shown: Option<String>,
    /// The exit code of it.
    pub(crate) exit: String,
    /// The targets that it asks for.
    pub(crate) asked: Vec<String>,
    /// Those whose programs run afterwards, of `asked` and of these.
    pub(crate) runs: Vec<String>,
    /// The names of the handlers that are there afterwards, without `qemu-`.
    pub(crate) left: String,
    /// The handlers, without `qemu-`, that are as they were, byte for byte.
    pub(crate) kept: Vec<String>,
    /// The exit code of the same command as a dry run, and why it is another one.
    pub(crate) dry: Option<(String, String)>,
    /// What else must be true afterwards: in words, and as a script.
    pub(crate) then: Vec<(String, String)>,
    /// Why the exit code doesn't say whether it works, where that is so.
    pub(crate) because: Option<String>,
}

/// A kind of sandbox.
#[derive(Debug, Default)]
pub(crate) enum Place {
    /// With root only.
    #[default]
    Usual,
    /// With other users.
    WithUsers,
    /// With the arm64 entrypoint and its emulators.
    WithArm64,
}

impl Scenario {
    /// The targets whose programs are executed to see whether they run.
    pub(crate) fn looked_at(&self) -> Vec<String> {
        let plain = |t: &String| t.split(' ').next().unwrap_or_default().to_owned();
        let mut all: Vec<_> = self.asked.iter().chain(&self.runs).map(plain).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Commands that change something, with their option for a dry run.
const DRY: [(&str, &str); 5] = [
    ("qus install ", "qus install --dry-run "),
    ("qus remove ", "qus remove --dry-run "),
    ("qus -s -- ", "qus -s -- -t "),
    ("qus -- -r", "qus -- -t -r"),
    ("qus -- ", "qus -- -t "),
];

impl Scenario {
    /// The same command as a dry run, where it is one that has such a run and nothing else.
    pub(crate) fn dry_run(&self) -> Option<String> {
        let rest =
            ["inside ", "within "].iter().find_map(|by| self.run.strip_prefix(by)).unwrap_or(&self.run);
        let is_plain = !self.run.contains(['\n', ';', '&', '|', '>', '$']) && !rest.contains(" -e ");
        let (words, dry) = DRY.iter().find(|(words, _)| rest.starts_with(words))?;
        is_plain.then(|| self.run.replacen(words, dry, 1))
    }
}

/// Reads them; the head of the file says how they are written.
pub(crate) fn read(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut group = String::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(title) = line.strip_prefix("= ") {
            title.clone_into(&mut group);
        } else if let Some(field) = line.strip_prefix('\t') {
            let scenario = scenarios.last_mut().unwrap_or_else(|| panic!("line {number}: no scenario yet"));
            let (name, value) = field.split_once(' ').unwrap_or((field, ""));
            set(scenario, name, value.trim()).unwrap_or_else(|why| panic!("line {number}: {why}"));
        } else {
            let title = line.to_owned();
            scenarios.push(Scenario { group: group.clone(), title, ..Scenario::default() });
        }
    }
    for scenario in &mut scenarios {
        scenario.runs.sort_unstable();
        assert!(!scenario.run.is_empty() && !scenario.exit.is_empty(), "incomplete: {}", scenario.title);
        assert!(
            scenario.dry.is_none() || scenario.dry_run().is_some(),
            "it has no dry run: {}",
            scenario.title
        );
    }
    scenarios
}

fn set(scenario: &mut Scenario, field: &str, value: &str) -> Result<(), String> {
    let lines = |all: &mut String| {
        if !all.is_empty() {
            all.push('\n');
        }
        all.push_str(value);
    };
    let mut names: Vec<_> = value.split_whitespace().map(str::to_owned).collect();
    names.sort_unstable();
    match field {
        "given" => lines(&mut scenario.set_up),
        "run" => lines(&mut scenario.run),
        "shown" => scenario.shown = Some(value.to_owned()),
        "exit" => value.clone_into(&mut scenario.exit),
        "asked" => scenario.asked = names,
        "runs" => scenario.runs = names,
        "here" => scenario.runs.extend(names.iter().map(|n| format!("{n} here"))),
        "kept" => scenario.kept = names,
        "dry" => {
            let (code, reason) = value.split_once(": ").ok_or("dry CODE: REASON")?;
            scenario.dry = Some((code.to_owned(), reason.to_owned()));
        }
        "left" => scenario.left = names.join(" "),
        "then" => {
            let (claim, script) = value.split_once(": ").ok_or("then CLAIM: SCRIPT")?;
            scenario.then.push((claim.to_owned(), script.to_owned()));
        }
        "because" => scenario.because = Some(value.to_owned()),
        "place" if value == "users" => scenario.place = Place::WithUsers,
        "place" if value == "arm64" => scenario.place = Place::WithArm64,
        _ => return Err(format!("there is no field '{field}'")),
    }
    Ok(())
}

//! Scenarios: read from text; the head of the file `scenarios` says how they are written.

/// The scenarios of a machine, and those who may want to run a program there.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The heading.
    pub(crate) heading: String,
    /// The row of tests/hosts/machines.
    pub(crate) machine: String,
    /// The places (prelude) that are looked at after each row.
    pub(crate) places: Vec<String>,
    /// Is it in the default set?
    pub(crate) by_default: bool,
    /// Each starts from the same state.
    pub(crate) scenarios: Vec<Scenario>,
}

/// What happens on one host, a row at a time.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    /// The rows, in order.
    pub(crate) rows: Vec<Row>,
}

/// A command and what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// What is the case, or happens.
    pub(crate) title: String,
    /// Makes it so.
    pub(crate) given: String,
    /// What somebody does, and how that is shown.
    pub(crate) run: String,
    /// The user.
    pub(crate) by: String,
    /// The exit code.
    pub(crate) exit: String,
    /// For whom it registers: exit code 0 if and only if programs run there afterwards.
    pub(crate) asked: Vec<String>,
    /// Where programs run afterwards.
    pub(crate) runs: Vec<String>,
    /// What is said, among other things.
    pub(crate) says: Vec<String>,
    /// What the next row's command has, and this one has said.
    pub(crate) helps: Option<String>,
}

/// Reads them.
pub(crate) fn read(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(heading) = line.strip_prefix("= ") {
            groups.push(Group { heading: heading.to_owned(), ..Group::default() });
        } else {
            let group = groups.last_mut().unwrap_or_else(|| panic!("line {number}: no heading yet"));
            add(group, line).unwrap_or_else(|why| panic!("line {number}: {why}"));
        }
    }
    for row in groups.iter().flat_map(|g| &g.scenarios).flat_map(|s| &s.rows) {
        assert!(!row.run.is_empty(), "no command: {}", row.title);
    }
    groups
}

fn add(group: &mut Group, line: &str) -> Result<(), String> {
    let Some(field) = line.strip_prefix('\t') else {
        group.scenarios.push(Scenario { rows: vec![Row::new(line)] });
        return Ok(());
    };
    let (name, value) = field.split_once(' ').unwrap_or((field, ""));
    let names = || value.split_whitespace().map(str::to_owned).collect();
    let Some(scenario) = group.scenarios.last_mut() else {
        match name {
            "machine" => value.clone_into(&mut group.machine),
            "places" => group.places = names(),
            "default" => group.by_default = true,
            _ => return Err(format!("'{name}' is not of a heading")),
        }
        return Ok(());
    };
    if name == "then" {
        scenario.rows.push(Row::new(value));
        return Ok(());
    }
    let row = scenario.rows.last_mut().ok_or("no row yet")?;
    let lines = |all: &mut String| *all = format!("{all}{value}\n");
    match name {
        "given" => lines(&mut row.given),
        "run" => value.clone_into(&mut row.run),
        "by" => value.clone_into(&mut row.by),
        "exit" => value.clone_into(&mut row.exit),
        "asked" => row.asked = if value.is_empty() { group.places.clone() } else { names() },
        "runs" => row.runs = if value == "all" { group.places.clone() } else { names() },
        "says" => row.says.push(value.to_owned()),
        "helps" => row.helps = Some(value.to_owned()),
        _ => return Err(format!("there is no field '{name}'")),
    }
    Ok(())
}

impl Row {
    fn new(title: &str) -> Row {
        Row { title: title.to_owned(), by: "root".to_owned(), exit: "0".to_owned(), ..Row::default() }
    }
}

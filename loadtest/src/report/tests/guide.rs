//! `docs/load-testing.md` against what there is: a name that is misspelt there costs somebody an evening.

use std::path::Path;

use crate::{
    report::figure,
    scenario::{Action, Scenario, is_known_figure},
};

const GUIDE: &str = include_str!("../../../../docs/load-testing.md");

/// What stands in backticks in the first cell of a table's rows, under the line that begins so.
fn first_cells(above: &str) -> Vec<&'static str> {
    let table = GUIDE.split(above).nth(1).expect("the line is there");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = rows.skip(2).filter_map(|row| row.split('|').nth(1));
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_scenario_is_there_with_its_length_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut named = first_cells("`klokke-load scenarios` lists");
    for file in folder.read_dir().expect("the folder is there").flatten() {
        let path = file.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        let place = named
            .iter()
            .position(|it| *it == name)
            .unwrap_or_else(|| panic!("{name} is not in the guide"));
        named.swap_remove(place);
        let minutes = Scenario::read(&path).expect("sound").lasts().as_secs_f64() / 60.0;
        let row = format!("| `{name}` | {minutes:.0} |");
        assert!(GUIDE.contains(&row), "the guide has no row {row}");
    }
    assert!(named.is_empty(), "not there any more: {named:?}");
}

#[test]
fn every_rate_and_every_kind_of_violation_is_there() {
    let rates = first_cells("(an open loop).");
    for action in Action::ALL {
        assert!(rates.contains(&action.name()), "{}", action.name());
    }
    assert_eq!(rates.len(), Action::ALL.len());
    let kinds = first_cells("each is held against what they should have seen.");
    assert_eq!(kinds.len(), 9, "{kinds:?}");
    for kind in kinds {
        assert!(figure::violation(kind).is_some(), "{kind}");
    }
}

#[test]
fn every_figure_of_the_guide_can_have_a_threshold() {
    let figures = first_cells("**Figures**, for thresholds");
    assert!(figures.len() > 20, "{figures:?}");
    for name in figures {
        let name = name
            .replace("ACTION", "message")
            .replace("ROLE", "guardian");
        let name = name
            .strip_suffix(".p")
            .map_or_else(|| name.clone(), |stem| format!("{stem}.p99_ms"));
        assert!(is_known_figure(&name), "{name}");
    }
}

#[test]
fn its_example_is_a_scenario() {
    let example = GUIDE
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the example");
    let scenario = Scenario::parse(Path::new("example.toml"), example).expect("sound");
    assert_eq!(
        (
            scenario.stages.len(),
            scenario.events.len(),
            scenario.thresholds.len()
        ),
        (2, 1, 2)
    );
}

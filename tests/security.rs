//! docs/SECURITY-TESTS.md, the table of what went wrong elsewhere: every test that it names exists, every class and every
//! pattern has one that bears its id, none is missing, and no test that bears an id is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../docs/SECURITY-TESTS.md");

/// The classes, by kind and number.
const CLASSES: [(&str, &[&str]); 11] = [
    ("f", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]),
    ("r", &["1", "2", "3", "4", "5", "6", "7", "8", "9"]),
    ("k", &["1", "2", "3", "4"]),
    ("s", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "20"]),
    ("a", &["1", "2", "3", "4", "5"]),
    ("p", &["1", "2", "3", "4"]),
    ("c", &["1", "2", "3", "4", "5", "6", "7", "8", "9"]),
    ("z", &["1", "2", "3", "4", "5"]),
    ("t", &["1", "2", "3", "4", "4b", "5", "6", "7", "8", "9"]),
    ("m", &["1", "2", "3"]),
    ("i", &["1"]),
];

/// The patterns of state machines: `sm00` to the last.
const LAST_PATTERN: usize = 48;

const NOT_APPLICABLE: &str = "not applicable: ";

fn ids() -> BTreeSet<String> {
    let classes =
        CLASSES.iter().flat_map(|(kind, numbers)| numbers.iter().map(move |number| format!("{kind}{number}")));
    classes.chain((0..=LAST_PATTERN).map(|number| format!("sm{number:02}"))).collect()
}

/// The tests of the crate, by name: the files that have them.
fn tests() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::<String, Vec<String>>::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let name = path.strip_prefix(root).expect("below it").to_string_lossy().replace('\\', "/");
                for test in tests_of(&text) {
                    found.entry(test.to_owned()).or_default().push(name.clone());
                }
            }
        }
    }
    found
}

/// Functions under `#[test]`, whatever stands between.
fn tests_of(text: &str) -> Vec<&str> {
    let mut lines = text.lines().map(str::trim);
    let mut names = Vec::new();
    while lines.any(|line| line == "#[test]") {
        let function = lines.by_ref().find(|line| !line.starts_with("#[") && !line.starts_with("//"));
        names.extend(function.and_then(|line| line.strip_prefix("fn ")).and_then(|line| line.split('(').next()));
    }
    names
}

/// The ids that a test's name begins with.
fn ids_of<'n>(name: &'n str, ids: &BTreeSet<String>) -> Vec<&'n str> {
    name.split('_').take_while(|part| ids.contains(*part)).collect()
}

/// What is between the bars of a row.
fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// What is wrong with the table.
fn faults(table: &str, tests: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let ids = ids();
    let (mut faults, mut rows, mut named) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| id ") && !line.starts_with("| pattern ");
    for line in table.lines().filter(is_row) {
        let cells = cells(line);
        let (id, outcome) = match cells[..] {
            [id, seen, what, outcome, result] if ![seen, what, outcome, result].contains(&"") => (id, outcome),
            [id, what, "1.2" | "1.3" | "both", "client" | "server" | "both", outcome, result]
                if ![what, outcome, result].contains(&"") =>
            {
                (id, outcome)
            }
            _ => {
                faults.push(format!("no row: {line}"));
                continue;
            }
        };
        let id = id.to_lowercase();
        if id != "–" && !(ids.contains(&id) && rows.insert(id.clone())) {
            faults.push(format!("{id} is unknown, or there twice"));
        }
        let mut bears = outcome.strip_prefix(NOT_APPLICABLE).is_some_and(|why| why.len() > 20);
        for cited in outcome.split('`').skip(1).step_by(2).filter(|cited| cited.contains("::")) {
            let (path, name) = cited.split_once("::").expect("a path and a name");
            named.insert(name.to_owned());
            bears |= ids_of(name, &ids).contains(&id.as_str());
            if !tests.get(name).is_some_and(|paths| paths.iter().any(|known| known == path)) {
                faults.push(format!("{id}: there is no {cited}"));
            }
        }
        if !bears {
            faults.push(format!("{id}: no test bears its name, and no reason is given"));
        }
    }
    faults.extend(ids.difference(&rows).map(|id| format!("{id} has no row")));
    let unnamed = tests.keys().filter(|name| !ids_of(name, &ids).is_empty() && !named.contains(*name));
    faults.extend(unnamed.map(|name| format!("{name} bears an id and is not in the table")));
    faults
}

#[test]
fn every_class_has_its_tests_and_every_test_exists() {
    let faults = faults(TABLE, &tests());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What the check is good for.
#[test]
fn a_broken_table_is_caught() {
    let tests = tests();
    let without = |what: &str| faults(&TABLE.replacen(what, "", 1), &tests).len();
    assert!(without("src/record/tests.rs::r1_forged_records_never_move_the_window") > 0);
    assert!(without("r9_the_shortest") > 0);
    assert!(without("| F1 |") > 0);
    assert!(without("| sm22 |") > 0);
    assert!(without("not applicable: ") > 0);
    let doubled = TABLE.lines().flat_map(|line| [line; 2]).collect::<Vec<_>>().join("\n");
    assert!(!faults(&doubled, &tests).is_empty());
    assert_eq!(tests_of("#[test]\n#[cfg(x)]\nfn one() {}\nfn two() {}\n#[test]\nfn three() {"), ["one", "three"]);
}

//! docs/RFC.md, the table of what the standards demand and which test shows it: every test that it names exists, every row has
//! an outcome, every deviation is in the list of `src/lib.rs`, and the numbers on top are those of the rows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../docs/RFC.md");
const LIBRARY: &str = include_str!("../src/lib.rs");
const PASSING: &str = include_str!("bogo/passing.txt");

/// The header of every table of clauses.
const COLUMNS: &str = "| § | key word | clause | outcome |";
const KEY_WORDS: [&str; 8] =
    ["MUST", "MUST NOT", "SHALL", "SHOULD", "SHOULD NOT", "REQUIRED", "RECOMMENDED", "NOT RECOMMENDED"];
const NOT_APPLICABLE: &str = "not applicable: ";
const DEVIATION: &str = "deviation: ";

#[test]
fn every_test_in_the_table_exists_and_every_row_has_an_outcome() {
    let faults = faults(TABLE, LIBRARY, &mut Sources::default());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_table_is_not_empty() {
    let counts = counts(TABLE);
    for standard in ["RFC 9147", "RFC 6347", "RFC 8446", "RFC 5246", "RFC 7627"] {
        let rows: usize =
            counts.iter().filter(|(title, _)| title.starts_with(standard)).map(|(_, n)| n.iter().sum::<usize>()).sum();
        assert!(rows > 20, "{standard}: {rows} rows");
    }
}

/// What the check is good for.
#[test]
fn a_broken_table_is_caught() {
    let library = "//! Deviations, each with its reason:\n//! * this (RFC 1 §2)\n\ncode";
    let broken = |rows: &str, summary: &str| {
        let table = format!("| RFC 1 | {summary} |\n\n## RFC 1\n\n{COLUMNS}\n|---|---|---|---|\n{rows}\n");
        faults(&table, library, &mut Sources::default())
    };
    let good = "| 1 | MUST | this | `tests/clauses.rs::a_broken_table_is_caught`; as it is |";
    assert_eq!(broken(good, "1 | 1 | 0 | 0"), [] as [String; 0]);
    assert_eq!(broken("| 1 | MUST | this | not applicable: no such thing |", "1 | 0 | 1 | 0").len(), 0);
    assert_eq!(broken("| 2 | MUST | this | deviation: it cannot be |", "1 | 0 | 0 | 1").len(), 0);
    assert_eq!(broken(good, "1 | 0 | 1 | 0").len(), 1);
    for row in [
        "| 1 | MUST | this | `tests/clauses.rs::no_such_test` |",
        "| 1 | MUST | this | `tests/clauses.rs::counts` |",
        "| 1 | MUST | this | `tests/no_such_file.rs::a_broken_table_is_caught` |",
        "| 1 | MUST | this | `bogo:NoSuchCase` |",
        "| 1 | MUST | this | it goes without saying |",
        "| 1 | MUST | this |  |",
        "| 1 | MUST | this |",
        "| 1 | MAY | this | `tests/clauses.rs::a_broken_table_is_caught` |",
        "| 1 | MUST |  | `tests/clauses.rs::a_broken_table_is_caught` |",
    ] {
        assert_eq!(broken(row, "1 | 1 | 0 | 0").len(), 1, "{row}");
    }
    assert_eq!(broken("| 1 | MUST | this | not applicable:  |", "1 | 0 | 1 | 0").len(), 1);
    assert_eq!(broken("| 3 | MUST | this | deviation: not in the list |", "1 | 0 | 0 | 1").len(), 1);
}

/// A row of a table of clauses, under the title of its standard.
struct Row<'t> {
    title: &'t str,
    line: &'t str,
}

impl<'t> Row<'t> {
    /// All that are in `table`.
    fn all(table: &'t str) -> Vec<Self> {
        let (mut title, mut inside, mut rows) = ("", false, Vec::new());
        for line in table.lines() {
            if let Some(name) = line.strip_prefix("## ") {
                title = name;
            }
            inside = line == COLUMNS || inside && line.starts_with('|');
            if inside && line != COLUMNS && !line.starts_with("|---") {
                rows.push(Self { title, line });
            }
        }
        rows
    }

    /// Section, key words, clause, outcome.
    fn cells(&self) -> Option<[&'t str; 4]> {
        let inner = self.line.strip_prefix("| ")?.strip_suffix(" |")?;
        let cells: Vec<_> = inner.split(" | ").map(str::trim).collect();
        cells.try_into().ok()
    }

    /// Shown by tests, not applicable, deviation.
    fn kind(&self) -> usize {
        match self.cells() {
            Some([.., outcome]) if outcome.starts_with(NOT_APPLICABLE.trim_end()) => 1,
            Some([.., outcome]) if outcome.starts_with(DEVIATION.trim_end()) => 2,
            _ => 0,
        }
    }

    /// What is wrong with it.
    fn fault(&self, deviations: &str, sources: &mut Sources) -> Option<String> {
        let Some([section, key_words, clause, outcome]) = self.cells() else { return Some("not four cells".into()) };
        if section.is_empty() || clause.is_empty() {
            return Some("an empty cell".into());
        }
        if !key_words.split(", ").all(|word| KEY_WORDS.contains(&word)) {
            return Some(format!("{key_words} is no key word"));
        }
        let named: Vec<_> = outcome.split('`').skip(1).step_by(2).filter_map(Named::read).collect();
        let missing: Vec<_> = named.iter().filter(|named| !sources.have(named)).collect();
        if !missing.is_empty() {
            return Some(format!("not there: {missing:?}"));
        }
        match (outcome.strip_prefix(NOT_APPLICABLE), outcome.strip_prefix(DEVIATION)) {
            (Some(_), _) => None,
            (_, Some(_)) if deviations.contains(&format!("§{section}")) => None,
            (_, Some(_)) => Some("a deviation that src/lib.rs does not list".into()),
            _ if named.is_empty() => Some("neither a test nor a reason".into()),
            _ => None,
        }
    }
}

/// What an outcome names.
#[derive(Debug)]
enum Named<'t> {
    Test { path: &'t str, name: &'t str },
    Case(&'t str),
}

impl<'t> Named<'t> {
    fn read(quoted: &'t str) -> Option<Self> {
        match (quoted.strip_prefix("bogo:"), quoted.split_once(".rs::")) {
            (Some(case), _) => Some(Self::Case(case)),
            (_, Some((path, name))) => Some(Self::Test { path: &quoted[..path.len() + 3], name }),
            _ => None,
        }
    }
}

/// The tests that there are, by file.
#[derive(Default)]
struct Sources(HashMap<String, HashSet<String>>);

impl Sources {
    fn have(&mut self, named: &Named<'_>) -> bool {
        match *named {
            Named::Case(case) => PASSING.lines().any(|line| line == case),
            Named::Test { path, name } => {
                self.0.entry(path.to_owned()).or_insert_with(|| tests_in(path)).contains(name)
            }
        }
    }
}

/// The functions of a file that are tests.
fn tests_in(path: &str) -> HashSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let source = fs::read_to_string(path).unwrap_or_default();
    let mut lines = source.lines().map(str::trim);
    let mut tests = HashSet::new();
    while lines.by_ref().any(|line| line == "#[test]") {
        let function = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
        tests.extend(function.and_then(|line| line.split_once('(')).map(|(name, _)| name.to_owned()));
    }
    tests
}

/// How many rows of each kind a standard has.
fn counts(table: &str) -> BTreeMap<&str, [usize; 3]> {
    let mut counts = BTreeMap::new();
    for row in Row::all(table) {
        counts.entry(row.title).or_insert([0; 3])[row.kind()] += 1;
    }
    counts
}

/// The list of deviations on the library's front page.
fn deviations(library: &str) -> String {
    let list = library.lines().skip_while(|line| !line.starts_with("//! Deviations"));
    list.take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
}

fn faults(table: &str, library: &str, sources: &mut Sources) -> Vec<String> {
    let deviations = deviations(library);
    let mut faults = Vec::new();
    for row in Row::all(table) {
        faults.extend(row.fault(&deviations, sources).map(|fault| format!("{fault}: {}", row.line)));
    }
    for (title, [shown, beside, deviating]) in counts(table) {
        let all = shown + beside + deviating;
        let summary = format!("| {title} | {all} | {shown} | {beside} | {deviating} |");
        if !table.lines().any(|line| line == summary) {
            faults.push(format!("the summary should say: {summary}"));
        }
    }
    faults
}

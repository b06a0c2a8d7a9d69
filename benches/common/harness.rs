//! Measures a thing and its floor by turns, and ends with a table of both and their ratio.
//!
//! ```text
//! cargo bench                    all tables, some minutes
//! cargo bench -- --quick         the same with less patience, under a minute
//! cargo bench -- --test          everything once, to see that it runs
//! cargo bench -- --page          all tables, and into docs/PERFORMANCE.md with them
//! cargo bench -- 1.3             only rows and columns whose name has this in it
//! ```
//!
//! The thing and its floor take turns, some dozens of microseconds each, and the quickest turn of each counts: what else the
//! machine does makes a turn slower, never quicker, and both have had the same chances. A ratio is only of two figures of
//! the same run.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The measurements of one program.
pub(crate) struct Harness {
    /// Names the program's table in the page.
    name: &'static str,
    patience: Patience,
    page: Page,
    filters: Vec<String>,
}

/// How long is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Long enough for a figure to be written down.
    Full,
    /// Long enough to see a mistake.
    Quick,
    /// One turn, which tells nothing of time.
    Test,
}

/// Whether the table goes into docs/PERFORMANCE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Untouched,
    Written,
}

/// The quickest turns of a thing and of its floor, a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    subject: Duration,
    floor: Duration,
    /// For the quickest turns.
    calls: u32,
    /// What the ratio is to stay under, if anything says so.
    bound: Option<f64>,
}

/// Rows of figures under a heading for each column.
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    above: Vec<String>,
}

impl Harness {
    /// Reads the command line.
    pub(crate) fn new(name: &'static str) -> Self {
        let mut harness = Self { name, patience: Patience::Full, page: Page::Untouched, filters: Vec::new() };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                // What cargo says to every bench.
                "--bench" => {}
                "--quick" => harness.patience = Patience::Quick,
                "--test" => harness.patience = Patience::Test,
                "--page" => harness.page = Page::Written,
                filter if !filter.starts_with('-') => harness.filters.push(filter.to_owned()),
                other => panic!("{other}: only --quick, --test, --page and parts of names are known"),
            }
        }
        harness
    }

    pub(crate) const fn patience(&self) -> Patience {
        self.patience
    }

    /// Whether the command line asks for this.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }

    /// Lets both sides take turns. A side makes `calls` calls and says how long they took, so that it need not count what
    /// it has to prepare.
    pub(crate) fn compare(
        &self,
        time: Duration,
        calls: u32,
        mut subject: impl FnMut() -> Duration,
        mut floor: impl FnMut() -> Duration,
    ) -> Comparison {
        let mut quickest = Comparison { subject: Duration::MAX, floor: Duration::MAX, calls, bound: None };
        let time = match self.patience {
            Patience::Full => time,
            Patience::Quick => time / 16,
            Patience::Test => Duration::ZERO,
        };
        let start = Instant::now();
        loop {
            quickest.subject = quickest.subject.min(subject());
            quickest.floor = quickest.floor.min(floor());
            if start.elapsed() >= time {
                return quickest;
            }
        }
    }

    /// Prints a table, and puts it into the page if that is wanted, in the place that has the program's name and `part`.
    pub(crate) fn finish(&self, part: &str, title: &str, table: &Table) {
        if self.patience == Patience::Test {
            println!("{}: {title}: {} rows, not timed", self.name, table.rows.len());
            return;
        }
        let text = table.render();
        println!("\n{title}\n\n{text}");
        table.above.iter().for_each(|name| println!("above its bound: {name}"));
        if self.page == Page::Written {
            self.write_page(part, &format!("{}\n\n{text}", machine()));
        }
    }

    /// Replaces what stands between this part's two marks in docs/PERFORMANCE.md.
    fn write_page(&self, part: &str, text: &str) {
        assert!(self.filters.is_empty() && self.patience == Patience::Full, "the page has whole tables");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/PERFORMANCE.md");
        let old = std::fs::read_to_string(&path).expect("docs/PERFORMANCE.md");
        let name = format!("{}{part}", self.name);
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = old.split_once(&begin).unwrap_or_else(|| panic!("{begin}is not in the page"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{end} is not in the page"));
        std::fs::write(&path, format!("{before}{begin}\n{text}\n{end}{after}")).expect("docs/PERFORMANCE.md");
    }
}

impl Comparison {
    pub(crate) const fn with_bound(mut self, bound: Option<f64>) -> Self {
        self.bound = bound;
        self
    }

    /// How many times the floor's time is taken.
    pub(crate) fn ratio(&self) -> f64 {
        self.subject.as_secs_f64() / self.floor.as_secs_f64()
    }

    /// Nanoseconds a call.
    fn nanoseconds(&self, time: Duration) -> f64 {
        time.as_nanos() as f64 / f64::from(self.calls)
    }

    fn is_above(&self) -> bool {
        self.bound.is_some_and(|bound| self.ratio() > bound)
    }
}

impl Table {
    pub(crate) fn new<T: AsRef<str>>(headings: &[T]) -> Self {
        let headings = headings.iter().map(|heading| heading.as_ref().to_owned()).collect();
        Self { headings, rows: Vec::new(), above: Vec::new() }
    }

    /// A row of its labels and then of figures, of which any may be missing.
    pub(crate) fn push(&mut self, labels: &[String], figures: &[Option<Comparison>]) {
        if figures.iter().all(Option::is_none) {
            return;
        }
        let mut row = labels.to_vec();
        for (number, figure) in figures.iter().enumerate() {
            let Some(figure) = figure else {
                row.push("–".to_owned());
                continue;
            };
            let (subject, floor) = (figure.nanoseconds(figure.subject), figure.nanoseconds(figure.floor));
            let bound = figure.bound.map_or_else(String::new, |bound| format!(" (≤ {bound:.2})"));
            row.push(format!("{} / {} = {:.2}{bound}", round(subject), round(floor), figure.ratio()));
            if figure.is_above() {
                self.above.push(format!(
                    "{} {}: {:.2}",
                    labels.join(" "),
                    self.headings[labels.len() + number],
                    figure.ratio()
                ));
            }
        }
        self.rows.push(row);
    }

    /// A row that is text already.
    pub(crate) fn push_text(&mut self, row: &[String]) {
        self.rows.push(row.to_vec());
    }

    /// Markdown, which can be read as it is.
    fn render(&self) -> String {
        let mut widths: Vec<_> = self.headings.iter().map(|heading| heading.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let mut text = String::new();
        for row in [&self.headings, &rule].into_iter().chain(&self.rows) {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
        }
        text
    }
}

/// As long as these calls take, a number of times.
pub(crate) fn time(calls: u32, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    start.elapsed()
}

/// Nanoseconds, or what is easier to read.
fn round(nanoseconds: f64) -> String {
    match nanoseconds {
        0.0..10_000.0 => format!("{nanoseconds:.0} ns"),
        10_000.0..100_000.0 => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{:.0} µs", nanoseconds / 1e3),
    }
}

/// What the figures are of.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let commit = std::process::Command::new("git").args(["log", "-1", "--format=%cs"]).output();
    let day = commit.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    format!("{}, {cores} cores; sources of {}.", model.unwrap_or(std::env::consts::ARCH), day.trim())
}

//! What a class of runs came to.

use crate::kinds::Kind;
use crate::pair::Figures;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The seed of all runs whose faults are counted out: the ends' random numbers do not matter to them.
pub(crate) const SEED: u64 = 1;

/// Runs of one class, and how they ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: usize,
    /// Those that ended well.
    pub(crate) completed: usize,
    /// The longest virtual time until both ends were complete.
    pub(crate) worst: Duration,
    /// What the first run had to say that did not.
    pub(crate) failure: Option<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, figures: Figures) -> Figures {
        self.runs += 1;
        self.completed += 1;
        self.worst = self.worst.max(figures.complete_at);
        figures
    }

    /// Counts a run that ends the test if it goes wrong: here it is a run that did not complete.
    pub(crate) fn attempt(&mut self, run: impl FnOnce() -> Figures) -> Option<Figures> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(figures) => Some(self.add(figures)),
            Err(panic) => {
                self.runs += 1;
                let said = panic.downcast_ref::<String>().cloned();
                self.failure.get_or_insert(said.unwrap_or_else(|| "a panic without a word".into()));
                None
            }
        }
    }

    /// All others, too.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.runs += other.runs;
        self.completed += other.completed;
        self.worst = self.worst.max(other.worst);
        self.failure = self.failure.take().or(other.failure);
    }

    pub(crate) fn print(&self, kind: &Kind, class: &str) {
        // Tests run side by side: one line, one call.
        println!(
            "{:<32} {class:<24} {:>6} runs, worst {:>9.3} s",
            kind.to_string(),
            self.runs,
            self.worst.as_secs_f64()
        );
    }

    /// Every run completed.
    pub(crate) fn check(&self, kind: &Kind, class: &str) {
        self.print(kind, class);
        if let Some(failure) = &self.failure {
            panic!("{} of {} runs failed: {kind}, {class}\n{failure}", self.runs - self.completed, self.runs);
        }
    }
}

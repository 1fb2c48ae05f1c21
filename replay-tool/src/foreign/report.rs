//! What became of every line of a foreign history.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use tachograph_engine::domain::{RunId, Timestamp};

/// Lines of a kind that are listed; the others are counted, and stand in the file of all lines.
const LISTED_MAX: usize = 100;
/// Kinds without a place in a journal that are told apart; the others are counted together.
const KINDS_MAX: usize = 256;

/// What an import of a foreign history led to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ForeignReport {
    /// The data directory.
    pub data: String,
    /// What it was made of, for example `docker-events`.
    pub from: &'static str,
    /// The identity of the journal, which follows from the input.
    pub journal: String,
    /// How many entries the journal has, those about itself included.
    pub entries: u64,
    /// The hash over its history.
    pub digest: String,
    /// Runs that were created.
    pub runs: u64,
    /// Events in the input, bad ones included.
    pub events: u64,
    /// Events that were recorded without a refusal.
    pub recorded: u64,
    /// Events of which a command was refused: they contradict what was told before.
    pub refused: u64,
    /// Events that were told before.
    pub duplicates: u64,
    /// Events that have no place in a journal; they stand in the copy of the input.
    pub kept: u64,
    /// What could not be read.
    pub bad: u64,
    /// Events that happened before the one that was told before them.
    pub out_of_order: u64,
    /// Names and labels that a run could not have, because of their bounds.
    pub left_out: u64,
    /// When the first event happened that is recorded, by the order of the journal.
    pub first_at: Option<String>,
    /// When the last one did.
    pub last_at: Option<String>,
    /// How many events of which kind were kept.
    pub kept_kinds: BTreeMap<String, u64>,
    /// The first of what could not be read.
    pub bad_lines: Vec<BadLine>,
    /// The first of the events that were refused.
    pub refused_lines: Vec<RefusedLine>,
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// The number of its line, from 1; the first one, if it goes over several.
    pub line: u64,
    /// The byte of the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// The number of its line, from 1.
    pub line: u64,
    /// The run that it is about.
    pub run: String,
    /// The code of the first refusal.
    pub code: &'static str,
    /// Where it is recorded; absent if the like of it was refused so often that it is only counted.
    pub position: Option<u64>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It could not be read.
    Bad(BadLine),
    /// It has no place in a journal.
    Kept(String),
    /// It was submitted.
    Decided(Decided),
}

/// The answers to the commands of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) run: RunId,
    /// Entries that it led to, those of refusals included.
    pub(super) positions: Vec<u64>,
    /// Codes of refusals, each with the position of its entry.
    pub(super) refused: Vec<(&'static str, Option<u64>)>,
    /// Whether nothing was said that was not said before.
    pub(super) is_duplicate: bool,
}

impl Decided {
    pub(super) fn about(run: RunId) -> Self {
        Self { run, positions: Vec::new(), refused: Vec::new(), is_duplicate: false }
    }

    fn outcome(&self) -> &'static str {
        if !self.refused.is_empty() {
            "refused"
        } else if self.positions.is_empty() {
            "duplicate"
        } else {
            "recorded"
        }
    }
}

/// A line of the file that tells of every event.
#[derive(Serialize)]
struct Row<'a> {
    line: u64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    positions: &'a [u64],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
}

/// Takes down what became of every event: all of it in a file, the sums and the first ones in the report.
pub(super) struct Ledger {
    rows: BufWriter<File>,
    pub(super) report: ForeignReport,
    last_at: Option<Timestamp>,
}

impl Ledger {
    pub(super) fn into(rows: File, from: &'static str) -> Self {
        Self { rows: BufWriter::new(rows), report: ForeignReport { from, ..ForeignReport::default() }, last_at: None }
    }

    /// An event is recorded next that happened at this time.
    pub(super) fn time(&mut self, at: Timestamp) {
        if self.last_at.is_some_and(|last| at < last) {
            self.report.out_of_order += 1;
        }
        self.last_at = Some(at);
        self.report.first_at.get_or_insert_with(|| at.to_string());
    }

    /// What became of the event at a line.
    pub(super) fn tell(&mut self, line: u64, fate: Fate) -> io::Result<()> {
        let row = Row { line, outcome: "kept", run: None, positions: &[], refused: vec![], column: None, what: None };
        let report = &mut self.report;
        report.events += 1;
        match fate {
            Fate::Bad(bad) => {
                report.bad += 1;
                self.row(&Row { outcome: "bad", column: Some(bad.column), what: Some(&bad.why), ..row })?;
                if self.report.bad_lines.len() < LISTED_MAX {
                    self.report.bad_lines.push(bad);
                }
                Ok(())
            }
            Fate::Kept(what) => {
                report.kept += 1;
                self.row(&Row { what: Some(&what), ..row })?;
                self.kind(what);
                Ok(())
            }
            Fate::Decided(decided) => {
                let outcome = decided.outcome();
                match outcome {
                    "refused" => report.refused += 1,
                    "duplicate" => report.duplicates += 1,
                    _ => report.recorded += 1,
                }
                let refused = decided.refused.iter().map(|(code, _)| *code).collect();
                let run = Some(decided.run.to_string());
                self.row(&Row { outcome, run, positions: &decided.positions, refused, ..row })?;
                self.refusal(line, &decided);
                Ok(())
            }
        }
    }

    fn kind(&mut self, what: String) {
        let kinds = &mut self.report.kept_kinds;
        let is_new = !kinds.contains_key(&what);
        let what = if is_new && kinds.len() >= KINDS_MAX { "others".to_owned() } else { what };
        *kinds.entry(what).or_default() += 1;
    }

    fn refusal(&mut self, line: u64, decided: &Decided) {
        if let Some((code, position)) = decided.refused.first()
            && self.report.refused_lines.len() < LISTED_MAX
        {
            let run = decided.run.to_string();
            self.report.refused_lines.push(RefusedLine { line, run, code, position: *position });
        }
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.rows, row)?;
        self.rows.write_all(b"\n")
    }

    /// Makes the file durable and gives the sums.
    pub(super) fn finish(mut self) -> io::Result<ForeignReport> {
        self.rows.flush()?;
        self.rows.get_ref().sync_all()?;
        self.report.last_at = self.last_at.map(|at| at.to_string());
        Ok(self.report)
    }
}

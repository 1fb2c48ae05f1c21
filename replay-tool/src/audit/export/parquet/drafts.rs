//! The files of one export in the making: those of entries by day, those of how things stand whole.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use rusqlite::types::Value;
use tachograph_engine::domain::Timestamp;

use super::super::super::column::TableInfo;
use super::super::super::destination::{Destination, RowWriter};
use super::super::passes::BY_ENTRY;
use super::super::problem::ExportProblem;
use super::directory::Directory;
use super::manifest::FileLine;
use super::part::{Made, Part, Shape, problem};
use crate::error::Error;

/// Days of one table that are written at a time. A clock that goes back and forth over more of them makes more files.
const OPEN_DAYS_MAX: usize = 4;
const DAY_US: i64 = 86_400_000_000;
/// The column that says on which day a row belongs, and the one that says in which order.
const DAY_OF: &str = "recorded_at_us";
const POSITION: &str = "position";

/// A file of an export, and its draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// The name of its draft within the directory of drafts.
    pub(super) draft: String,
    /// What the manifest says of it.
    pub(super) file: FileLine,
}

/// The drafts of one export.
pub(super) struct Drafts<'e> {
    directory: &'e Directory<'e>,
    within: PathBuf,
    /// What every footer says.
    facts: Vec<(&'static str, String)>,
    /// Tables that have a file already, so that none without rows is needed to know their columns.
    begun: Vec<String>,
    /// The day of a file without rows.
    day: i64,
    made: RefCell<Vec<Draft>>,
    number: Cell<u32>,
}

impl<'e> Drafts<'e> {
    /// No drafts yet within a place for them. `begun` are the tables that have a file, `fallback` is the time of a file
    /// without rows.
    pub(super) fn within(
        directory: &'e Directory<'e>,
        within: PathBuf,
        facts: Vec<(&'static str, String)>,
        begun: Vec<String>,
        fallback: Timestamp,
    ) -> Self {
        let day = fallback.as_micros().div_euclid(DAY_US);
        Self { directory, within, facts, begun, day, made: RefCell::default(), number: Cell::new(0) }
    }

    /// What was made.
    pub(super) fn into_made(self) -> Vec<Draft> {
        self.made.into_inner()
    }

    fn next(&self) -> PathBuf {
        self.number.set(self.number.get() + 1);
        let draft = self.within.join(format!("{}.draft", self.number.get()));
        self.directory.about_to("create", &draft);
        draft
    }

    fn add(&self, table: &str, place: Place, made: Made) {
        let draft = made.draft.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (path, day, positions) = match place {
            Place::Whole => (format!("{table}/{table}.parquet"), None, None),
            Place::Day { day, first, last } => {
                let day = day_text(day);
                (format!("{table}/day={day}/part-{first:012}-{last:012}.parquet"), Some(day), Some((first, last)))
            }
        };
        let (rows, bytes, digest) = (made.rows, made.bytes, made.digest.to_string());
        let (first, last) = positions.unzip();
        let file = FileLine { path, table: table.to_owned(), day, first, last, rows, bytes, blake3: digest };
        self.made.borrow_mut().push(Draft { draft, file });
    }
}

/// Where a file belongs.
enum Place {
    /// The only one of its table.
    Whole,
    /// Among those of a day, with the positions of its first and last row.
    Day { day: i64, first: i64, last: i64 },
}

/// A day since 1970 as `2026-11-21`.
fn day_text(day: i64) -> String {
    let text = Timestamp::from_micros(day.saturating_mul(DAY_US)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

impl Destination for Drafts<'_> {
    fn begin<'d>(&'d self, table: &TableInfo) -> Result<Box<dyn RowWriter + 'd>, Error> {
        let shape = Shape::of(table, &self.facts).map_err(|error| problem(&self.within, error))?;
        let name = table.name;
        if !BY_ENTRY.contains(&name) {
            let part = Part::create(self.next(), &shape)?;
            return Ok(Box::new(Whole { drafts: self, name, part }));
        }
        let index = |column: &str| table.columns.iter().position(|known| known.name == column);
        let (Some(day_of), Some(position)) = (index(DAY_OF), index(POSITION)) else {
            return Err(Error::internal(format!("the table {name} has no day or position")));
        };
        Ok(Box::new(ByDay { drafts: self, name, shape, day_of, position, open: Vec::new(), has_rows: false }))
    }
}

/// A table in one file.
struct Whole<'d> {
    drafts: &'d Drafts<'d>,
    name: &'static str,
    part: Part,
}

impl RowWriter for Whole<'_> {
    fn write(&mut self, row: &[Value]) -> Result<(), Error> {
        Ok(self.part.write(row)?)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.drafts.add(self.name, Place::Whole, self.part.finish()?);
        Ok(())
    }
}

/// A table in a file per day.
struct ByDay<'d> {
    drafts: &'d Drafts<'d>,
    name: &'static str,
    shape: Shape,
    day_of: usize,
    position: usize,
    /// The one that was written to last is the last one.
    open: Vec<OpenDay>,
    has_rows: bool,
}

struct OpenDay {
    day: i64,
    first: i64,
    last: i64,
    part: Part,
}

impl ByDay<'_> {
    /// The open file of a day, as the last one.
    fn opened(&mut self, day: i64, position: i64) -> Result<&mut OpenDay, ExportProblem> {
        let index = self.open.iter().position(|open| open.day == day);
        let open = match index {
            Some(index) => self.open.remove(index),
            None => {
                if self.open.len() >= OPEN_DAYS_MAX {
                    let longest_ago = self.open.remove(0);
                    self.close(longest_ago)?;
                }
                let part = Part::create(self.drafts.next(), &self.shape)?;
                OpenDay { day, first: position, last: position, part }
            }
        };
        let last = self.open.len();
        self.open.push(open);
        Ok(&mut self.open[last])
    }

    fn close(&self, open: OpenDay) -> Result<(), ExportProblem> {
        let OpenDay { day, first, last, part } = open;
        self.drafts.add(self.name, Place::Day { day, first, last }, part.finish()?);
        Ok(())
    }
}

impl RowWriter for ByDay<'_> {
    fn write(&mut self, row: &[Value]) -> Result<(), Error> {
        let integer = |index: usize| match row.get(index) {
            Some(Value::Integer(integer)) => *integer,
            _ => 0,
        };
        let (day, position) = (integer(self.day_of).div_euclid(DAY_US), integer(self.position));
        self.has_rows = true;
        let open = self.opened(day, position)?;
        open.last = position;
        Ok(open.part.write(row)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        for open in std::mem::take(&mut self.open) {
            self.close(open)?;
        }
        if !self.has_rows && !self.drafts.begun.iter().any(|begun| begun == self.name) {
            let part = Part::create(self.drafts.next(), &self.shape)?;
            self.close(OpenDay { day: self.drafts.day, first: 0, last: 0, part })?;
        }
        Ok(())
    }
}

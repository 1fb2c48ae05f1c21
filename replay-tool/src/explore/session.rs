//! What is asked of the time machine from the screen, and what it answers: one scene after the other.

use std::sync::Arc;

use tachograph_engine::domain::{Entry, Event, Position, RunId, RunRecord, StatusName, Timestamp};

use super::halt::{Halt, Watch};
use super::machine::{Direction, Machine};
use super::scene::{EntryRow, Filter, Lane, RunRow, Scene};
use super::track::Track;
use super::wanted::{Needle, Sieve, Wanted};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::when::AsOf;

/// How many rows the panes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows {
    /// The list of runs.
    pub runs: usize,
    /// The timeline.
    pub timeline: usize,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To show what is there.
    Show,
    /// To go so many entries on; back if negative.
    Step(i64),
    /// To go before the first entry.
    Start,
    /// To go to the last entry.
    End,
    /// To go to a position or time.
    To(AsOf),
    /// To go so many entries of the selected run on; back if negative. Its first and last one lie at the extremes.
    Own(i64),
    /// To go to the nearest entry of which this is true.
    Find(Wanted, Direction),
    /// To select the run so many rows further down.
    Select(i64),
    /// To select the next run down or up the list with this text in its name, id, labels or command.
    SelectText(String, Direction),
    /// To list other runs.
    Filter(Filter),
    /// To show another timeline.
    Lane(Lane),
}

/// One request, with what it depends on beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// How much of the answer there is room for.
    pub rows: Rows,
    /// What 'now' is for relative times.
    pub now: Timestamp,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What there is to see.
    pub scene: Scene,
    /// What else is to be said.
    pub note: Option<Note>,
}

/// A sentence beside the scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub text: String,
    /// Whether something was wrong.
    pub is_error: bool,
}

impl Note {
    /// Something that is good to know.
    pub fn told(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: false }
    }

    /// Something that was wrong.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: true }
    }
}

/// A time machine with what is selected of what it shows.
#[derive(Debug)]
pub struct Session {
    machine: Machine,
    selected: Option<RunId>,
    track: Option<Track>,
    filter: Filter,
    lane: Lane,
}

impl Session {
    /// Before the first entry. A run that is named beforehand stays selected, and the timeline is its own.
    pub fn new(dataset: Dataset, selected: Option<RunId>) -> Self {
        let lane = if selected.is_some() { Lane::Run } else { Lane::Journal };
        Self { machine: Machine::new(dataset), selected, track: None, filter: Filter::All, lane }
    }

    /// The time machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Does what is asked and tells what there is to see then. Whatever goes wrong is part of the answer.
    pub async fn answer(&mut self, ask: &Ask, watch: Watch<'_>) -> Answer {
        let done = self.act(&ask.request, ask.now, watch).await;
        let note = match done {
            Ok(note) => note,
            Err(Halt::Canceled) => Some(Note::told("canceled; nothing moved")),
            Err(Halt::Error(error)) => Some(wrong(&error)),
        };
        match self.scene(ask.rows, watch).await {
            Ok(scene) => Answer { scene, note },
            Err(Halt::Canceled) => Answer { scene: self.bare(), note },
            Err(Halt::Error(error)) => Answer { scene: self.bare(), note: note.or_else(|| Some(wrong(&error))) },
        }
    }

    async fn act(&mut self, request: &Request, now: Timestamp, watch: Watch<'_>) -> Result<Option<Note>, Halt> {
        match request {
            Request::Show => return Ok(None),
            Request::Step(by) => return self.step(*by, watch).await,
            Request::Start => self.machine.seek(Position::ZERO, watch).await?,
            Request::End => self.machine.seek(self.machine.head(), watch).await?,
            Request::To(as_of) => return self.go_to(*as_of, now, watch).await,
            Request::Own(by) => return self.own(*by, watch).await,
            Request::Find(wanted, direction) => return self.find(wanted, *direction, watch).await,
            Request::Select(by) => self.select(*by),
            Request::SelectText(text, direction) => return Ok(self.select_text(text, *direction)),
            Request::Filter(filter) => self.filter = *filter,
            Request::Lane(lane) => self.lane = *lane,
        }
        if matches!(request, Request::Start | Request::End | Request::Lane(_)) {
            self.follow_cursor();
        }
        Ok(None)
    }

    async fn step(&mut self, by: i64, watch: Watch<'_>) -> Result<Option<Note>, Halt> {
        let from = self.machine.position();
        match by {
            1 => drop(self.machine.step().await?),
            -1 => drop(self.machine.step_back(watch).await?),
            _ => self.machine.seek(Position(from.0.saturating_add_signed(by)), watch).await?,
        }
        self.follow_cursor();
        let is_stuck = self.machine.position() == from && by != 0;
        Ok(is_stuck.then(|| end_note(if by > 0 { Direction::Forward } else { Direction::Backward })))
    }

    async fn go_to(&mut self, as_of: AsOf, now: Timestamp, watch: Watch<'_>) -> Result<Option<Note>, Halt> {
        let head = self.machine.head();
        let to = self.machine.dataset().position(Some(as_of), now).await?;
        self.machine.seek(to, watch).await?;
        self.follow_cursor();
        let asked = as_of.asked_position().filter(|asked| *asked > head);
        let beyond = asked.map(|asked| Note::told(format!("position {asked} is beyond the end, which is {head}")));
        let nothing = || Note::told("nothing was recorded by then: this is before the first entry");
        Ok(beyond.or_else(|| (to == Position::ZERO && as_of.asked_position().is_none()).then(nothing)))
    }

    async fn own(&mut self, by: i64, watch: Watch<'_>) -> Result<Option<Note>, Halt> {
        let Some(run) = self.selected else { return Ok(Some(Note::told("no run is selected"))) };
        let at = self.machine.position();
        let track = self.track(run, watch).await?;
        let here = track.count_up_to(at) as i64;
        // Backwards, an entry at the cursor is left out; what is behind it otherwise is the first one back.
        let is_at = track.positions().binary_search(&at).is_ok();
        let index = match by {
            0.. => (here - 1).saturating_add(by),
            _ => (here - i64::from(is_at)).saturating_add(by),
        };
        let last = track.positions().len() as i64 - 1;
        let found = usize::try_from(index.clamp(0, last.max(0))).ok().and_then(|index| track.positions().get(index));
        let Some(to) = found.copied().filter(|to| if by > 0 { *to > at } else { *to < at }) else {
            let which = if by > 0 { "later" } else { "earlier" };
            return Ok(Some(Note::told(format!("the selected run has no {which} entry"))));
        };
        self.machine.seek(to, watch).await?;
        Ok(None)
    }

    async fn find(&mut self, wanted: &Wanted, direction: Direction, watch: Watch<'_>) -> Result<Option<Note>, Halt> {
        let mut sieve = Sieve::of(wanted, direction, &self.machine);
        let found = self.machine.find(direction, |entry| sieve.fits(entry), watch).await?;
        match (found, wanted) {
            (Some(to), _) => {
                self.machine.seek(to, watch).await?;
                let about = self.machine.entry().and_then(|entry| entry.run());
                let selects = !matches!(wanted, Wanted::Time(_)) || self.lane == Lane::Journal;
                self.selected = about.filter(|_| selects).or(self.selected);
                Ok(None)
            }
            // Further than there is something in time: as far as there is.
            (None, Wanted::Time(_)) => {
                let to = if direction == Direction::Forward { self.machine.head() } else { Position::ZERO };
                self.machine.seek(to, watch).await?;
                self.follow_cursor();
                Ok(Some(end_note(direction)))
            }
            (None, Wanted::Kind(_) | Wanted::Text(_)) => {
                let which = if direction == Direction::Forward { "after" } else { "before" };
                Ok(Some(Note::told(format!("no {wanted} {which} position {}", self.machine.position()))))
            }
        }
    }

    /// In the journal's own timeline, the run of the entry at the cursor is the selected one.
    fn follow_cursor(&mut self) {
        let about = self.machine.entry().and_then(|entry| entry.run()).filter(|_| self.lane == Lane::Journal);
        self.selected = about.or(self.selected);
    }

    fn fits(&self, record: &RunRecord) -> bool {
        self.filter.fits(record.run.status.name())
    }

    /// Where the selected run stands in the order of creation; at the newest if it did not exist yet, or none is.
    fn anchor(&self) -> Position {
        self.selected.and_then(|run| self.machine.run(run)).map_or(Position(u64::MAX - 1), |record| record.created)
    }

    fn select(&mut self, by: i64) {
        let anchor = self.anchor();
        let rows = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let fits = |record: &&Arc<RunRecord>| self.fits(record) && Some(record.run.id) != self.selected;
        // The newest is at the top: down is back in time. Past the end it is the last one.
        let found = if by > 0 {
            self.machine.runs_up_to(anchor).rev().filter(fits).take(rows).last()
        } else {
            self.machine.runs_after(anchor).filter(fits).take(rows).last()
        };
        self.selected = found.map(|record| record.run.id).or(self.selected);
        self.lane = Lane::Run;
    }

    fn select_text(&mut self, text: &str, direction: Direction) -> Option<Note> {
        let (needle, anchor) = (Needle::of(text), self.anchor());
        let fits = |record: &&Arc<RunRecord>| {
            self.fits(record) && Some(record.run.id) != self.selected && needle.is_in_record(record)
        };
        let (up, down) = (|| self.machine.runs_after(anchor), || self.machine.runs_up_to(anchor));
        let found = match direction {
            Direction::Forward => down().rev().find(fits).or_else(|| up().rev().find(fits)),
            Direction::Backward => up().find(fits).or_else(|| down().find(fits)),
        };
        let found = found.map(|record| record.run.id);
        let is_selected = |run| self.machine.run(run).is_some_and(|record| needle.is_in_record(record));
        match (found, self.selected) {
            (Some(run), _) => (self.selected, self.lane) = (Some(run), Lane::Run),
            (None, Some(run)) if is_selected(run) => return Some(Note::told("no other run fits")),
            (None, _) => {
                let text = format!("no run listed here fits {text:?}; in the timeline, / looks through all entries");
                return Some(Note::told(text));
            }
        }
        None
    }

    async fn track(&mut self, run: RunId, watch: Watch<'_>) -> Result<&Track, Halt> {
        let mut track = self.track.take().filter(|track| track.run() == run).unwrap_or_else(|| Track::of(run));
        let refreshed = track.refresh(self.machine.dataset(), watch).await;
        let track = self.track.insert(track);
        refreshed.map(|()| &*track)
    }

    /// What the machine knows without reading.
    fn bare(&self) -> Scene {
        let fitting = StatusName::ALL.into_iter().filter(|status| self.filter.fits(*status));
        Scene {
            position: self.machine.position(),
            head: self.machine.head(),
            entry: self.machine.entry().cloned(),
            filter: self.filter,
            fitting: fitting.map(|status| self.machine.count(status)).sum(),
            total: StatusName::ALL.into_iter().map(|status| self.machine.count(status)).sum(),
            lane: self.lane,
            selected: self.selected,
            record: self.selected.and_then(|run| self.machine.run(run)).cloned(),
            damage: self.machine.dataset().damage().map(|damage| damage.to_string()),
            ..Scene::default()
        }
    }

    async fn scene(&mut self, rows: Rows, watch: Watch<'_>) -> Result<Scene, Halt> {
        if self.selected.is_none() {
            self.selected = self.machine.runs().rev().find(|record| self.fits(record)).map(|record| record.run.id);
        }
        let mut scene = self.bare();
        scene.runs = self.run_rows(rows.runs);
        if scene.is_about_selected() {
            scene.before = self.machine.before().await?;
        }
        let (entries, own) = self.entry_rows(rows.timeline, watch).await?;
        scene.entries = entries.into_iter().map(|entry| self.entry_row(entry)).collect();
        scene.own = own;
        // Reading may have met damage.
        scene.damage = self.machine.dataset().damage().map(|damage| damage.to_string());
        Ok(scene)
    }

    fn run_rows(&self, rows: usize) -> Vec<RunRow> {
        let (anchor, fits) = (self.anchor(), |record: &&Arc<RunRecord>| self.fits(record));
        let mut above: Vec<_> = self.machine.runs_after(anchor).filter(fits).take(rows).collect();
        let below: Vec<_> = self.machine.runs_up_to(anchor).rev().filter(fits).take(rows).collect();
        above.truncate((rows / 2).max(rows.saturating_sub(below.len())));
        let row = |record: &Arc<RunRecord>| RunRow {
            record: record.clone(),
            is_selected: Some(record.run.id) == self.selected,
        };
        above.into_iter().rev().chain(below).take(rows).map(row).collect()
    }

    async fn entry_rows(&mut self, rows: usize, watch: Watch<'_>) -> Result<(Vec<Arc<Entry>>, (usize, usize)), Halt> {
        let at = self.machine.position();
        let mut own = (0, 0);
        let mut positions = Vec::new();
        if let Some(run) = self.selected {
            match self.track(run, watch).await {
                Ok(track) => {
                    let here = track.count_up_to(at);
                    own = (here, track.positions().len());
                    positions = track.positions()[here.saturating_sub(rows)..(here + rows).min(own.1)].to_vec();
                }
                // What was canceled is not gone through after all, and the rest can be shown.
                Err(Halt::Canceled) => {}
                Err(halt) => return Err(halt),
            }
        }
        let entries = match self.lane {
            Lane::Journal => self.machine.around(at, rows, rows).await?,
            Lane::Run => {
                let mut entries = Vec::new();
                for position in positions {
                    entries.extend(self.machine.entry_at(position).await?);
                }
                entries
            }
        };
        Ok((centred(entries, at, rows), own))
    }

    fn entry_row(&self, entry: Arc<Entry>) -> EntryRow {
        let record = entry.run().and_then(|run| self.machine.run(run));
        let created = entry.events().iter().find_map(|event| match event {
            Event::Created { spec, .. } => Some(spec),
            _ => None,
        });
        let spec = record.map(|record| &record.run.spec).or(created);
        EntryRow { name: spec.and_then(|spec| spec.name.clone()), entry }
    }
}

/// So many entries around the cursor, with what was last before it in the middle unless an end is near.
fn centred(entries: Vec<Arc<Entry>>, at: Position, rows: usize) -> Vec<Arc<Entry>> {
    let before = entries.partition_point(|entry| entry.position <= at);
    let after = entries.len() - before;
    let kept_before = before.min((rows / 2 + 1).max(rows.saturating_sub(after)));
    entries.into_iter().skip(before - kept_before).take(rows).collect()
}

fn end_note(direction: Direction) -> Note {
    match direction {
        Direction::Forward => Note::told("this is the end of the journal; F follows it"),
        Direction::Backward => Note::told("this is before the first entry"),
    }
}

fn wrong(error: &Error) -> Note {
    Note::wrong(format!("{error}; {}", error.remedy()))
}

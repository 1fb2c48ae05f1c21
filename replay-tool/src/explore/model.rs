//! What the screen is in, and what follows from what is typed and answered. Pure: it reads nothing and draws nothing.

use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyEvent, KeyEventKind};
use tachograph_engine::domain::{Position, Timestamp};

use super::halt::Progress;
use super::keys::{self, Key};
use super::layout::{Layout, Pane};
use super::machine::Direction;
use super::prompt::{self, Asked, Place, Prompt, Typed};
use super::scene::{Lane, Scene};
use super::session::{Answer, Note, Request};
use super::wanted::{Kind, Wanted};

/// Requests that wait at most while one is being answered; what is typed beyond that is dropped.
const WAITING_MAX: usize = 32;

/// What lies on top of the panes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// A line that is typed.
    Prompt(Prompt),
    /// The kinds of entries to choose from, with the chosen one.
    Kinds(usize),
    /// All of the entry at the cursor, so many rows down.
    Detail(u16),
    /// The keys, so many rows down.
    Help(u16),
}

/// What comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The screen has this size now: columns, rows.
    Resized(u16, u16),
    /// The request that was sent is answered.
    Answered(Box<Answer>),
    /// The request that was sent has come so far.
    Progressed(Progress),
    /// A while has passed.
    Tick,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send a request. The next one is sent only after its answer.
    Send(Request),
    /// End the request that was sent.
    Cancel,
    /// Draw everything anew.
    Redraw,
    /// Stop the process until it is continued.
    Suspend,
    /// End.
    Quit,
}

/// What the screen is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The journal, as the heading names it.
    pub data: String,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The pane that keys are for.
    pub focus: Pane,
    /// What lies on top.
    pub overlay: Option<Overlay>,
    /// What there is to see.
    pub scene: Scene,
    /// How far the request that was sent has come; absent if none is being answered.
    pub busy: Option<Progress>,
    /// What else is to be said.
    pub note: Option<Note>,
    /// Whether the end of the journal is followed.
    pub follows: bool,
    /// Rows of the state that are scrolled past.
    pub scrolled: u16,
    waiting: VecDeque<Request>,
    last_search: Option<Wanted>,
    last_run_search: Option<String>,
}

impl Model {
    /// A screen of this size that shows nothing yet, and the request for the first scene.
    pub fn new(data: String, size: (u16, u16), first: Request) -> (Self, Vec<Command>) {
        let mut model = Self {
            data,
            size,
            focus: Pane::default(),
            overlay: None,
            scene: Scene::default(),
            busy: None,
            note: None,
            follows: false,
            scrolled: 0,
            waiting: VecDeque::new(),
            last_search: None,
            last_run_search: None,
        };
        let commands = model.ask(first);
        (model, commands)
    }

    /// Where the panes are.
    pub fn layout(&self) -> Layout {
        Layout::of(self.size.0, self.size.1, self.focus)
    }

    /// Takes in what came, and says what is to be done.
    pub fn update(&mut self, input: Input) -> Vec<Command> {
        match input {
            Input::Key(event) if event.kind == KeyEventKind::Release => Vec::new(),
            Input::Key(event) => self.pressed(event),
            Input::Resized(columns, rows) => {
                self.size = (columns, rows);
                self.ask(Request::Show)
            }
            Input::Answered(answer) => self.answered(*answer),
            Input::Progressed(progress) => {
                self.busy = self.busy.map(|_| progress);
                Vec::new()
            }
            Input::Tick if self.follows && self.busy.is_none() => self.ask(Request::End),
            Input::Tick => Vec::new(),
        }
    }

    fn answered(&mut self, answer: Answer) -> Vec<Command> {
        if answer.scene.selected != self.scene.selected {
            self.scrolled = 0;
        }
        if let Some(Overlay::Detail(rows)) = &mut self.overlay
            && answer.scene.position != self.scene.position
        {
            *rows = 0;
        }
        self.scene = answer.scene;
        self.note = answer.note.or_else(|| self.note.take().filter(|_| self.follows));
        self.busy = None;
        match self.waiting.pop_front() {
            Some(next) => self.ask(next),
            None => Vec::new(),
        }
    }

    fn ask(&mut self, request: Request) -> Vec<Command> {
        if self.busy.is_some() {
            // One look at a new size shows what any number would.
            let is_known = request == Request::Show && self.waiting.contains(&request);
            if !is_known && self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(request);
            }
            return Vec::new();
        }
        self.busy = Some(Progress::default());
        vec![Command::Send(request)]
    }

    /// The same for what a person asked for: what was said about the request before is done with.
    fn go(&mut self, request: Request) -> Vec<Command> {
        self.note = None;
        self.follows = false;
        self.ask(request)
    }

    fn pressed(&mut self, event: KeyEvent) -> Vec<Command> {
        if let Some(Overlay::Prompt(prompt)) = &mut self.overlay {
            let asked = prompt.asked;
            return match prompt.key(event) {
                Typed::More => Vec::new(),
                Typed::GivenUp => self.close(),
                Typed::Done(text) => self.typed(asked, text),
            };
        }
        let Some(key) = keys::key(event) else { return Vec::new() };
        match (key, &mut self.overlay) {
            (Key::Quit, None) => vec![Command::Quit],
            // The letter closes what lies on top; Ctrl-C ends always.
            (Key::Quit, Some(_)) if event.modifiers.is_empty() => self.close(),
            (Key::Quit, Some(_)) => vec![Command::Quit],
            (Key::Suspend, _) => vec![Command::Suspend],
            (Key::Redraw, _) => vec![Command::Redraw],
            (Key::Escape, Some(_)) | (Key::Help, Some(Overlay::Help(_))) | (Key::Detail, Some(Overlay::Detail(_))) => {
                self.close()
            }
            (key, Some(Overlay::Kinds(chosen))) => {
                let chosen = *chosen;
                self.choosing(key, chosen)
            }
            (Key::Row(by), Some(Overlay::Detail(rows) | Overlay::Help(rows))) => scroll(rows, by),
            (Key::Page(by), Some(Overlay::Detail(rows) | Overlay::Help(rows))) => {
                scroll(rows, by.saturating_mul(page(self.size.1)))
            }
            (_, Some(Overlay::Help(_))) => Vec::new(),
            (key, Some(Overlay::Detail(_) | Overlay::Prompt(_)) | None) => self.panes(key),
        }
    }

    fn close(&mut self) -> Vec<Command> {
        self.overlay = None;
        Vec::new()
    }

    fn open(&mut self, overlay: Overlay) -> Vec<Command> {
        self.note = None;
        self.overlay = Some(overlay);
        Vec::new()
    }

    fn choosing(&mut self, key: Key, chosen: usize) -> Vec<Command> {
        let (count, step) = (Kind::ALL.len(), |by: i64| if by > 0 { 1 } else { Kind::ALL.len() - 1 });
        match key {
            Key::Row(by) => self.overlay = Some(Overlay::Kinds((chosen + step(by)) % count)),
            Key::Start => self.overlay = Some(Overlay::Kinds(0)),
            Key::End => self.overlay = Some(Overlay::Kinds(count - 1)),
            Key::Detail => {
                self.overlay = None;
                return self.search(Wanted::Kind(Kind::ALL[chosen % count]), Direction::Forward);
            }
            _ => {}
        }
        Vec::new()
    }

    fn typed(&mut self, asked: Asked, text: String) -> Vec<Command> {
        self.overlay = None;
        match asked {
            Asked::Place => match prompt::place(&text, self.here()) {
                Ok(Place::At(as_of)) => self.go(Request::To(as_of)),
                Ok(Place::By(micros)) => self.by(micros),
                Err(why) => {
                    self.note = Some(Note::wrong(why));
                    Vec::new()
                }
            },
            Asked::Run => {
                self.last_run_search = Some(text.clone());
                self.go(Request::SelectText(text, Direction::Forward))
            }
            Asked::Entry => self.search(Wanted::Text(text), Direction::Forward),
        }
    }

    fn search(&mut self, wanted: Wanted, direction: Direction) -> Vec<Command> {
        self.last_search = Some(wanted.clone());
        self.go(Request::Find(wanted, direction))
    }

    fn again(&mut self, direction: Direction) -> Vec<Command> {
        match (&self.last_run_search, &self.last_search) {
            (Some(text), _) if self.focus == Pane::Runs => self.go(Request::SelectText(text.clone(), direction)),
            (_, Some(wanted)) if self.focus != Pane::Runs => self.go(Request::Find(wanted.clone(), direction)),
            _ => {
                self.note = Some(Note::told("nothing was searched here before; / searches"));
                Vec::new()
            }
        }
    }

    /// When the entry at the cursor was recorded.
    fn here(&self) -> Option<Timestamp> {
        self.scene.entry.as_ref().map(|entry| entry.recorded_at)
    }

    fn by(&mut self, micros: i64) -> Vec<Command> {
        let direction = if micros < 0 { Direction::Backward } else { Direction::Forward };
        let Some(here) = self.here() else {
            // Before the first entry there is no time; what comes next has one.
            return if micros > 0 { self.go(Request::Step(1)) } else { self.go(Request::Start) };
        };
        let time = Timestamp::from_micros(here.as_micros().saturating_add(micros));
        self.go(Request::Find(Wanted::Time(time), direction))
    }

    fn panes(&mut self, key: Key) -> Vec<Command> {
        match key {
            Key::Step(by) => self.go(Request::Step(by)),
            Key::Row(by) => self.rows(by),
            Key::Page(by) => {
                let rows = self.layout().rows();
                let rows = if self.focus == Pane::Runs { rows.runs } else { rows.timeline };
                self.rows(by.saturating_mul(page(u16::try_from(rows).unwrap_or(u16::MAX))))
            }
            Key::Own(by) => self.go(Request::Own(by)),
            Key::Seconds(by) => self.by(by.saturating_mul(1_000_000)),
            Key::Start => self.go(Request::Start),
            Key::End => self.go(Request::End),
            Key::GoTo => self.open(Overlay::Prompt(Prompt::of(Asked::Place))),
            Key::Search => {
                let asked = if self.focus == Pane::Runs { Asked::Run } else { Asked::Entry };
                self.open(Overlay::Prompt(Prompt::of(asked)))
            }
            Key::Again(direction) => self.again(direction),
            Key::Refusal(direction) => self.search(Wanted::Kind(Kind::Refused), direction),
            Key::Kind => self.open(Overlay::Kinds(0)),
            Key::Filter(by) => self.go(Request::Filter(self.scene.filter.turned(by))),
            Key::Lane => {
                let other = if self.scene.lane == Lane::Journal { Lane::Run } else { Lane::Journal };
                self.go(Request::Lane(other))
            }
            Key::Follow => self.follow(),
            Key::Focus(by) => {
                self.focus = self.focus.turned(by);
                // In a small screen another pane is another size.
                self.ask(Request::Show)
            }
            Key::Detail => self.open(Overlay::Detail(0)),
            Key::Help => self.open(Overlay::Help(0)),
            Key::Escape => self.escape(),
            Key::Redraw => vec![Command::Redraw],
            Key::Suspend => vec![Command::Suspend],
            Key::Quit => vec![Command::Quit],
        }
    }

    fn rows(&mut self, by: i64) -> Vec<Command> {
        match (self.focus, self.scene.lane) {
            (Pane::Runs, _) => self.go(Request::Select(by)),
            (Pane::Timeline, Lane::Journal) => self.go(Request::Step(by)),
            (Pane::Timeline, Lane::Run) => self.go(Request::Own(by)),
            (Pane::State, _) => scroll(&mut self.scrolled, by),
        }
    }

    fn follow(&mut self) -> Vec<Command> {
        if std::mem::take(&mut self.follows) {
            self.note = None;
            return Vec::new();
        }
        let commands = self.go(Request::End);
        self.follows = true;
        self.note = Some(Note::told("following the end of the journal; any move ends it"));
        commands
    }

    fn escape(&mut self) -> Vec<Command> {
        self.waiting.clear();
        self.follows = false;
        self.note = None;
        if self.busy.is_some() { vec![Command::Cancel] } else { Vec::new() }
    }

    /// Whether the journal goes on beyond the cursor.
    pub fn is_at_end(&self) -> bool {
        self.scene.position >= self.scene.head && self.scene.head > Position::ZERO
    }
}

fn scroll(rows: &mut u16, by: i64) -> Vec<Command> {
    *rows = u16::try_from(i64::from(*rows).saturating_add(by).clamp(0, i64::from(u16::MAX))).unwrap_or(0);
    Vec::new()
}

/// Rows of a page: one less than there are, so that one stays in sight.
fn page(rows: u16) -> i64 {
    i64::from(rows.saturating_sub(1).max(1))
}

//! A screen that is driven without a terminal and without a thread: every request is answered at once.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use tachograph_engine::domain::RunId;
use tachograph_replay::dataset::Dataset;
use tachograph_replay::explore::draw;
use tachograph_replay::explore::halt::unwatched;
use tachograph_replay::explore::model::{Command, Input, Model};
use tachograph_replay::explore::session::{Ask, Request, Session};
use tachograph_replay::explore::theme::Theme;

use crate::kept::{now, run};

pub(crate) struct Driven {
    pub(crate) model: Model,
    session: Session,
    terminal: Terminal<TestBackend>,
    theme: Theme,
    /// What was asked for beside requests.
    pub(crate) other: Vec<Command>,
}

pub(crate) fn key(code: KeyCode) -> Input {
    Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

impl Driven {
    pub(crate) fn over(dataset: Dataset, selected: Option<RunId>, size: (u16, u16), is_colored: bool) -> Self {
        let (model, commands) = Model::new("made".to_owned(), size, Request::End);
        let terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let session = Session::new(dataset, selected);
        let mut driven = Self { model, session, terminal, theme: Theme { is_colored }, other: Vec::new() };
        driven.carry_out(commands);
        driven
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        let mut commands = commands;
        while let Some(command) = commands.pop() {
            match command {
                Command::Send(request) => {
                    let ask = Ask { request, rows: self.model.layout().rows(), now: now() };
                    let answer = run(self.session.answer(&ask, &mut unwatched));
                    commands.extend(self.model.update(Input::Answered(Box::new(answer))));
                }
                other => self.other.push(other),
            }
        }
    }

    pub(crate) fn input(&mut self, input: Input) -> &mut Self {
        let commands = self.model.update(input);
        self.carry_out(commands);
        self
    }

    /// Every character as its key; `\n` is Enter, `\t` Tab, `\x1b` Esc, and arrows are themselves.
    pub(crate) fn typed(&mut self, text: &str) -> &mut Self {
        for char in text.chars() {
            self.input(key(match char {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                '\u{1b}' => KeyCode::Esc,
                '←' => KeyCode::Left,
                '→' => KeyCode::Right,
                '↑' => KeyCode::Up,
                '↓' => KeyCode::Down,
                char => KeyCode::Char(char),
            }));
        }
        self
    }

    pub(crate) fn resized(&mut self, columns: u16, rows: u16) -> &mut Self {
        self.terminal.backend_mut().resize(columns, rows);
        self.terminal.resize(Rect::new(0, 0, columns, rows)).unwrap();
        self.input(Input::Resized(columns, rows))
    }

    pub(crate) fn buffer(&mut self) -> Buffer {
        let (model, theme) = (&self.model, self.theme);
        self.terminal.draw(|frame| draw::screen(frame, model, theme)).unwrap();
        self.terminal.backend().buffer().clone()
    }

    /// What can be read, line by line, without spaces at the ends.
    pub(crate) fn text(&mut self) -> String {
        let buffer = self.buffer();
        let width = usize::from(buffer.area.width).max(1);
        let lines = buffer.content().chunks(width).map(|row| {
            let mut columns = 0;
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                // A wide character stands over the cell behind it as well.
                if column >= columns {
                    line.push_str(cell.symbol());
                    columns = column + unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
                }
            }
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    }
}

//! Between the terminal and the thread that reads: keys in, scenes out.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::draw;
use super::model::{Command, Input, Model};
use super::session::{Ask, Note, Request, Session};
use super::suspension;
use super::terminal::Screen;
use super::theme::Theme;
use super::worker::{Report, Worker};
use crate::error::Error;
use crate::following::LOOK_EVERY;
use crate::interrupt::Interrupts;
use crate::output::Context;

/// How long the reader of keys waits for the rest of one.
const REST_OF_KEY: Duration = Duration::from_millis(50);

/// Why the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody asked for it.
    Quit,
    /// This signal asked for it.
    Signal(Number),
    /// The terminal went away.
    Gone,
}

/// All that takes part.
struct Stage<'a> {
    context: &'a Context,
    screen: Screen,
    theme: Theme,
    model: Model,
    worker: Worker,
}

/// The signals that matter beside those that ask for an end.
struct Signals {
    asking: Interrupts,
    stop: Signal,
    go_on: Signal,
    resized: Signal,
}

/// What happened.
enum Happened {
    Input(Input),
    Asked(Number),
    Stop,
    WentOn,
    Resized,
    TerminalGone,
    WorkerGone,
}

/// Shows the session on the terminal until somebody has seen enough.
///
/// # Errors
///
/// [`Error::Output`] if the terminal cannot be used, [`Error::Internal`] if the reading thread ended.
pub(crate) async fn show(context: &Context, session: Session, first: Request) -> Result<Left, Error> {
    let mut signals = Signals::install().map_err(Error::output)?;
    let (reports, mut reported) = unbounded_channel();
    let no_thread = || Error::short_of_threads("exploring");
    let worker = Worker::start(session, reports).map_err(no_thread())?;
    let theme = Theme { is_colored: context.is_colored(&io::stdout()) };
    let screen = Screen::enter(theme.is_colored).map_err(Error::output)?;
    let (model, commands) = Model::new(context.data.display().to_string(), screen.size(), first);
    let mut stage = Stage { context, screen, theme, model, worker };
    let (keys, mut pressed) = unbounded_channel();
    let read = move || read_keys(&keys);
    std::thread::Builder::new().name("tacho-keys".to_owned()).spawn(read).map_err(no_thread())?;
    if let Some(left) = stage.carry_out(commands)? {
        return Ok(left);
    }
    loop {
        stage.draw()?;
        let mut happened = next(&mut signals, &mut reported, &mut pressed, stage.model.follows).await;
        // Whatever else happened by now is taken in before anything is drawn.
        loop {
            if let Some(left) = stage.take_in(happened)? {
                return Ok(left);
            }
            match pressed.try_recv() {
                Ok(event) => happened = Happened::Input(Input::Key(event)),
                Err(_) => break,
            }
        }
    }
}

async fn next(
    signals: &mut Signals,
    reported: &mut UnboundedReceiver<Report>,
    pressed: &mut UnboundedReceiver<KeyEvent>,
    follows: bool,
) -> Happened {
    tokio::select! {
        number = signals.asking.next() => Happened::Asked(number),
        _ = signals.stop.recv() => Happened::Stop,
        _ = signals.go_on.recv() => Happened::WentOn,
        _ = signals.resized.recv() => Happened::Resized,
        report = reported.recv() => match report {
            Some(Report::Answered(answer)) => Happened::Input(Input::Answered(answer)),
            Some(Report::Progressed(progress)) => Happened::Input(Input::Progressed(progress)),
            None => Happened::WorkerGone,
        },
        key = pressed.recv() => match key {
            Some(event) => Happened::Input(Input::Key(event)),
            None => Happened::TerminalGone,
        },
        () = tokio::time::sleep(LOOK_EVERY), if follows => Happened::Input(Input::Tick),
    }
}

impl Signals {
    fn install() -> io::Result<Self> {
        let of = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        Ok(Self {
            asking: Interrupts::install()?,
            stop: of(Number::TSTP)?,
            go_on: of(Number::CONT)?,
            resized: of(Number::WINCH)?,
        })
    }
}

impl Stage<'_> {
    fn draw(&mut self) -> Result<(), Error> {
        let (model, theme) = (&self.model, self.theme);
        self.screen.draw(|frame| draw::screen(frame, model, theme)).map_err(Error::output)
    }

    fn take_in(&mut self, happened: Happened) -> Result<Option<Left>, Error> {
        let input = match happened {
            Happened::Input(input) => input,
            Happened::Asked(number) => return Ok(Some(Left::Signal(number))),
            Happened::TerminalGone => return Ok(Some(Left::Gone)),
            Happened::WorkerGone => return Err(Error::internal("the thread that reads the journal ended")),
            Happened::Stop => return self.suspend().map(|()| None),
            Happened::WentOn => {
                self.screen.enter_again().map_err(Error::output)?;
                self.resized()
            }
            Happened::Resized if self.screen.refresh_size().map_err(Error::output)? => self.resized(),
            Happened::Resized => return Ok(None),
        };
        let commands = self.model.update(input);
        self.carry_out(commands)
    }

    fn resized(&self) -> Input {
        let (columns, rows) = self.screen.size();
        Input::Resized(columns, rows)
    }

    fn carry_out(&mut self, commands: Vec<Command>) -> Result<Option<Left>, Error> {
        for command in commands {
            match command {
                Command::Send(request) => {
                    let ask = Ask { request, rows: self.model.layout().rows(), now: self.context.now() };
                    self.worker.send(ask);
                }
                Command::Cancel => self.worker.cancel(),
                Command::Redraw => self.screen.forget().map_err(Error::output)?,
                Command::Suspend => self.suspend()?,
                Command::Quit => return Ok(Some(Left::Quit)),
            }
        }
        Ok(None)
    }

    /// Stops until somebody continues the process; that is told by a signal of its own.
    fn suspend(&mut self) -> Result<(), Error> {
        self.screen.leave();
        if !suspension::stop() {
            self.model.note = Some(Note::told("nobody could continue it here; it goes on"));
        }
        self.screen.enter_again().map_err(Error::output)
    }
}

/// Passes on every key until the terminal goes away.
fn read_keys(keys: &UnboundedSender<KeyEvent>) {
    let stdin = rustix::stdio::stdin();
    loop {
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut polled, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        // The reader of keys would try for ever to read from a terminal that is gone.
        if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return;
        }
        let mut patience = REST_OF_KEY;
        while let Ok(true) = event::poll(patience) {
            match event::read() {
                Ok(Event::Key(event)) if keys.send(event).is_err() => return,
                Ok(_) => {}
                Err(_) => return,
            }
            patience = Duration::ZERO;
        }
    }
}

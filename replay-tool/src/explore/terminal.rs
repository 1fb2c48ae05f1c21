//! The terminal: taken over for as long as the screen is shown, and given back as it was on every way out.

use std::io::{self, IsTerminal, Stdin, Stdout, Write};
use std::sync::{Mutex, Once, PoisonError};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::style::{Attribute, SetAttribute, force_color_output};
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Rect;
use ratatui::{Frame, TerminalOptions, Viewport};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::Error;

/// What a terminal is taken for that does not tell its size.
const SIZE_UNKNOWN: (u16, u16) = (80, 24);

/// The modes to give back; absent while the terminal is not taken over. Whoever takes them out gives them back, so that
/// this happens once, also if a panic comes upon an ordinary end.
static MODES: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, taken over until this is dropped.
pub(crate) struct Screen {
    terminal: ratatui::Terminal<CrosstermBackend<Stdout>>,
    size: (u16, u16),
}

/// Fails unless there is a terminal to show something on and to read keys from.
///
/// # Errors
///
/// [`Error::Input`] that says what is missing.
pub(crate) fn check() -> Result<(), Error> {
    let missing = match (io::stdin().is_terminal(), io::stdout().is_terminal()) {
        (true, true) if std::env::var_os("TERM").is_some_and(|term| term == "dumb") => {
            "a terminal that can place text, and TERM says dumb"
        }
        (true, true) => return Ok(()),
        (false, _) => "a terminal to read keys from, and standard input is none",
        (true, false) => "a terminal to show something on, and standard output is none",
    };
    Err(Error::Input {
        code: "no_terminal",
        message: format!("`tacho explore` needs {missing}"),
        remedy: "run it in a terminal; `tacho runs`, `tacho show` and `tacho timeline` answer without one".to_owned(),
    })
}

impl Screen {
    /// Takes the terminal over: its other screen, no echo, every key at once.
    ///
    /// # Errors
    ///
    /// What the system says; the terminal is then as it was.
    pub(crate) fn enter(is_colored: bool) -> io::Result<Self> {
        give_back_on_panic();
        // `--color` and NO_COLOR are decided by now; nobody else decides again.
        force_color_output(is_colored);
        take_over()?;
        let size = size();
        let viewport = Viewport::Fixed(Rect::new(0, 0, size.0, size.1));
        match ratatui::Terminal::with_options(CrosstermBackend::new(io::stdout()), TerminalOptions { viewport }) {
            Ok(terminal) => Ok(Self { terminal, size }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Columns and rows as they were last looked at.
    pub(crate) fn size(&self) -> (u16, u16) {
        self.size
    }

    /// Looks at the size anew, and returns whether it is another one.
    ///
    /// # Errors
    ///
    /// What the system says; so for all that follow.
    pub(crate) fn refresh_size(&mut self) -> io::Result<bool> {
        let size = size();
        if size == self.size {
            return Ok(false);
        }
        self.size = size;
        self.terminal.resize(Rect::new(0, 0, size.0, size.1))?;
        Ok(true)
    }

    /// Draws what changed.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Forgets what is shown, so that all of it is drawn next.
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal where its cursor is, and would wait for the thread that reads keys.
        self.terminal.resize(Rect::new(0, 0, self.size.0, self.size.1))
    }

    /// Gives the terminal back for a while.
    pub(crate) fn leave(&mut self) {
        give_back();
    }

    /// Takes it over again, whatever happened to it meanwhile. If it never was given back, it is not in between either: a
    /// key that is pressed right now is not lost.
    pub(crate) fn enter_again(&mut self) -> io::Result<()> {
        take_over()?;
        self.refresh_size()?;
        self.forget()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    let stdin = io::stdin();
    let mut raw = modes_to_give_back(&stdin)?;
    raw.make_raw();
    let taken = tcsetattr(&stdin, OptionalActions::Now, &raw)
        .map_err(io::Error::from)
        .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide));
    if taken.is_err() {
        give_back();
    }
    taken
}

/// The modes as they were found, which from here on every way out gives back. Those that were found first count: what
/// others set while this process was stopped is not what it was started with.
fn modes_to_give_back(stdin: &Stdin) -> io::Result<Termios> {
    let mut kept = MODES.lock().unwrap_or_else(PoisonError::into_inner);
    let modes = match kept.take() {
        Some(modes) => modes,
        None => tcgetattr(stdin)?,
    };
    Ok(kept.insert(modes).clone())
}

/// Gives the terminal back as it was; does nothing if it is not taken over.
fn give_back() {
    let Some(before) = MODES.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let mut stdout = io::stdout();
    // If the terminal is gone, there is nothing to give back.
    let _ = queue!(stdout, SetAttribute(Attribute::Reset), Show, LeaveAlternateScreen);
    let _ = stdout.flush();
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
}

/// A panic tells its story on a terminal that shows it.
fn give_back_on_panic() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

fn size() -> (u16, u16) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE_UNKNOWN,
    }
}

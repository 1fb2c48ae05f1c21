//! Ctrl-C while a question is answered: the question is given up, and the prompt stays.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::problem::database;
use crate::error::Error;

/// Steps of SQLite from one look to the next: some tenths of a millisecond.
const STEPS: i32 = 10_000;

/// Whether the question that is being answered is to be given up.
///
/// While none is, the signal ends the process as it does without this, unless the line editor takes it; so it does when it
/// comes a second time.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// That of whoever sits at the terminal.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn of_terminal() -> io::Result<Self> {
        let was_asked = Arc::new(AtomicBool::new(true));
        flag::register_conditional_default(SIGINT, was_asked.clone())?;
        flag::register(SIGINT, was_asked.clone())?;
        Ok(Self(was_asked))
    }

    /// Of nobody.
    pub(super) fn never() -> Self {
        Self(Arc::default())
    }

    /// From here on a question is answered.
    pub(super) fn begin(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// From here on none is.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the question is to be given up.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// What is set once it is.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Has a database give up what it does.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if it is used elsewhere at the moment.
    pub(super) fn watches(&self, connection: &mut Connection) -> Result<(), Error> {
        let asked = self.clone();
        connection.progress_handler(STEPS, Some(move || asked.is_asked())).map_err(|error| database(&error))
    }
}

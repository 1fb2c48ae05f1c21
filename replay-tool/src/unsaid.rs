//! What is said to a reader who may be slow, without waiting for him.

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::patient::RELUCTANT;

/// What any pipe that takes something takes at once.
const PIECE_BYTES_MAX: usize = 4_096;
/// What is kept of lines that nobody takes.
pub(crate) const KEPT_BYTES_MAX: usize = 1_024 * 1_024;

/// What is not taken yet is kept, up to a bound, and offered again with whatever is said next.
#[derive(Debug)]
pub(crate) struct Unsaid<To> {
    pub(crate) to: To,
    pub(crate) text: Vec<u8>,
    /// Lines that there was no room for any more.
    left_out: u64,
}

/// How long a reader is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// As long as he takes something now and then, but no longer than this in all.
    Until {
        /// So long he may take nothing.
        pause_max: Duration,
        /// When it is over.
        end: Instant,
    },
    /// Until he has it all, or is gone.
    Endless,
}

impl Patience {
    /// How long to wait for the next piece to be taken; for ever if there is no bound.
    fn left(self) -> Option<Duration> {
        match self {
            Self::None => Some(Duration::ZERO),
            Self::Until { pause_max, end } => Some(pause_max.min(end.saturating_duration_since(Instant::now()))),
            Self::Endless => None,
        }
    }
}

impl<To> Unsaid<To> {
    pub(crate) const fn to(to: To) -> Self {
        Self { to, text: Vec::new(), left_out: 0 }
    }

    /// Keeps what ends with the end of a line, if there is room. After what there was no room for nothing is kept until the
    /// gap is told.
    pub(crate) fn keep(&mut self, line: &str) {
        if self.left_out > 0 || self.text.len() + line.len() > KEPT_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.text.extend_from_slice(line.as_bytes());
    }

    /// That there is a gap, where it is.
    pub(crate) fn tell_left_out(&mut self) {
        if self.left_out > 0 {
            let told = format!("{} lines that nobody read in time are left out\n", self.left_out);
            self.text.extend_from_slice(told.as_bytes());
            self.left_out = 0;
        }
    }

    /// Up to the end of the last line that is in it, so that nobody else's lines come into the midst of one.
    fn piece(&self) -> &[u8] {
        let piece = &self.text[..self.text.len().min(PIECE_BYTES_MAX)];
        let end = piece.iter().rposition(|byte| *byte == b'\n').map_or(piece.len(), |last| last + 1);
        &piece[..end]
    }
}

impl<To: AsFd + Write> Unsaid<To> {
    /// Says what is taken at once.
    pub(crate) fn say(&mut self) {
        self.say_with(Patience::None);
    }

    /// Says what is taken as long as the patience lasts. Never blocks for longer: no piece is written before it would be taken.
    pub(crate) fn say_with(&mut self, patience: Patience) {
        while !self.text.is_empty() && self.is_taken(patience) {
            let said = {
                let length = self.piece().len();
                self.to.write(&self.text[..length])
            };
            match said {
                Ok(said) => drop(self.text.drain(..said)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What it was given does not wait for its reader, as little as this: it is offered again.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if matches!(patience, Patience::None) {
                        return;
                    }
                    // A terminal with room for half a line's end says that it takes something, too.
                    std::thread::sleep(RELUCTANT);
                }
                // Nobody will read it any more.
                Err(_) => self.text.clear(),
            }
            if self.text.is_empty() {
                self.tell_left_out();
            }
        }
    }

    /// Whether a piece is taken before the patience ends, or nobody will take it.
    fn is_taken(&self, patience: Patience) -> bool {
        loop {
            let left = patience.left().and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.to, PollFlags::OUT)], left.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                ready => return ready.is_ok_and(|ready| ready > 0),
            }
        }
    }
}

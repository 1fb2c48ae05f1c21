//! One armed timer.

use serde::Serialize;
use tachograph_engine::domain::{ArmedTimer, Timestamp};

use crate::machine::WriterState;
use crate::view::ArmedView;

/// One armed timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimerView {
    /// What is known of it from the state of its run alone.
    #[serde(flatten)]
    pub timer: ArmedView,
    /// Position of the entry that armed it.
    pub armed: u64,
    /// When that was recorded.
    pub armed_at: String,
    /// Whether the journal's last writer can still see to it: `alive`, `gone` or `unknown`.
    pub writer: Option<&'static str>,
}

impl TimerView {
    /// A timer as seen at a time.
    pub fn of(timer: &ArmedTimer, name: Option<&str>, now: Timestamp, writer: Option<WriterState>) -> Self {
        Self {
            timer: ArmedView::of(timer, name, now),
            armed: timer.armed.0,
            armed_at: timer.armed_at.to_string(),
            writer: writer.map(WriterState::name),
        }
    }
}

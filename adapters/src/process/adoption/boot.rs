//! Whether an attempt was started in this boot of the machine, by the journal's word.

use tachograph_engine::domain::{EntryBody, Event, Position, RunId, SystemFact};
use tachograph_engine::ports::{JournalError, JournalReader};

use super::super::identity::boot_id;
use super::conclusion::Conclusion;

/// Entries among which openings are looked for at a time, from the end on.
const WINDOW_ENTRIES: u64 = 65_536;

/// Since when a journal was written in this boot alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct ThisBoot {
    since: Position,
}

impl ThisBoot {
    /// Goes back through the openings to the first one in another boot. Without an id of this boot nothing is said about
    /// another one. Openings that were archived may have been in any boot, so that nothing before those that are left
    /// counts as of this one.
    pub(in super::super) async fn find(reader: &dyn JournalReader) -> Result<Self, JournalError> {
        let Ok(boot) = boot_id() else { return Ok(Self { since: Position::ZERO }) };
        // Until an opening is found, what is at the end may have been written in any boot.
        let (mut since, mut end) = (Position(u64::MAX), reader.head().position);
        let archived = reader.archived();
        while end > archived {
            let start = Position(end.0.saturating_sub(WINDOW_ENTRIES)).max(archived);
            for entry in reader.facts(start, end).await?.into_iter().rev() {
                match &entry.body {
                    EntryBody::System(SystemFact::Opened(session)) if is_of(&session.boot_id, &boot) => {
                        since = entry.position;
                    }
                    EntryBody::System(SystemFact::Opened(_)) => return Ok(Self { since }),
                    EntryBody::System(SystemFact::Closed(_) | SystemFact::Recovered { .. })
                    | EntryBody::Committed(_)
                    | EntryBody::Refused(_) => {}
                }
            }
            end = start;
        }
        Ok(Self { since: if archived == Position::ZERO { Position::ZERO } else { since } })
    }

    /// Whether the run's last attempt was started in it.
    async fn saw_start_of(self, reader: &dyn JournalReader, run: RunId) -> Result<bool, JournalError> {
        if self.since == Position::ZERO {
            return Ok(true);
        }
        let history = reader.history(run).await?;
        let starts = |event: &Event| matches!(event, Event::Started { .. });
        let started = history.iter().rev().find(|entry| entry.events().iter().any(starts));
        Ok(started.is_some_and(|entry| entry.position >= self.since))
    }

    /// What is left of a conclusion about an attempt that rests on what is not on disk. Nothing on disk is synced but the
    /// journal and the exit record of a shim that has gone by itself, so that in another boot nothing follows from what is missing.
    pub(in super::super) async fn qualify(
        self,
        reader: &dyn JournalReader,
        run: RunId,
        conclusion: Conclusion,
    ) -> Result<Conclusion, JournalError> {
        let rests_on_absence = matches!(conclusion, Conclusion::StartAbandoned | Conclusion::Unknown { .. });
        if !rests_on_absence || self.saw_start_of(reader, run).await? {
            return Ok(conclusion);
        }
        Ok(Conclusion::of_another_boot())
    }
}

/// Where there is no id, nothing shows another boot.
fn is_of(recorded: &str, boot: &str) -> bool {
    recorded.is_empty() || recorded == boot
}

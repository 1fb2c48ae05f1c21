//! Where drafts go: their positions, back pointers and the check of their versions.

use std::collections::HashMap;

use tachograph_engine::domain::{Entry, EntryBody, Position, RunId, Version};
use tachograph_engine::ports::{AppendError, Draft, JournalError, RunHead};

/// The drafts as entries after a position, for journals that are the only writers of their runs. `head_of` knows the
/// ends of the runs before the first draft.
///
/// # Errors
///
/// [`AppendError::Conflict`] if a run is at another version than a draft expects, [`AppendError::Journal`] if its head
/// is not known.
pub(crate) fn place(
    drafts: Vec<Draft>,
    after: Position,
    head_of: impl Fn(RunId) -> Result<Option<RunHead>, JournalError>,
) -> Result<Vec<Entry>, AppendError> {
    // Ends of the runs that the drafts before have moved already.
    let mut moved: HashMap<RunId, RunHead> = HashMap::new();
    let mut position = after;
    let mut entries = Vec::with_capacity(drafts.len());
    for Draft { id, recorded_at, body } in drafts {
        position = position.next();
        let mut entry = Entry { id, position, recorded_at, previous: None, body };
        if let Some(run) = entry.run() {
            let before = match moved.get(&run) {
                Some(head) => Some(*head),
                None => head_of(run)?,
            };
            if let Some(version) = version_after(&entry.body, run, before)? {
                moved.insert(run, RunHead { version, last: position });
            }
            entry.previous = before.map(|head| head.last);
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The run's version after the entry, if it has a history then.
fn version_after(body: &EntryBody, run: RunId, before: Option<RunHead>) -> Result<Option<Version>, AppendError> {
    match body {
        EntryBody::Committed(committed) => {
            let actual = before.map_or(Version::ZERO, |head| head.version);
            let expected = committed.version.0.checked_sub(committed.events.len() as u64).map(Version);
            if expected == Some(actual) {
                Ok(Some(committed.version))
            } else {
                Err(AppendError::Conflict { run, actual })
            }
        }
        EntryBody::Refused(_) | EntryBody::System(_) => Ok(before.map(|head| head.version)),
    }
}

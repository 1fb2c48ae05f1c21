//! Events that left nothing in the journal.

use std::collections::{HashSet, VecDeque};

use tachograph_engine::domain::CommandId;

/// Events without an entry that are remembered.
const SILENT_MAX: usize = 65_536;

/// Events that left no entry by which they are known again: what had been told by others before, and refusals that were only
/// counted. Told once more by a stream that overlaps, they might say something, which would be wrong. The last ones are kept.
#[derive(Debug, Default)]
pub(super) struct Silent {
    known: HashSet<CommandId>,
    order: VecDeque<CommandId>,
}

impl Silent {
    pub(super) fn knows(&self, event: CommandId) -> bool {
        self.known.contains(&event)
    }

    pub(super) fn remember(&mut self, event: CommandId) {
        if self.known.insert(event) {
            self.order.push_back(event);
        }
        if self.order.len() > SILENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

//! Who took a name last, out of a history from its beginning.

use std::collections::HashSet;

use tachograph_engine::domain::{Entry, Event, RunId};

/// A look for the run that took a name last: the last one counts, so nothing is known before the end.
pub(crate) struct LastHolder<'a> {
    name: &'a str,
    named: HashSet<RunId>,
    last: Option<RunId>,
}

impl<'a> LastHolder<'a> {
    pub(crate) fn of(name: &'a str) -> Self {
        Self { name, named: HashSet::new(), last: None }
    }

    /// Begins where these had the name already, the last one last.
    pub(crate) fn begin(&mut self, named: Vec<RunId>) {
        self.last = named.last().copied();
        self.named.extend(named);
    }

    /// Looks at the next entry. A run takes its name when it is created, and again with each start.
    pub(crate) fn see(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        for event in entry.events() {
            let takes = match event {
                Event::Created { spec, .. } => spec.name.as_deref() == Some(self.name) && self.named.insert(run),
                Event::Started { .. } => self.named.contains(&run),
                _ => false,
            };
            if takes {
                self.last = Some(run);
            }
        }
    }

    pub(crate) fn found(self) -> Option<RunId> {
        self.last
    }
}

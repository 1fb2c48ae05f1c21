//! Row ids as a table gives them, again and again.

use std::collections::{BTreeMap, HashMap};

use tachograph_engine::domain::{Action, Command, Run, RunId};

use super::waiver::{claim_current, name_current};

/// A row for every run: the largest id in use plus one, free again once its run is destroyed.
#[derive(Debug, Default)]
pub(super) struct Rows {
    holders: BTreeMap<u32, RunId>,
    rows: HashMap<RunId, u32>,
}

impl Rows {
    /// A run exists: it gets a row, unless it has one.
    pub(super) fn insert(&mut self, run: RunId) {
        let next = self.holders.keys().next_back().map_or(1, |last| last.saturating_add(1));
        if self.rows.get(&run).is_none_or(|row| self.holders.get(row) != Some(&run)) {
            self.holders.insert(next, run);
            self.rows.insert(run, next);
        }
    }

    /// A run was destroyed: its row is deleted.
    pub(super) fn delete(&mut self, run: RunId) {
        if let Some(row) = self.rows.get(&run).filter(|row| self.holders.get(row) == Some(&run)) {
            self.holders.remove(row);
        }
    }

    /// The run that has the row now that once was this run's, if that is another one.
    pub(super) fn successor(&self, run: RunId) -> Option<RunId> {
        self.holders.get(self.rows.get(&run)?).copied().filter(|holder| *holder != run)
    }
}

/// Lets a command that names a row meet the run that has it now. A row is all that it names: there is no attempt and no
/// runner to be wrong about.
pub(super) fn readdress(command: &mut Command, to: &Run) {
    command.run = to.id;
    command.expected = None;
    match &mut command.action {
        Action::Start { .. } => drop(name_current(command, to)),
        Action::Wait { claim, .. }
        | Action::Exit { claim, .. }
        | Action::Fail { claim, .. }
        | Action::ScheduleSnapshot { claim, .. }
        | Action::DisconnectRunner { claim } => {
            claim.run = to.id;
            claim_current(command, to);
        }
        Action::AmendExit { .. } | Action::Reconcile { .. } => claim_current(command, to),
        Action::Create { .. }
        | Action::Destroy { .. }
        | Action::CancelSnapshot { .. }
        | Action::DispatchSnapshot { .. }
        | Action::CompleteSnapshot { .. }
        | Action::FailSnapshot { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids::run;

    use super::*;

    #[test]
    fn a_row_is_given_again_only_if_it_was_the_last() {
        let mut rows = Rows::default();
        (1..=3).for_each(|number| rows.insert(run(number)));
        rows.delete(run(2));
        rows.insert(run(4));
        assert_eq!((rows.successor(run(2)), rows.rows[&run(4)]), (None, 4));
        rows.delete(run(4));
        rows.insert(run(5));
        rows.insert(run(5));
        assert_eq!((rows.successor(run(4)), rows.successor(run(5))), (Some(run(5)), None));
    }
}

//! How often which actor was refused how, so that a flood of refusals cannot fill the disk.

use std::collections::{HashMap, VecDeque};

use crate::domain::{Command, CommandId, Refusal, RunId};

/// Kinds of refusal that are counted at a time; 24 bytes each, twice.
const KEYS_MAX: usize = 65_536;
/// Commands that are remembered although their refusal was not recorded.
const TOLD_MAX: usize = 4_096;

/// Counts refusals by run, actor, action and code.
///
/// The counts live as long as the engine is open and begin again when it is reopened. When more kinds are met than
/// can be kept, the oldest are forgotten and count from one again: a refusal is rather recorded once more than never.
#[derive(Debug, Default)]
pub(super) struct RefusalCounts {
    counts: HashMap<Key, u64>,
    order: VecDeque<Key>,
    /// What the batch counted, for the case that it is decided again.
    batch: Vec<Key>,
    /// How many of the last ones in `told_order` the batch added.
    batch_told: usize,
    /// Commands whose refusal was counted only: their retries get the same answer for a while.
    told: HashMap<(RunId, CommandId), Refusal>,
    told_order: VecDeque<(RunId, CommandId)>,
}

type Key = [u8; 16];

impl RefusalCounts {
    /// Counts one refusal. Returns its number if it is to be recorded: the 1st, 2nd, 4th, 8th… of its kind.
    ///
    /// `is_known` says whether the run was ever created: refusals of others count together, since inventing a run id
    /// costs the sender nothing.
    pub(super) fn count(&mut self, command: &Command, refusal: &Refusal, is_known: bool) -> Option<u64> {
        let key = key(command, refusal, is_known);
        self.batch.push(key);
        let count = match self.counts.get_mut(&key) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count
            }
            None => {
                self.remember(key);
                1
            }
        };
        if count.is_power_of_two() {
            return Some(count);
        }
        self.tell(command, refusal);
        None
    }

    /// The refusal that a command was told before without a record of it.
    pub(super) fn told(&self, run: RunId, command: CommandId) -> Option<&Refusal> {
        self.told.get(&(run, command))
    }

    /// The batch is answered: what it counted stays.
    pub(super) fn keep_batch(&mut self) {
        self.batch.clear();
        self.batch_told = 0;
    }

    /// The batch is decided again: what it counted did not happen.
    pub(super) fn forget_batch(&mut self) {
        for key in std::mem::take(&mut self.batch) {
            if let Some(count) = self.counts.get_mut(&key) {
                *count = count.saturating_sub(1);
            }
        }
        for _ in 0..std::mem::take(&mut self.batch_told) {
            if let Some(told) = self.told_order.pop_back() {
                self.told.remove(&told);
            }
        }
    }

    fn remember(&mut self, key: Key) {
        if self.order.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.order.push_back(key);
        self.counts.insert(key, 1);
    }

    fn tell(&mut self, command: &Command, refusal: &Refusal) {
        let id = (command.run, command.id);
        if self.told.insert(id, refusal.clone()).is_some() {
            return;
        }
        self.told_order.push_back(id);
        self.batch_told += 1;
        if self.told_order.len() > TOLD_MAX
            && let Some(oldest) = self.told_order.pop_front()
        {
            self.told.remove(&oldest);
        }
    }
}

fn key(command: &Command, refusal: &Refusal, is_known: bool) -> Key {
    let mut hasher = blake3::Hasher::new();
    let run = if is_known { command.run.to_u128() } else { 0 };
    hasher.update(&run.to_le_bytes());
    let detail = match refusal {
        Refusal::NameHeld { name, .. } => name.as_str(),
        Refusal::InvalidInput { field, .. } => field.as_str(),
        _ => "",
    };
    for part in [command.action.name().name(), refusal.code(), command.actor.kind.name(), &command.actor.id, detail] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut key = Key::default();
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{command, ids};
    use crate::domain::{Action, Actor, ActorKind};

    fn destroy(run: u64) -> Command {
        command(ids::run(run), Action::Destroy { force: false, why: String::new() })
    }

    #[test]
    fn the_same_refusal_is_recorded_at_powers_of_two() {
        let mut counts = RefusalCounts::default();
        let recorded: Vec<u64> =
            (0..1_000).filter_map(|_| counts.count(&destroy(1), &Refusal::RunDestroyed, true)).collect();
        assert_eq!(recorded, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }

    #[test]
    fn another_run_actor_or_reason_counts_on_its_own() {
        let mut counts = RefusalCounts::default();
        (0..3).for_each(|_| _ = counts.count(&destroy(1), &Refusal::RunDestroyed, true));
        let other_actor = Command { actor: Actor::new(ActorKind::Operator, "test"), ..destroy(1) };
        assert_eq!(counts.count(&destroy(2), &Refusal::RunDestroyed, true), Some(1));
        assert_eq!(counts.count(&other_actor, &Refusal::RunDestroyed, true), Some(1));
        assert_eq!(counts.count(&destroy(1), &Refusal::NothingPending, true), Some(1));
        assert_eq!(counts.count(&destroy(1), &Refusal::RunDestroyed, true), Some(4));
    }

    #[test]
    fn invented_run_ids_share_one_count_and_memory_is_bounded() {
        let mut counts = RefusalCounts::default();
        let recorded =
            (0..1_024).filter(|run| counts.count(&destroy(*run), &Refusal::UnknownRun, false).is_some()).count();
        assert_eq!(recorded, 11);
        (0..KEYS_MAX as u64 + 10).for_each(|run| _ = counts.count(&destroy(run), &Refusal::RunDestroyed, true));
        assert_eq!((counts.counts.len(), counts.order.len()), (KEYS_MAX, KEYS_MAX));
    }

    #[test]
    fn refusals_of_runs_that_were_never_created_share_a_count_whatever_the_reason() {
        let held = |name: &str| Refusal::NameHeld { name: name.to_owned(), holder: ids::run(0) };
        let invalid = Refusal::InvalidInput { field: "spec.name".to_owned(), why: "is empty".to_owned() };
        let version = Refusal::VersionConflict { actual: crate::domain::Version::ZERO };
        for refusal in [held("build"), invalid, version, held("test")] {
            let mut counts = RefusalCounts::default();
            let recorded = (0..1_024).filter(|run| counts.count(&destroy(*run), &refusal, false).is_some()).count();
            assert_eq!(recorded, 11, "{refusal}");
        }
        let mut counts = RefusalCounts::default();
        assert_eq!(counts.count(&destroy(1), &held("build"), false), Some(1));
        assert_eq!(counts.count(&destroy(2), &held("test"), false), Some(1), "another name is another refusal");
    }

    #[test]
    fn a_batch_that_is_decided_again_does_not_count_twice() {
        let mut counts = RefusalCounts::default();
        assert_eq!(counts.count(&destroy(1), &Refusal::RunDestroyed, true), Some(1));
        counts.forget_batch();
        assert_eq!(counts.count(&destroy(1), &Refusal::RunDestroyed, true), Some(1));
        counts.keep_batch();
        counts.forget_batch();
        assert_eq!(counts.count(&destroy(1), &Refusal::RunDestroyed, true), Some(2));
    }

    #[test]
    fn a_command_that_was_refused_without_a_record_is_remembered_for_a_while() {
        let mut counts = RefusalCounts::default();
        let commands: Vec<_> = (0..3).map(|_| destroy(1)).collect();
        for command in &commands {
            counts.count(command, &Refusal::RunDestroyed, true);
        }
        assert_eq!(counts.told(ids::run(1), commands[2].id), Some(&Refusal::RunDestroyed));
        assert_eq!(counts.told(ids::run(1), commands[1].id), None, "this one is on record");
        (0..4 * TOLD_MAX).for_each(|_| _ = counts.count(&destroy(1), &Refusal::RunDestroyed, true));
        assert_eq!((counts.told(ids::run(1), commands[2].id), counts.told.len()), (None, TOLD_MAX));
    }
}

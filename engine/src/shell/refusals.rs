//! How often which actor was refused how, so that a flood of refusals cannot fill the disk.

use std::collections::{HashMap, VecDeque};

use crate::domain::{Command, Refusal};

/// Kinds of refusal that are counted at a time; 24 bytes each, twice.
const KEYS_MAX: usize = 65_536;

/// Counts refusals by run, actor, action and code.
///
/// The counts live as long as the engine is open and begin again when it is reopened. When more kinds are met than
/// can be kept, the oldest are forgotten and count from one again: a refusal is rather recorded once more than never.
#[derive(Debug, Default)]
pub(super) struct RefusalCounts {
    counts: HashMap<Key, u64>,
    order: VecDeque<Key>,
}

type Key = [u8; 16];

impl RefusalCounts {
    /// Counts one refusal. Returns its number if it is to be recorded: the 1st, 2nd, 4th, 8th… of its kind.
    pub(super) fn count(&mut self, command: &Command, refusal: &Refusal) -> Option<u64> {
        let key = key(command, refusal);
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
        count.is_power_of_two().then_some(count)
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
}

fn key(command: &Command, refusal: &Refusal) -> Key {
    let mut hasher = blake3::Hasher::new();
    // Reports about runs that never existed count together: their ids cost the sender nothing.
    if !matches!(refusal, Refusal::UnknownRun) {
        hasher.update(&command.run.to_u128().to_le_bytes());
    }
    for part in [command.action.name().name(), refusal.code(), command.actor.kind.name(), &command.actor.id] {
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
        let recorded: Vec<u64> = (0..1_000).filter_map(|_| counts.count(&destroy(1), &Refusal::RunDestroyed)).collect();
        assert_eq!(recorded, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }

    #[test]
    fn another_run_actor_or_reason_counts_on_its_own() {
        let mut counts = RefusalCounts::default();
        (0..3).for_each(|_| _ = counts.count(&destroy(1), &Refusal::RunDestroyed));
        let other_actor = Command { actor: Actor::new(ActorKind::Operator, "test"), ..destroy(1) };
        assert_eq!(counts.count(&destroy(2), &Refusal::RunDestroyed), Some(1));
        assert_eq!(counts.count(&other_actor, &Refusal::RunDestroyed), Some(1));
        assert_eq!(counts.count(&destroy(1), &Refusal::NothingPending), Some(1));
        assert_eq!(counts.count(&destroy(1), &Refusal::RunDestroyed), Some(4));
    }

    #[test]
    fn invented_run_ids_share_one_count_and_memory_is_bounded() {
        let mut counts = RefusalCounts::default();
        let recorded = (0..1_024).filter(|run| counts.count(&destroy(*run), &Refusal::UnknownRun).is_some()).count();
        assert_eq!(recorded, 11);
        (0..KEYS_MAX as u64 + 10).for_each(|run| _ = counts.count(&destroy(run), &Refusal::RunDestroyed));
        assert_eq!((counts.counts.len(), counts.order.len()), (KEYS_MAX, KEYS_MAX));
    }
}

//! How often which actor was refused how, so that a flood of refusals cannot fill the disk.

use std::collections::{HashMap, VecDeque};

use crate::domain::{Action, AttemptId, Command, CommandId, Guard, Refusal, RunId};

/// Kinds of refusal that are counted at a time; some 64 bytes each.
const KEYS_MAX: usize = 65_536;
/// Runners and attempts that one actor's refused commands about one run are told apart by. Inventing more costs its sender
/// nothing, so what names others counts as if it named none.
const NAMED_MAX: u32 = 64;
/// Commands that are remembered although their refusal was not recorded.
const TOLD_MAX: usize = 4_096;

/// Counts refusals by run, actor, action and code, and by the runner and attempt that the command names.
///
/// The counts live as long as the engine is open and begin again when it is reopened. When more kinds are met than
/// can be kept, the oldest are forgotten and count from one again: a refusal is rather recorded once more than never.
#[derive(Debug, Default)]
pub(super) struct RefusalCounts {
    counts: HashMap<Key, u64>,
    /// Each with whom it counts against, if it is told apart by what it names.
    order: VecDeque<(Key, Option<Key>)>,
    /// How many kinds are told apart by what they name, for each run and actor.
    named: HashMap<Key, u32>,
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
        let (key, told_apart) = self.kind(command, refusal, is_known);
        self.batch.push(key);
        let count = match self.counts.get_mut(&key) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count
            }
            None => {
                self.remember(key, told_apart);
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

    /// Of which kind a refusal is, and whom it counts against if that is told apart by what the command names.
    fn kind(&self, command: &Command, refusal: &Refusal, is_known: bool) -> (Key, Option<Key>) {
        let shared = key(command, refusal, is_known, None);
        let Some(named) = Named::by(&command.action).filter(|_| is_known) else { return (shared, None) };
        let own = key(command, refusal, is_known, Some(&named));
        let of_actor = actor_key(command);
        let has_room = self.named.get(&of_actor).is_none_or(|count| *count < NAMED_MAX);
        if has_room || self.counts.contains_key(&own) { (own, Some(of_actor)) } else { (shared, None) }
    }

    fn remember(&mut self, key: Key, told_apart: Option<Key>) {
        if self.order.len() >= KEYS_MAX
            && let Some((oldest, told_apart)) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
            self.forget_named(told_apart);
        }
        if let Some(of_actor) = told_apart {
            *self.named.entry(of_actor).or_default() += 1;
        }
        self.order.push_back((key, told_apart));
        self.counts.insert(key, 1);
    }

    fn forget_named(&mut self, told_apart: Option<Key>) {
        let Some(of_actor) = told_apart else { return };
        if let Some(count) = self.named.get_mut(&of_actor) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.named.remove(&of_actor);
            }
        }
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

/// In whose right a command was given, as far as it says so.
struct Named<'a> {
    attempt: Option<AttemptId>,
    runner: &'a str,
}

impl<'a> Named<'a> {
    fn by(action: &'a Action) -> Option<Self> {
        if let Action::CancelSnapshot { guard } = action {
            return match guard {
                Guard::Runner(runner) => Some(Self { attempt: None, runner: runner.as_str() }),
                Guard::Unconditional => None,
            };
        }
        action.claim().map(|claim| Self { attempt: Some(claim.attempt), runner: claim.runner.as_str() })
    }
}

fn actor_key(command: &Command) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&command.run.to_u128().to_le_bytes());
    for part in [command.actor.kind.name(), &command.actor.id] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    short(&hasher)
}

fn key(command: &Command, refusal: &Refusal, is_known: bool, named: Option<&Named<'_>>) -> Key {
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
    if let Some(Named { attempt, runner }) = named {
        hasher.update(&attempt.map_or(0, AttemptId::to_u128).to_le_bytes());
        hasher.update(runner.as_bytes());
    }
    short(&hasher)
}

fn short(hasher: &blake3::Hasher) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{claim, command, ids};
    use crate::domain::{Actor, ActorKind, RunnerId};

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

    fn cancel(runner: &str) -> Command {
        command(ids::run(1), Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from(runner)) })
    }

    #[test]
    fn each_runner_in_whose_right_is_canceled_and_each_attempt_that_is_claimed_counts_on_its_own() {
        let mut counts = RefusalCounts::default();
        let not_owner = Refusal::NotOwner { armed_by: "r1".into() };
        for runner in ["a", "b", "c", "d", "e"] {
            assert_eq!(counts.count(&cancel(runner), &not_owner, true), Some(1), "{runner}");
        }
        let unconditional = command(ids::run(1), Action::CancelSnapshot { guard: Guard::Unconditional });
        assert_eq!(counts.count(&unconditional, &not_owner, true), Some(1));
        for number in 1..6 {
            let wait = Action::Wait { claim: claim(ids::run(1), number, "r1"), on: "x".to_owned(), deadline: None };
            let stale = Refusal::StaleAttempt { current: None };
            assert_eq!(counts.count(&command(ids::run(1), wait), &stale, true), Some(1), "{number}");
        }
        assert_eq!(counts.count(&cancel("c"), &not_owner, true), Some(2));
    }

    #[test]
    fn invented_runners_and_attempts_share_one_count_beyond_a_bound() {
        let mut counts = RefusalCounts::default();
        let stale = Refusal::StaleAttempt { current: None };
        let recorded = |counts: &mut RefusalCounts, run: u64| {
            let claims = (0..3_000).map(|number| claim(ids::run(run), number, "r1"));
            let waits = claims.map(|claim| Action::Wait { claim, on: "x".to_owned(), deadline: None });
            waits.filter(|wait| counts.count(&command(ids::run(run), wait.clone()), &stale, true).is_some()).count()
        };
        // Those that are told apart, and the 1st, 2nd, 4th… up to the 2,048th of the 2,936 others.
        assert_eq!(recorded(&mut counts, 1), 64 + 12);
        assert_eq!(recorded(&mut counts, 2), 64 + 12, "another run has room of its own");
        let wait = Action::Wait { claim: claim(ids::run(1), 63, "r1"), on: "x".to_owned(), deadline: None };
        assert_eq!(counts.count(&command(ids::run(1), wait), &stale, true), Some(2), "who was known stays so");
        assert_eq!(counts.named.len(), 2);
        (0..KEYS_MAX as u64).for_each(|run| _ = counts.count(&destroy(run), &Refusal::RunDestroyed, true));
        assert_eq!(counts.named.len(), 0, "it is forgotten with what it counts");
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

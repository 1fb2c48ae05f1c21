//! The recorded world, and beside it the one under changed rules.

use std::collections::{BTreeSet, HashMap};

use tachograph_engine::domain::fleet::{check_name_free, name_wanted};
use tachograph_engine::domain::{
    Action, ActionName, Actor, ActorKind, ArmedSnapshot, Command, CommandId, Decision, Event, Position, Refusal, Run,
    RunId, RunState, SnapshotId, Status, Timestamp, decide, evolve,
};
use tachograph_projections::Decided;

use super::answering::{Answer, answer, is_by_transition};
use super::flip::{Became, Change, Flip, Parted};
use super::rows::{Rows, readdress};
use super::rules::Rules;
use super::waiver::{Waiver, delayed};

/// How the simulated timekeeper names itself.
const TIMEKEEPER: &str = "what-if";

/// All runs as they were recorded, and those that have parted as they would be.
#[derive(Debug, Default)]
pub(super) struct World {
    rules: Rules,
    recorded: HashMap<RunId, RunState>,
    parted: HashMap<RunId, Parted>,
    /// Names held by runs that would not have ended.
    names: HashMap<String, BTreeSet<RunId>>,
    rows: Rows,
    /// Snapshots of parted runs that would be armed, by when they are due.
    armed: BTreeSet<(Timestamp, RunId, SnapshotId)>,
    /// Snapshots that the simulated timekeeper dispatched: what is recorded of their results is not about them.
    simulated: BTreeSet<SnapshotId>,
    /// Recorded commands of the timekeeper that it would not have given.
    pub(super) not_asked: u64,
}

/// A recorded command at its place.
pub(super) struct Recorded<'a> {
    pub(super) position: Position,
    pub(super) command: &'a Command,
    /// What became of it.
    pub(super) became: Became,
    /// Whether it is given where it was recorded.
    pub(super) is_in_place: bool,
}

impl World {
    pub(super) fn under(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Runs that have parted so far, and where.
    pub(super) fn parted(&self) -> impl Iterator<Item = (RunId, Position)> + '_ {
        self.parted.iter().map(|(run, parted)| (*run, parted.at))
    }

    /// Runs that are known in either world.
    pub(super) fn runs(&self) -> usize {
        self.recorded.len()
    }

    /// The runs that come out otherwise, by where they part.
    pub(super) fn into_flips(self) -> Vec<Flip> {
        let unknown = RunState::Unknown;
        let recorded = &self.recorded;
        let flip = |(run, parted): (RunId, Parted)| parted.flip(run, recorded.get(&run).unwrap_or(&unknown));
        let mut flips: Vec<Flip> = self.parted.into_iter().filter_map(flip).collect();
        flips.sort_unstable_by_key(|flip| (flip.parts_at, flip.run));
        flips
    }

    /// A run as it was where what is replayed begins.
    pub(super) fn begin(&mut self, run: Run) {
        let id = run.id;
        self.recorded.insert(id, RunState::Known(Box::new(run)));
        self.see(id);
    }

    /// Whether anything is known of a run.
    pub(super) fn knows(&self, run: RunId) -> bool {
        self.recorded.contains_key(&run)
    }

    fn recorded(&self, run: RunId) -> &RunState {
        const UNKNOWN: &RunState = &RunState::Unknown;
        self.recorded.get(&run).unwrap_or(UNKNOWN)
    }

    /// A run as it would be.
    fn would_be(&self, run: RunId) -> &RunState {
        self.parted.get(&run).map_or_else(|| self.recorded(run), |parted| &parted.state)
    }

    fn check_name(&self, state: &RunState, command: &Command) -> Result<(), Refusal> {
        let Some(name) = name_wanted(state, command) else { return Ok(()) };
        let other = self.names.get(name).into_iter().flatten().find(|holder| **holder != command.run);
        check_name_free(command.run, name, other.copied())
    }

    /// A run of which entries are missing is left out of both worlds.
    pub(super) fn forget(&mut self, run: RunId) {
        self.recorded.remove(&run);
        self.parted.remove(&run);
        self.names.retain(|_, holders| {
            holders.remove(&run);
            !holders.is_empty()
        });
    }

    /// A command is given in the world under changed rules. What was recorded is [folded](Self::fold) afterwards.
    pub(super) fn give(&mut self, recorded: &Recorded<'_>) {
        let mut command = recorded.command.clone();
        if let Some(delay_ms) = self.rules.snapshot_delay_ms {
            delayed(&mut command, delay_ms);
        }
        let to = self.readdressed(&mut command);
        let is_at_home = recorded.is_in_place && to == recorded.command.run;
        if is_at_home && self.is_left_out(&command, &recorded.became) {
            self.not_asked += 1;
            return self.change(recorded, to, Became::NotAsked, Vec::new());
        }
        let goes_along = is_at_home && !self.parted.contains_key(&to);
        if goes_along && self.is_as_recorded(&command, recorded) {
            return;
        }
        let Answer { decided, after, waived } =
            answer(&self.rules, self.would_be(to), &command, |state, command| self.check_name(state, command));
        let would_be = Became::Decided(decided);
        if !recorded.became.is_like(&would_be) {
            self.change(recorded, to, would_be.clone(), waived);
        } else if goes_along && waived.is_empty() {
            return;
        }
        if let Some(after) = after {
            self.put(to, recorded.position, after, &would_be);
        }
    }

    /// A command is not given in the world under changed rules.
    pub(super) fn withhold(&mut self, recorded: &Recorded<'_>, why: Became) {
        if recorded.became.is_written() {
            self.change(recorded, recorded.command.run, why, Vec::new());
        }
    }

    /// What was recorded becomes true in the recorded world.
    pub(super) fn fold(&mut self, run: RunId, events: &[Event]) {
        let state = self.recorded.remove(&run).unwrap_or_default();
        let state = events.iter().fold(state, evolve);
        self.recorded.insert(run, state);
        if let Some(parted) = self.parted.get_mut(&run) {
            parted.snapshots_recorded.extend(dispatched(events));
        }
        // Also of a run that has parted: what is recorded no more of its timer is up to the simulated timekeeper.
        self.see(run);
    }

    /// Time passes in the world under changed rules: what is armed otherwise than was recorded, and is due, fires.
    pub(super) fn pass(&mut self, now: Timestamp, before: Position) {
        while let Some((due, run, snapshot)) = self.armed.first().copied().filter(|(due, ..)| *due <= now) {
            self.armed.pop_first();
            let is_armed =
                |state: &RunState| armed(state).is_some_and(|armed| (armed.due, armed.id) == (due, snapshot));
            if is_armed(self.would_be(run)) && !is_armed(self.recorded(run)) {
                self.fire(run, snapshot, due.max(now), before);
            }
        }
    }

    fn fire(&mut self, run: RunId, snapshot: SnapshotId, now: Timestamp, before: Position) {
        let command = Command {
            id: CommandId::from_u128(snapshot.to_u128()),
            run,
            actor: Actor::new(ActorKind::Timer, TIMEKEEPER),
            issued_at: now,
            expected: None,
            action: Action::DispatchSnapshot { snapshot },
        };
        let Answer { decided, after, waived } = answer(&self.rules, self.would_be(run), &command, |_, _| Ok(()));
        let would_be = Became::Decided(decided);
        let Some(mut after) = after else { return };
        // How long it takes is not known: it is taken at once.
        if let RunState::Known(run) = &mut after {
            run.in_flight = None;
        }
        self.simulated.insert(snapshot);
        if let Some(parted) = self.parted.get_mut(&run) {
            let (action, recorded) = (ActionName::DispatchSnapshot, Became::NotAsked);
            let change =
                Change { position: before, run, command: None, action, recorded, would_be: would_be.clone(), waived };
            parted.note(change);
        }
        self.put(run, before, after, &would_be);
    }

    /// Whether the command comes to what was recorded, with nothing that changed rules could do about it.
    fn is_as_recorded(&self, command: &Command, recorded: &Recorded<'_>) -> bool {
        let state = self.recorded(command.run);
        let decision = decide(state, command).and_then(|decision| self.check_name(state, command).map(|()| decision));
        match (decision, &recorded.became) {
            (Ok(Decision::Append(events)), Became::Decided(Decided::Written { events: written, .. })) => {
                let leaves_out = self.rules.lack(Waiver::TransitionCancel) && events.iter().any(is_by_transition);
                events == *written && !leaves_out
            }
            (Err(refusal), Became::Decided(Decided::Refused(_))) => {
                Waiver::of(&refusal).is_none_or(|waiver| !self.rules.lack(waiver))
            }
            _ => false,
        }
    }

    /// Whether the timekeeper would not give this command, because the run is not as it was then: dispatches follow what is
    /// armed, and results follow dispatches.
    fn is_left_out(&self, command: &Command, became: &Became) -> bool {
        let run = command.run;
        let Some(parted) = self.parted.get(&run) else { return false };
        match &command.action {
            Action::DispatchSnapshot { snapshot } => {
                let due = |state: &RunState| armed(state).filter(|armed| armed.id == *snapshot).map(|armed| armed.due);
                self.simulated.contains(snapshot) || due(&parted.state) != due(self.recorded(run))
            }
            Action::CompleteSnapshot { snapshot, .. } | Action::FailSnapshot { snapshot, .. } => {
                let in_flight = parted.state.run().and_then(|run| run.in_flight.as_ref());
                became.is_written() && in_flight.is_none_or(|in_flight| in_flight.id != *snapshot)
            }
            Action::Create { .. }
            | Action::Start { .. }
            | Action::Wait { .. }
            | Action::Exit { .. }
            | Action::Fail { .. }
            | Action::Destroy { .. }
            | Action::ScheduleSnapshot { .. }
            | Action::CancelSnapshot { .. }
            | Action::DisconnectRunner { .. }
            | Action::AmendExit { .. }
            | Action::Reconcile { .. } => false,
        }
    }

    /// Lets a command meet the run that has its row now, and returns the run that it is about.
    fn readdressed(&self, command: &mut Command) -> RunId {
        if self.rules.naive_row_ids
            && !matches!(command.action, Action::Create { .. })
            && let Some(successor) = self.rows.successor(command.run)
            && let Some(run) = self.would_be(successor).run()
        {
            readdress(command, run);
        }
        command.run
    }

    fn change(&mut self, recorded: &Recorded<'_>, run: RunId, would_be: Became, waived: Vec<Waiver>) {
        let Recorded { position, command, became, is_in_place: _ } = recorded;
        let state = self.recorded(run).clone();
        let parted = self.parted.entry(run).or_insert_with(|| Parted::new(state, *position));
        parted.note(Change {
            position: *position,
            run: command.run,
            command: Some(command.id),
            action: command.action.name(),
            recorded: became.clone(),
            would_be,
            waived,
        });
        self.see(run);
    }

    /// A run comes to another state than was recorded.
    fn put(&mut self, run: RunId, position: Position, after: RunState, would_be: &Became) {
        let parted = self.parted.entry(run).or_insert_with(|| Parted::new(RunState::Unknown, position));
        parted.state = after;
        if let Became::Decided(Decided::Written { events, .. }) = would_be {
            parted.snapshots_would_be.extend(dispatched(events));
        }
        self.see(run);
    }

    /// Takes note of what a run would hold now: its name, its row, its timer.
    fn see(&mut self, run: RunId) {
        let state = self
            .parted
            .get(&run)
            .map_or_else(|| self.recorded.get(&run).unwrap_or(&RunState::Unknown), |parted| &parted.state);
        let Some(known) = state.run() else { return };
        if let Some(name) = &known.spec.name {
            if known.is_ended() {
                if let Some(holders) = self.names.get_mut(name) {
                    holders.remove(&run);
                    if holders.is_empty() {
                        self.names.remove(name);
                    }
                }
            } else {
                self.names.entry(name.clone()).or_default().insert(run);
            }
        }
        if self.rules.naive_row_ids {
            match known.status {
                Status::Destroyed { .. } => self.rows.delete(run),
                Status::Created | Status::Started | Status::Waiting { .. } | Status::Exited | Status::Failed => {
                    self.rows.insert(run);
                }
            }
        }
        if let (Some(armed), true) = (&known.armed, self.parted.contains_key(&run)) {
            self.armed.insert((armed.due, run, armed.id));
        }
    }
}

fn armed(state: &RunState) -> Option<&ArmedSnapshot> {
    state.run().and_then(|run| run.armed.as_ref())
}

fn dispatched(events: &[Event]) -> impl Iterator<Item = SnapshotId> + '_ {
    events.iter().filter_map(|event| {
        let Event::SnapshotDispatched { snapshot } = event else { return None };
        Some(*snapshot)
    })
}

//! The attempts that this process runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use tachograph_engine::domain::{AttemptId, RunId, RunnerId};

use super::handle::{Live, Phase};
use super::places::TakenPlace;
use crate::lock::lock;

type Entries = BTreeMap<(RunId, AttemptId), Arc<Live>>;

/// The attempts that this process runs, by run and attempt.
///
/// Every look-up names both, and a registration can only take itself out: whatever an actor of an old attempt does,
/// it meets nothing or its own, never the attempt that came after.
#[derive(Debug, Clone, Default)]
pub(super) struct Registry {
    entries: Arc<Mutex<Entries>>,
    /// Who holds the adopted attempts that were let go of since: what they report until another supervisor follows them is
    /// still in the name of that one.
    let_go: Arc<Mutex<BTreeMap<(RunId, AttemptId), RunnerId>>>,
}

impl Registry {
    /// Enters an attempt, which stays until the registration is dropped. Absent if it is entered already: a repeated
    /// start must not take the place of the attempt that runs.
    pub(super) fn register(&self, run: RunId, attempt: AttemptId) -> Option<Registration> {
        match lock(&self.entries).entry((run, attempt)) {
            Entry::Vacant(place) => {
                let live = place.insert(Arc::new(Live::starting(run, attempt))).clone();
                lock(&self.let_go).remove(&(run, attempt));
                Some(Registration { registry: self.clone(), live, place: None })
            }
            Entry::Occupied(_) => None,
        }
    }

    pub(super) fn get(&self, run: RunId, attempt: AttemptId) -> Option<Arc<Live>> {
        lock(&self.entries).get(&(run, attempt)).cloned()
    }

    /// Who holds an attempt in the journal that was adopted from that one; absent if it is this runner's own, or not known.
    pub(super) fn adopted_from(&self, run: RunId, attempt: AttemptId) -> Option<RunnerId> {
        match self.get(run, attempt) {
            Some(live) => live.adopted_from().cloned(),
            None => lock(&self.let_go).get(&(run, attempt)).cloned(),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        lock(&self.entries).values().cloned().collect()
    }
}

/// That an attempt is run by this process. Dropping it says that it no longer is, in whatever way its task ended.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Registry,
    pub(super) live: Arc<Live>,
    /// Its place among those under way, if it needs one.
    pub(super) place: Option<TakenPlace>,
}

impl Registration {
    fn is_let_go(&self) -> bool {
        *self.live.released.borrow() && !matches!(*self.live.phase.borrow(), Phase::Ended(_))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let key = (self.live.run, self.live.attempt);
        // Known from one of both at any time.
        if let Some(holder) = self.live.adopted_from().filter(|_| self.is_let_go()) {
            lock(&self.registry.let_go).insert(key, holder.clone());
        }
        lock(&self.registry.entries).remove(&key);
        self.live.phase.send_if_modified(|phase| {
            let abandoned = !matches!(phase, Phase::Ended(_));
            if abandoned {
                *phase = Phase::Abandoned;
            }
            abandoned
        });
        self.live.over.send_replace(true);
        self.live.settled.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn an_old_attempt_cannot_unregister_the_one_after_it() {
        let registry = Registry::default();
        let old = registry.register(ids::run(3), ids::attempt(1));
        let new = registry.register(ids::run(3), ids::attempt(2)).unwrap();
        drop(old);
        assert!(registry.get(ids::run(3), ids::attempt(1)).is_none());
        assert!(Arc::ptr_eq(&registry.get(ids::run(3), ids::attempt(2)).unwrap(), &new.live));
    }

    #[test]
    fn a_repeated_registration_leaves_the_first_in_its_place() {
        let registry = Registry::default();
        let first = registry.register(ids::run(3), ids::attempt(1)).unwrap();
        assert!(registry.register(ids::run(3), ids::attempt(1)).is_none());
        assert!(Arc::ptr_eq(&registry.get(ids::run(3), ids::attempt(1)).unwrap(), &first.live));
        drop(first);
        assert!(registry.register(ids::run(3), ids::attempt(1)).is_some());
    }
}

//! A snapshotter that does what a test tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tachograph_engine::domain::{Digest, SnapshotId};
use tachograph_engine::ports::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};
use tokio::sync::watch;

use crate::within;

/// What becomes of a take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// There is an image at once.
    Image,
    /// There is an image once it is [let go](ScriptedSnapshotter::let_go).
    Held,
    /// Fails with this message.
    Fails(String),
    /// Panics, with an image in place.
    Panics,
    /// Never returns.
    Hangs,
    /// There is an image at this location.
    At(String),
}

/// What becomes of a find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// It says what is there.
    Truth,
    /// Fails.
    Fails,
    /// Panics.
    Panics,
    /// Never returns.
    Hangs,
}

/// What it was asked, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To take this snapshot.
    Take(WantedSnapshot),
    /// To find its image.
    Find(WantedSnapshot),
    /// To remove its image.
    Discard(SnapshotId),
}

/// Takes images that exist in memory only; they outlive every engine. Clones are the same.
#[derive(Debug, Clone)]
pub struct ScriptedSnapshotter {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    otherwise: Take,
    takes: BTreeMap<SnapshotId, Take>,
    find: Find,
    let_go: BTreeSet<SnapshotId>,
    images: BTreeMap<SnapshotId, SnapshotImage>,
    asked: Vec<Asked>,
    under_way: usize,
    most: usize,
}

impl Default for ScriptedSnapshotter {
    fn default() -> Self {
        let state = State {
            otherwise: Take::Image,
            takes: BTreeMap::new(),
            find: Find::Truth,
            let_go: BTreeSet::new(),
            images: BTreeMap::new(),
            asked: Vec::new(),
            under_way: 0,
            most: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), changes: watch::Sender::new(0) }
    }
}

/// The image that a snapshot gets.
pub fn image(snapshot: SnapshotId) -> SnapshotImage {
    SnapshotImage { location: format!("snapshots/{snapshot}"), bytes: 4_096, digest: Digest([7; 32]) }
}

impl ScriptedSnapshotter {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A scripted panic leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changes.send_modify(|changes| *changes += 1);
        changed
    }

    /// What becomes of this one.
    pub fn script(&self, snapshot: SnapshotId, take: Take) {
        self.change(|state| state.takes.insert(snapshot, take));
    }

    /// What becomes of all that have no script of their own.
    pub fn otherwise(&self, take: Take) {
        self.change(|state| state.otherwise = take);
    }

    /// What becomes of every find from now on.
    pub fn find_will(&self, find: Find) {
        self.change(|state| state.find = find);
    }

    /// Lets a held one have its image.
    pub fn let_go(&self, snapshot: SnapshotId) {
        self.change(|state| state.let_go.insert(snapshot));
    }

    /// There is an image of this one, whoever took it.
    pub fn place_image(&self, snapshot: SnapshotId) {
        self.change(|state| state.images.insert(snapshot, image(snapshot)));
    }

    /// Whether there is an image.
    pub fn has_image(&self, snapshot: SnapshotId) -> bool {
        self.lock().images.contains_key(&snapshot)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// Snapshots that it was asked to take so far, in order.
    pub fn takes(&self) -> Vec<SnapshotId> {
        let takes = |asked: &Asked| match asked {
            Asked::Take(wanted) => Some(wanted.snapshot),
            Asked::Find(_) | Asked::Discard(_) => None,
        };
        self.lock().asked.iter().filter_map(takes).collect()
    }

    /// Snapshots that were taken at the same time, at most.
    pub fn most_at_once(&self) -> usize {
        self.lock().most
    }

    /// Snapshots that are being taken now.
    pub fn under_way(&self) -> usize {
        self.lock().under_way
    }

    /// Returns once it was asked to take at least so many.
    pub async fn until_taking(&self, takes: usize) {
        self.until(|| self.takes().len() >= takes).await;
    }

    /// Returns once this is so.
    pub async fn until(&self, is_so: impl Fn() -> bool) {
        within("what the snapshotter shows", self.changes.subscribe().wait_for(|_| is_so()))
            .await
            .expect("it is alive");
    }

    async fn wait_for(&self, is_so: impl Fn(&State) -> bool) {
        self.changes.subscribe().wait_for(|_| is_so(&self.lock())).await.expect("it is alive");
    }

    fn keep(&self, snapshot: SnapshotId, image: SnapshotImage) -> Result<SnapshotImage, SnapshotError> {
        self.change(|state| state.images.insert(snapshot, image.clone()));
        Ok(image)
    }
}

/// Counts a take as long as it is under way, also if it is dropped.
struct UnderWay<'a>(&'a ScriptedSnapshotter);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.under_way -= 1);
    }
}

#[async_trait]
impl Snapshotter for ScriptedSnapshotter {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        let snapshot = wanted.snapshot;
        let take = self.change(|state| {
            state.asked.push(Asked::Take(wanted.clone()));
            state.under_way += 1;
            state.most = state.most.max(state.under_way);
            state.takes.get(&snapshot).unwrap_or(&state.otherwise).clone()
        });
        let _under_way = UnderWay(self);
        match take {
            Take::Image => self.keep(snapshot, image(snapshot)),
            Take::Held => {
                self.wait_for(|state| state.let_go.contains(&snapshot)).await;
                self.keep(snapshot, image(snapshot))
            }
            Take::Fails(message) => Err(SnapshotError::because(message)),
            Take::Panics => {
                self.place_image(snapshot);
                panic!("a test asked for it")
            }
            Take::Hangs => std::future::pending().await,
            Take::At(location) => self.keep(snapshot, SnapshotImage { location, ..image(snapshot) }),
        }
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        let find = self.change(|state| {
            state.asked.push(Asked::Find(wanted.clone()));
            state.find
        });
        match find {
            Find::Truth => Ok(self.lock().images.get(&wanted.snapshot).cloned()),
            Find::Fails => Err(SnapshotError::because("the disk is gone")),
            Find::Panics => panic!("a test asked for it"),
            Find::Hangs => std::future::pending().await,
        }
    }

    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError> {
        self.change(|state| {
            state.asked.push(Asked::Discard(wanted.snapshot));
            state.images.remove(&wanted.snapshot);
        });
        Ok(())
    }
}

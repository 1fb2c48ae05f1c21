//! A handle that keeps no engine open.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};
use ulid::Ulid;

use super::committer::Request;
use super::engine::Engine;
use super::view::View;
use crate::domain::{Entry, RunId, RunRecord};
use crate::ports::{Clock, IdSource, JournalReader};

/// An engine, for somebody who serves it as long as others use it: with this alone left, the engine closes by itself.
#[derive(Clone)]
pub(super) struct WeakEngine {
    requests: mpsc::WeakSender<Request>,
    feed: broadcast::WeakSender<Arc<Entry>>,
    view: Arc<View>,
    reader: Arc<dyn JournalReader>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl WeakEngine {
    pub(super) fn of(engine: &Engine) -> Self {
        Self {
            requests: engine.requests.downgrade(),
            feed: engine.feed.clone(),
            view: engine.view.clone(),
            reader: engine.reader.clone(),
            clock: engine.clock.clone(),
            ids: engine.ids.clone(),
        }
    }

    /// A full handle, unless the last one was dropped.
    pub(super) fn upgrade(&self) -> Option<Engine> {
        Some(Engine {
            requests: self.requests.upgrade()?,
            feed: self.feed.clone(),
            view: self.view.clone(),
            reader: self.reader.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
        })
    }

    pub(super) fn mint(&self) -> Ulid {
        self.ids.next()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// What is shown of the runs. Whoever follows the journal may be ahead of it: a batch that is just being written can
    /// be read from the files before it is published.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// A run that is not settled, as of the last answer that anybody got.
    pub(super) fn unsettled(&self, run: RunId) -> Option<Arc<RunRecord>> {
        self.view.get(run)
    }
}

//! The control socket of each run that has an attempt under way here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tachograph_engine::domain::RunId;

use super::control::RunControl;
use super::directory::AttemptDirectory;
use super::runner::ProcessRunner;
use crate::control::{ControlHandler, ControlListener};
use crate::lock::lock;

/// The control sockets of the runs that have an attempt under way here, by run.
///
/// Binding and removing happen under one lock: an attempt that opens while the last one before it goes away either
/// shares its socket or binds after that one's file is gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Sockets {
    bound: Arc<Mutex<BTreeMap<RunId, Shared>>>,
}

#[derive(Debug)]
struct Shared {
    listener: ControlListener,
    leases: usize,
}

/// That an attempt uses its run's socket. With the last one the socket goes.
#[derive(Debug)]
pub(super) struct SocketLease {
    sockets: Sockets,
    run: RunId,
    path: PathBuf,
}

impl SocketLease {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketLease {
    fn drop(&mut self) {
        let mut bound = lock(&self.sockets.bound);
        if let Entry::Occupied(mut place) = bound.entry(self.run) {
            place.get_mut().leases -= 1;
            if place.get().leases == 0 {
                place.remove();
            }
        }
    }
}

impl Sockets {
    fn lease(&self, run: RunId, bind: impl FnOnce() -> io::Result<ControlListener>) -> io::Result<SocketLease> {
        let mut bound = lock(&self.bound);
        let shared = match bound.entry(run) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => place.insert(Shared { listener: bind()?, leases: 0 }),
        };
        shared.leases += 1;
        Ok(SocketLease { sockets: self.clone(), run, path: shared.listener.path().to_owned() })
    }
}

type Bind = fn(&Path, Arc<dyn ControlHandler>) -> io::Result<ControlListener>;

fn bind_known(path: &Path, handler: Arc<dyn ControlHandler>) -> io::Result<ControlListener> {
    ControlListener::bind(path, handler)
}

impl ProcessRunner {
    /// The run's socket, bound if this is its first attempt under way. A run without one runs all the same.
    pub(super) fn lease_socket(&self, run: RunId, directory: &AttemptDirectory) -> Option<SocketLease> {
        // It is told to the run's processes, of which a first attempt has none yet.
        let bind = if directory.is_first() { ControlListener::bind_unknown } else { bind_known };
        self.lease(run, directory, bind)
    }

    /// The same for an attempt that goes on, whose processes know the path.
    pub(super) fn lease_known_socket(&self, run: RunId, directory: &AttemptDirectory) -> Option<SocketLease> {
        self.lease(run, directory, bind_known)
    }

    fn lease(&self, run: RunId, directory: &AttemptDirectory, bind: Bind) -> Option<SocketLease> {
        if !self.options().report_socket {
            return None;
        }
        let path = directory.control_socket();
        let handler = Arc::new(RunControl::new(self, run));
        let lease = self.sockets().lease(run, || bind(&path, handler));
        lease.inspect_err(|error| tracing::warn!(%error, %run, path = %path.display(), "no control socket")).ok()
    }
}

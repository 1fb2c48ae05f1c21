//! How many attempts may be under way at a time, and who waits for a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::options::RunnerOptions;
use super::shim_mode::Shim;
use crate::control::ConnectionLimits;
use crate::threads::affordable_processes;

/// Descriptors that a supervisor needs beside its attempts: a journal, sockets, standard streams, what it was given.
const DESCRIPTORS_OWN: u64 = 64;
/// Descriptors of one attempt at its height: both pipes, both files, the process, and the pipe and files that making it
/// takes.
const DESCRIPTORS_PLAIN: u64 = 9;
/// A shim holds the run's pipes and files; its supervisor has its notices, its process and requests, and what making it
/// takes.
const DESCRIPTORS_SHIMMED: u64 = 5;
/// Processes of one attempt: its command and one that this starts; and its shim.
const PROCESSES_PLAIN: u64 = 2;
const PROCESSES_SHIMMED: u64 = 3;

/// That an attempt may be under way; given back when it is dropped.
pub(super) type TakenPlace = OwnedSemaphorePermit;

/// The places of a runner. Who asks first gets one first; who stops waiting gives up nothing but its turn.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    queued: AtomicUsize,
    /// How many there are.
    pub(super) most: usize,
}

impl Places {
    /// As many as the options say, or fewer if this process may not have enough descriptors open for them and for those who
    /// report, or its user not enough processes; at least one.
    pub(super) fn new(options: &RunnerOptions, shim: &Shim) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current;
        let reporting = if options.report_socket { ConnectionLimits::of_all_runs(descriptors).in_all } else { 0 };
        let descriptors = descriptors.map(|most| most.saturating_sub(reporting as u64));
        let most = affordable(options.live_max, shim, descriptors, affordable_processes());
        Self { free: Arc::new(Semaphore::new(most)), queued: AtomicUsize::new(0), most }
    }

    /// Waits for one. Absent once they are closed.
    pub(super) async fn take(&self) -> Option<TakenPlace> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Some(place);
        }
        let _queued = Queued::in_line(&self.queued);
        self.free.clone().acquire_owned().await.ok()
    }

    /// How many wait.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Gives none any more, to those who wait neither.
    pub(super) fn close(&self) {
        self.free.close();
    }
}

fn affordable(live_max: usize, shim: &Shim, descriptors: Option<u64>, processes: Option<u64>) -> usize {
    let (descriptors_each, processes_each) = match shim {
        Shim::Off => (DESCRIPTORS_PLAIN, PROCESSES_PLAIN),
        Shim::Program(_) => (DESCRIPTORS_SHIMMED, PROCESSES_SHIMMED),
    };
    let by_descriptors = descriptors.map(|most| most.saturating_sub(DESCRIPTORS_OWN) / descriptors_each);
    let by_processes = processes.map(|most| most / processes_each);
    let most = by_descriptors.into_iter().chain(by_processes).min().unwrap_or(u64::MAX);
    live_max.min(usize::try_from(most).unwrap_or(usize::MAX)).clamp(1, Semaphore::MAX_PERMITS)
}

/// Somebody who waits, until it is dropped.
struct Queued<'places>(&'places AtomicUsize);

impl<'places> Queued<'places> {
    fn in_line(queued: &'places AtomicUsize) -> Self {
        queued.fetch_add(1, Ordering::Relaxed);
        Self(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What it comes to without waiting.
    fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn live_max(live_max: usize) -> RunnerOptions {
        RunnerOptions { live_max, ..RunnerOptions::default() }
    }

    #[tokio::test]
    async fn places_are_given_in_turn_and_nobody_waits_once_they_are_closed() {
        let places = Places::new(&live_max(1), &Shim::Off);
        let first = now(pin!(places.take())).unwrap().unwrap();
        let mut second = Box::pin(places.take());
        let (mut third, mut fourth) = (pin!(places.take()), pin!(places.take()));
        assert!(now(second.as_mut()).is_none() && now(third.as_mut()).is_none() && now(fourth.as_mut()).is_none());
        assert_eq!(places.queued(), 3);
        drop(second);
        drop(first);
        assert_eq!(places.queued(), 2, "who went away waits no more");
        assert!(now(fourth.as_mut()).is_none(), "it is not its turn");
        assert!(now(third.as_mut()).unwrap().is_some());
        let held = now(fourth.as_mut()).unwrap();
        assert!(held.is_some(), "it is its turn");
        let mut waiting = pin!(places.take());
        assert!(now(waiting.as_mut()).is_none());
        places.close();
        assert!(now(waiting.as_mut()).unwrap().is_none());
        assert!(now(pin!(places.take())).unwrap().is_none());
    }

    #[test]
    fn there_are_as_many_as_descriptors_and_processes_suffice_for() {
        let shim = Shim::Program("tacho".into());
        let most = |descriptors, processes| affordable(1_024, &shim, descriptors, processes);
        assert_eq!([most(None, None), most(Some(64 + 5 * 7), None), most(Some(1_000_000), Some(11))], [1_024, 7, 3]);
        assert_eq!([most(Some(0), Some(0)), affordable(1_024, &Shim::Off, None, Some(11))], [1, 5]);
    }

    #[test]
    fn there_is_a_place_and_none_that_no_descriptors_are_left_for() {
        assert_eq!(Places::new(&live_max(0), &Shim::Off).most, 1);
        let most = Places::new(&live_max(usize::MAX), &Shim::Off).most;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(most as u64 <= limit / DESCRIPTORS_PLAIN);
    }
}

//! Work on a thread for a future that may be dropped at any time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tachograph_engine::ports::SnapshotError;
use tokio::sync::oneshot;

use super::error::{TakeError, at};
use super::place::leave;

/// What the thread that makes an image and the future that waits for it agree on: whether the image is still wanted.
///
/// Once the future was dropped no image comes into place any more, and one that came is removed again. Both sides
/// decide under one lock, so that there is no window between.
#[derive(Debug, Default)]
pub(super) struct Handover {
    stage: Mutex<Stage>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Working,
    InPlace(PathBuf),
    TakenOver,
    GivenUp,
}

impl Handover {
    /// To be asked between pieces of work.
    pub(super) fn check(&self) -> Result<(), TakeError> {
        if *self.stage() == Stage::GivenUp { Err(TakeError::GivenUp) } else { Ok(()) }
    }

    /// Renames the finished image into place, if it is still wanted.
    pub(super) fn put_in_place(&self, partial: &Path, image: &Path) -> Result<(), TakeError> {
        let mut stage = self.stage();
        if *stage == Stage::GivenUp {
            return Err(TakeError::GivenUp);
        }
        std::fs::rename(partial, image).map_err(at("rename", partial))?;
        *stage = Stage::InPlace(image.to_owned());
        Ok(())
    }

    /// Removes an image that came into place and is not to stay.
    pub(super) fn withdraw(&self) {
        withdraw(&mut self.stage(), Stage::Working);
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn withdraw(stage: &mut Stage, next: Stage) {
    match stage {
        Stage::InPlace(image) => {
            if let Err(error) = std::fs::remove_file(&*image) {
                tracing::warn!(path = %image.display(), %error, "an image that nobody took over is still there");
            }
            if let Some(directory) = image.parent() {
                leave(directory);
            }
            *stage = next;
        }
        Stage::Working => *stage = next,
        Stage::TakenOver | Stage::GivenUp => {}
    }
}

/// The future's side: dropped without [`take_over`](Self::take_over), the image is given up.
pub(super) struct Claim<G: GiveUp>(pub(super) G);

/// What is given up with a future.
pub(super) trait GiveUp {
    /// What both sides agree on.
    fn handover(&self) -> &Handover;

    /// What is to be done besides, as soon as the work is not wanted any more.
    fn given_up(&self) {}
}

impl GiveUp for Arc<Handover> {
    fn handover(&self) -> &Handover {
        self
    }
}

impl<G: GiveUp> Claim<G> {
    /// The image stays.
    pub(super) fn take_over(self) {
        *self.0.handover().stage() = Stage::TakenOver;
    }
}

impl<G: GiveUp> Drop for Claim<G> {
    fn drop(&mut self) {
        let taken_over = {
            let mut stage = self.0.handover().stage();
            withdraw(&mut stage, Stage::GivenUp);
            *stage == Stage::TakenOver
        };
        if !taken_over {
            self.0.given_up();
        }
    }
}

/// Threads that may hang after the futures that waited for them were dropped, for each snapshotter: a disk that does not
/// answer cannot be given up from outside. With more of them there is no further try until one ends.
const LEFT_BEHIND_MAX: usize = 16;

/// The threads of a snapshotter. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Threads {
    left_behind: Arc<AtomicUsize>,
}

impl Threads {
    /// Runs work that may block on a thread of its own. The thread goes on if the future is dropped, and is counted as
    /// left behind then until it ends.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let left = self.left_behind.load(Ordering::SeqCst);
        if left >= LEFT_BEHIND_MAX {
            return Err(SnapshotError::because(format!(
                "{left} threads that were given up earlier still hang, so no more are started: see what the disk, or \
                 whoever freezes runs, does not answer; snapshots are possible again as soon as one of them ends"
            )));
        }
        let (answer, answered) = oneshot::channel();
        let watch = Arc::new(Watch { stage: Mutex::default(), left_behind: Arc::clone(&self.left_behind) });
        let ending = Ending(Arc::clone(&watch));
        let work = move || {
            let _ending = ending;
            let _ = answer.send(work());
        };
        let spawned = std::thread::Builder::new().name("tacho-snapshot".to_owned()).spawn(work);
        spawned.map_err(|error| {
            SnapshotError::because(format!("cannot start a thread: {error}; raise the limit of them"))
        })?;
        let _waiting = Waiting(watch);
        answered.await.map_err(|_| SnapshotError::because("the thread that makes the image ended without an answer"))
    }
}

/// What a thread and the future that waits for it know of each other.
#[derive(Debug)]
struct Watch {
    stage: Mutex<Left>,
    left_behind: Arc<AtomicUsize>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Left {
    #[default]
    Neither,
    ByItsFuture,
    Ended,
}

/// The thread's side. Dropped when it ends, also by a panic.
struct Ending(Arc<Watch>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *stage, Left::Ended) == Left::ByItsFuture {
            self.0.left_behind.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The future's side.
struct Waiting(Arc<Watch>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Left::Neither {
            *stage = Left::ByItsFuture;
            self.0.left_behind.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("run")).unwrap();
        let (partial, image) = (directory.path().join("run/a.partial"), directory.path().join("run/a"));
        std::fs::write(&partial, "image").unwrap();
        (directory, partial, image)
    }

    #[test]
    fn what_was_given_up_never_comes_into_place() {
        let (_directory, partial, image) = files();
        let handover = Arc::new(Handover::default());
        drop(Claim(Arc::clone(&handover)));
        assert!(matches!(handover.check(), Err(TakeError::GivenUp)));
        assert!(matches!(handover.put_in_place(&partial, &image), Err(TakeError::GivenUp)));
        assert!(!image.exists());
    }

    #[test]
    fn what_came_into_place_and_was_given_up_then_is_removed() {
        let (_directory, partial, image) = files();
        let handover = Arc::new(Handover::default());
        let claim = Claim(Arc::clone(&handover));
        handover.put_in_place(&partial, &image).unwrap();
        assert!(image.exists());
        drop(claim);
        assert!(!image.parent().unwrap().exists());
    }

    #[test]
    fn what_was_taken_over_stays() {
        let (_directory, partial, image) = files();
        let handover = Arc::new(Handover::default());
        let claim = Claim(Arc::clone(&handover));
        handover.put_in_place(&partial, &image).unwrap();
        claim.take_over();
        handover.withdraw();
        assert!(image.exists());
    }

    #[tokio::test]
    async fn threads_that_hang_are_bounded_and_one_that_ends_makes_room() {
        let threads = Threads::default();
        let (let_go, held): (Vec<_>, Vec<_>) = (0..LEFT_BEHIND_MAX).map(|_| std::sync::mpsc::channel::<()>()).unzip();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for held in held {
            let mut future = std::pin::pin!(threads.run(move || held.recv()));
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        let asked = async || threads.run(|| 7).await;
        let refused = asked().await.unwrap_err().to_string();
        assert!(refused.contains("16 threads that were given up earlier still hang"), "{refused}");
        let mut let_go = let_go.into_iter();
        drop(let_go.next());
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(120);
        while threads.left_behind.load(Ordering::SeqCst) == LEFT_BEHIND_MAX && std::time::Instant::now() < patience {
            std::thread::yield_now();
        }
        assert_eq!(asked().await.unwrap(), 7);
        drop(let_go);
        while threads.left_behind.load(Ordering::SeqCst) > 0 && std::time::Instant::now() < patience {
            std::thread::yield_now();
        }
        assert_eq!(threads.left_behind.load(Ordering::SeqCst), 0, "each is counted once");
    }
}

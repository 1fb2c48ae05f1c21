use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tachograph_engine::ports::Snapshotter;

use super::support::{World, assert_told};

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Tells that the answer is there, which nobody then asks for.
struct Tells(Sender<()>);

impl Wake for Tells {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_take_that_is_dropped_while_the_run_stands_still_thaws_it_and_leaves_nothing() {
    let world = World::new();
    world.write("stdout", "hello");
    let thawed = world.freezer.thawed();
    let (frozen, is_frozen) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    world.freezer.on_freeze(move || {
        frozen.send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let snapshotter = world.snapshotter();
    {
        let mut take = pin!(snapshotter.take(&world.wanted));
        assert!(poll_once(take.as_mut()).is_pending());
        is_frozen.recv().unwrap();
    }
    go_on.send(()).unwrap();
    thawed.recv().unwrap();
    // Nothing is read once it is given up, so there is nothing to verify.
    assert_eq!(world.freezer.said(), ["freeze attempt 2", "thaw"]);
    gone(&world);
}

#[test]
fn a_take_that_is_dropped_while_it_is_verified_leaves_nothing() {
    let world = World::new();
    world.write("stdout", "hello");
    let thawed = world.freezer.thawed();
    let (verifies, is_verified) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    world.freezer.on_verify(move || {
        verifies.send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let snapshotter = world.snapshotter();
    {
        let mut take = pin!(snapshotter.take(&world.wanted));
        assert!(poll_once(take.as_mut()).is_pending());
        is_verified.recv().unwrap();
    }
    go_on.send(()).unwrap();
    thawed.recv().unwrap();
    gone(&world);
}

/// Waits for the thread that was given up: it holds the last other handle on the freezer.
fn gone(world: &World) {
    let patience = Instant::now() + Duration::from_secs(120);
    while Arc::strong_count(&world.freezer) > 2 && Instant::now() < patience {
        std::thread::yield_now();
    }
    assert_eq!(Arc::strong_count(&world.freezer), 2, "the thread is gone");
    assert!(!world.folder().exists(), "{:?}", world.images());
}

/// An image that is complete, and whose future is dropped before anybody saw the answer.
#[test]
fn a_take_that_is_dropped_after_the_image_came_into_place_leaves_nothing() {
    let world = World::new();
    world.write("stdout", "hello");
    let snapshotter = world.snapshotter();
    {
        let (answered, is_answered) = channel();
        let waker = Waker::from(Arc::new(Tells(answered)));
        let mut take = pin!(snapshotter.take(&world.wanted));
        assert!(take.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        is_answered.recv().unwrap();
        assert!(world.image().exists());
    }
    gone(&world);
}

#[tokio::test]
async fn a_part_that_a_crash_left_is_no_image_and_is_removed() {
    let world = World::new();
    std::fs::create_dir_all(world.folder()).unwrap();
    let part = world.folder().join(format!("{}.tar.zst.42-0.partial", world.wanted.snapshot));
    std::fs::write(&part, "half").unwrap();
    assert_eq!(world.snapshotter().find(&world.wanted).await.unwrap(), None);
    assert!(!world.folder().exists());
}

#[tokio::test]
async fn an_image_whose_result_was_lost_is_found_as_it_was_told() {
    let world = World::new();
    world.write("stdout", "hello");
    let taken = world.snapshotter().take(&world.wanted).await.unwrap();
    let part = world.folder().join(format!("{}.tar.zst.42-0.partial", world.wanted.snapshot));
    std::fs::write(&part, "half").unwrap();
    let found = world.snapshotter().find(&world.wanted).await.unwrap().unwrap();
    assert_eq!(found, taken);
    assert_told(&world, &found);
    assert!(!part.exists());
}

#[tokio::test]
async fn a_discarded_image_is_gone_however_often_that_is_asked_and_others_stay() {
    let world = World::new();
    let other = tachograph_engine::ports::WantedSnapshot {
        snapshot: tachograph_engine::domain::testing::ids::snapshot(4),
        ..world.wanted.clone()
    };
    let snapshotter = world.snapshotter();
    for wanted in [&world.wanted, &other] {
        snapshotter.take(wanted).await.unwrap();
    }
    snapshotter.discard(&world.wanted).await.unwrap();
    assert!(!world.image().exists());
    assert!(snapshotter.find(&other).await.unwrap().is_some());
    snapshotter.discard(&world.wanted).await.unwrap();
    snapshotter.discard(&other).await.unwrap();
    assert!(!world.folder().exists());
}

//! When a snapshot happens, and when it does not.

use tachograph_engine::domain::Event;
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::watch::{World, dispatched};

const DELAY_MS: i64 = 3_000;

#[tokio::test]
async fn it_happens_once_after_its_delay_and_not_before() {
    let world = World::new(201);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    let (claim, snapshot) = watch.armed(DELAY_MS).await;
    world.pass(2_900);
    watch.settle().await;
    let events = watch.supervisor.events(claim.run).await;
    assert!(!events.contains(&Event::SnapshotDispatched { snapshot }), "at 2900 ms");
    world.pass(200);
    watch.until_taken(snapshot).await;
    world.pass(60_000);
    watch.settle().await;
    let times = dispatched(&watch.supervisor).await.into_iter().filter(|(_, fired)| *fired == snapshot).count();
    assert_eq!(times, 1);
}

//! B7: three snapshots are armed, the supervisor is killed, and comes back ten seconds later. Timers that live in memory
//! are gone, and sandboxes that nobody suspends live on for hours.

use tachograph_engine::domain::EntryBody;
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::naive::Ledger;
use tachograph_tests::watch::{World, dispatched};

#[tokio::test]
async fn the_overdue_one_fires_at_once_and_visibly_late_the_others_at_their_time_each_once() {
    let world = World::new(117);
    let watch = world.watch(TimekeeperOptions::default()).await;
    let mut ledger = Ledger::default();
    let mut armed = Vec::new();
    for delay in [5_000, 20_000, 30_000] {
        let (claim, snapshot) = watch.armed(delay).await;
        let row = ledger.insert("sandbox", None);
        ledger.start(row, 700);
        ledger.arm(row, world.at(delay).as_micros() / 1_000);
        armed.push((claim.run, snapshot));
    }
    world.pass(1_000);
    watch.crash(&world).await;
    ledger.crash_and_restart();
    world.pass(10_000);
    let mut watch = world.watch(TimekeeperOptions::default()).await;

    // Overdue by six seconds, which anybody can read from its history: it was due at 5 s, and dispatched at 11 s.
    watch.until_taken(armed[0].1).await;
    let history = watch.supervisor.history(armed[0].0).await;
    let commands = history.iter().filter_map(|entry| match &entry.body {
        EntryBody::Committed(committed) => Some((committed.command.action.name().name(), committed.command.issued_at)),
        EntryBody::Refused(_) | EntryBody::System(_) => None,
    });
    let at = commands.filter(|(action, _)| *action == "dispatch_snapshot").map(|(_, at)| at);
    assert_eq!(at.collect::<Vec<_>>(), [world.at(11_000)]);

    for (at, (_, snapshot)) in [(20_000, armed[1]), (30_000, armed[2])] {
        let now = world.snapshotter.takes().len();
        world.pass(8_999);
        watch.settle().await;
        assert_eq!(world.snapshotter.takes().len(), now + 1, "the settling one alone");
        world.pass(if at == 20_000 { 1 } else { 1_001 });
        assert_eq!(watch.until_taken(snapshot).await.recorded_at, world.at(at));
    }
    world.pass(60_000);
    watch.settle().await;
    let fired: Vec<_> = dispatched(&watch.supervisor).await.into_iter().filter(|fired| armed.contains(fired)).collect();
    assert_eq!(fired, armed, "each once");

    // Naive: nothing is left of them, nineteen hours later.
    let later = world.at(19 * 3_600 * 1_000).as_micros() / 1_000;
    assert_eq!(ledger.tick(later), [0; 0]);
    assert!((1..=3).all(|row| ledger.select(row).is_some_and(|row| row.status == "running")));
}

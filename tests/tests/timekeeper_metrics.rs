//! What the timekeeper counts through the `metrics` facade. A program of its own: a recorder is installed once per process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::snapshotter::Take;
use tachograph_tests::watch::World;

/// The timekeeper's values by name; of histograms, the last sample.
fn values(recorded: &Snapshotter) -> BTreeMap<String, f64> {
    let value = |value| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(gauge) => gauge.into_inner(),
        DebugValue::Histogram(samples) => samples.last().map_or(f64::NAN, |sample| sample.into_inner()),
    };
    let all = recorded.snapshot().into_vec().into_iter();
    let named = all.map(|(key, _, _, debug)| (key.key().name().to_owned(), value(debug)));
    named.filter(|(name, _)| name.contains("snapshot") || name.contains("timers")).collect()
}

#[tokio::test]
async fn timers_places_and_results_are_counted() {
    let recorder = DebuggingRecorder::new();
    let recorded = recorder.snapshotter();
    recorder.install().unwrap();
    let world = World::new(301);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    let (_, fails) = watch.armed(1_000).await;
    world.snapshotter.script(fails, Take::Fails("no room".to_owned()));
    let (_, held) = watch.armed(1_000).await;
    world.snapshotter.script(held, Take::Held);
    watch.armed(60_000).await;
    world.pass(1_250);
    watch.until_failed(fails).await;
    world.snapshotter.until_taking(2).await;
    // Whoever is settled has had a turn since.
    watch.settle().await;
    let mut now = values(&recorded);
    for _ in 0..1_000 {
        if now["tachograph_snapshots_in_flight"] == 1.0 {
            break;
        }
        // A result is recorded before its place is free, which is told in the timekeeper's next turn.
        tokio::task::yield_now().await;
        for (name, value) in values(&recorded) {
            let before = now.entry(name.clone()).or_insert(0.0);
            *before = if name.ends_with("_total") { *before + value } else { value };
        }
    }
    assert_eq!(now["tachograph_snapshots_in_flight"], 1.0, "{now:?}");
    assert_eq!(now["tachograph_timers_armed"], 1.0, "{now:?}");
    world.snapshotter.let_go(held);
    watch.until_taken(held).await;
    let (_, report) = watch.stop().await;
    assert_eq!((report.dispatched, report.taken, report.failed), (3, 2, 1));
    // Counters begin anew whenever they are looked at.
    let mut end = values(&recorded);
    end.iter_mut().for_each(|(name, value)| *value += now[name]);
    assert_eq!(end["tachograph_snapshots_dispatched_total"], 3.0, "{end:?}");
    assert_eq!(end["tachograph_snapshots_taken_total"], 2.0, "{end:?}");
    assert_eq!(end["tachograph_snapshots_failed_total"], 1.0, "{end:?}");
}

//! What the engine counts through the `metrics` facade. A program of its own: a recorder is installed once per process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tachograph_tests::Supervisor;
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::{Expect, code};

/// Values by name, and by reason where there is one. Histograms count and add up.
fn values(snapshot: metrics_util::debugging::Snapshot) -> BTreeMap<String, (u64, f64)> {
    let value = |value| match value {
        DebugValue::Counter(count) => (count, 0.0),
        DebugValue::Gauge(gauge) => (1, gauge.into_inner()),
        DebugValue::Histogram(samples) => {
            (samples.len() as u64, samples.iter().map(|sample| sample.into_inner()).sum())
        }
    };
    snapshot
        .into_vec()
        .into_iter()
        .map(|(key, _, _, debug)| {
            let labels: String = key.key().labels().map(|label| format!(" {}", label.value())).collect();
            (format!("{}{labels}", key.key().name()), value(debug))
        })
        .collect()
}

#[tokio::test]
async fn entries_refusals_duplicates_and_batches_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let supervisor = Supervisor { engine: in_memory(1).await };
    let creation = supervisor.creation(Some("build"));
    supervisor.submit(creation.clone()).await.expect_written();
    let claim = supervisor.start(creation.run, "r1").await;
    supervisor.exit(&claim, code(0)).await.expect_written();
    supervisor.submit(creation).await.expect_duplicate();
    supervisor.exit(&claim, code(0)).await.expect_duplicate();
    for _ in 0..3 {
        // The third one is counted and not recorded.
        assert!(supervisor.exit(&claim, code(1)).await.outcome.refusal().is_some());
    }
    supervisor.disconnect(&claim).await.expect_refused("illegal_transition");
    supervisor.engine.close().await.unwrap();

    let values = values(snapshotter.snapshot());
    let counter = |name: &str| values.get(name).map(|(count, _)| *count);
    // Created, started, exited, three recorded refusals; the engine's own facts are not commands.
    assert_eq!(counter("tachograph_entries_appended_total"), Some(6), "{values:?}");
    assert_eq!(counter("tachograph_commands_duplicate_total"), Some(2));
    assert_eq!(counter("tachograph_commands_refused_total conflicting_terminal"), Some(3));
    assert_eq!(counter("tachograph_commands_refused_total illegal_transition"), Some(1));
    assert_eq!(values["tachograph_commit_entries"], (6, 6.0), "six batches of one");
    assert_eq!(counter("tachograph_commit_seconds"), Some(6));
}

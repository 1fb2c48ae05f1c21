use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::process::{RunnerOptions, Shim};
use tachograph_engine::domain::{ExitStatus, Witness};

use crate::shimmed::{until_gone, within_a_minute};
use crate::support::{Bench, LONG, exit};

/// A program that stands in for a shim whose disk takes long: it says that the record is there, which `prepared` is made,
/// and goes when it reads a line.
fn slow_to_sync(bench: &Bench, prepared: &std::path::Path, go: &crate::support::Pipe) -> String {
    let runs = bench.data.path().join("runs");
    [
        "#!/bin/sh\ntrap '' TERM\ncat > /dev/null",
        "printf '{\"started\":{\"pid\":%s}}\\n' $$",
        &format!("sed \"s/RUN/$2/; s/ATTEMPT/$3/\" {} > {}/$2/attempt-1/exit.json", prepared.display(), runs.display()),
        "printf '{\"exited\":{\"code\":7}}\\n{\"recorded\":{}}\\n'",
        &format!("read line < {}", go.path()),
    ]
    .join("\n")
}

#[tokio::test]
async fn an_end_is_recorded_and_told_while_its_shim_still_syncs() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("slow-shim");
    let options = RunnerOptions { live_max: 1, ..RunnerOptions::default() };
    let bench = Bench::under(Shim::Program(program.clone()), Arc::new(SystemClock), options).await;
    let (go, prepared) = (bench.pipe("go"), place.path().join("prepared.json"));
    let stream = format!(r#"{{"bytes":0,"blake3":"{}"}}"#, blake3::hash(b""));
    let runner = bench.runner.runner().as_str();
    let output = format!(r#"{{"stdout":{stream},"stderr":{stream},"drain":"drained"}}"#);
    let record = format!(
        r#"{{"format":1,"run":"RUN","attempt":"ATTEMPT","runner":"{runner}","status":{{"code":7}},"output":{output}}}"#
    );
    std::fs::write(&prepared, record).unwrap();
    crate::support::program(&program, &slow_to_sync(&bench, &prepared, &go));

    let handle = bench.sh("exit 7").await;
    let end = within_a_minute("its end is told", handle.wait()).await.unwrap();
    assert_eq!((&exit(&end).status, exit(&end).witness), (&ExitStatus::Code(7), Witness::Waited));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    let shim = handle.pid().unwrap();
    assert!(bench.runner.handle(handle.run(), handle.attempt()).is_some(), "its place is given away");
    assert!(bench.runner.handles().is_empty(), "its end is recorded");
    let report = bench.runner.shutdown(Duration::ZERO).await;
    assert_eq!((report.ended, report.unfinished.len()), (1, 0), "it is recorded, whatever its shim waits for");
    assert!(std::path::Path::new(&format!("/proc/{shim}")).exists(), "nobody kills it for that");
    within_a_minute("its disk takes the record", go.release()).await;
    until_gone(shim).await;
    let report = within_a_minute("it is reaped", bench.runner.shutdown(LONG)).await;
    assert!(report.unfinished.is_empty(), "{report:?}");
    assert!(!std::path::Path::new(&format!("/proc/{shim}")).exists());
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

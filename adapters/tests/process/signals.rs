use rustix::process::Signal;
use tachograph_engine::domain::{Drain, ExitStatus, Stream};

use crate::shimmed::within_a_minute;
use crate::support::{Bench, exit, file, status};

#[tokio::test]
async fn a_signal_is_passed_on_and_what_it_means_is_up_to_the_child() {
    let (bench, _clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let script = format!("trap 'echo heard; exit 4' USR1; echo > {}; read line < {}", ready.path(), never.path());
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    assert!(handle.signal(Signal::USR1));
    assert_eq!(status(&handle).await, ExitStatus::Code(4));
    assert_eq!(file(&handle, "stdout"), b"heard\n");
    assert!(!handle.signal(Signal::USR1), "nobody is left to take it");
}

#[tokio::test]
async fn after_the_exit_a_signal_still_reaches_who_keeps_the_output_open() {
    let (bench, _clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let handle = bench.sh(&format!("( echo > {}; read line < {} ) &", ready.path(), never.path())).await;
    ready.read_to_end().await;
    handle.exited().await;
    // The clock stands still: no deadline can end the drain.
    assert!(handle.signal(Signal::USR1));
    let end = handle.wait().await.unwrap();
    assert_eq!(exit(&end).status, ExitStatus::Code(0));
    assert_eq!(exit(&end).output.as_ref().unwrap().drain, Drain::Drained);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_any_more_is_closed_for_whoever_ignores_the_signal() {
    let (bench, _clock) = Bench::manual().await;
    let ready = bench.pipe("ready");
    let script = format!(
        "trap '' PIPE; echo first; echo > {}; while :; do echo more || exit 4; done 2> /dev/null",
        ready.path()
    );
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    handle.hang_up(Stream::Stdout);
    let end = within_a_minute("its pipe is closed", handle.wait()).await.unwrap();
    assert_eq!(exit(&end).status, ExitStatus::Code(4));
    assert!(file(&handle, "stdout").starts_with(b"first\n"), "what came before is kept");
    let Drain::DrainTimedOut { open, .. } = &exit(&end).output.as_ref().unwrap().drain else { panic!("not all came") };
    assert_eq!(open, &[Stream::Stdout]);
}

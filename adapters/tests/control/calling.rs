use std::os::unix::net::UnixListener;
use std::time::Duration;

use tachograph_adapters::control::{CONNECTIONS_OF_ONE_PEER_MAX, ControlError, ControlRequest, call};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Bench, LONG, answers};

async fn ping(path: &std::path::Path, timeout: Duration) -> ControlError {
    call(path, &ControlRequest::Ping, timeout).await.unwrap_err()
}

#[tokio::test]
async fn nobody_listens_where_no_socket_is_or_its_process_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("control.sock");
    assert!(matches!(ping(&path, LONG).await, ControlError::NobodyListens { .. }));
    assert!(matches!(ping(&data.path().join("no/such/place"), LONG).await, ControlError::NobodyListens { .. }));
    drop(UnixListener::bind(&path).unwrap());
    let error = ping(&path, LONG).await;
    assert!(matches!(error, ControlError::NobodyListens { .. }), "{error}");
    assert_eq!(error.code(), "nobody_listens");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_answer_is_given_up_in_time() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("control.sock");
    let _deaf = UnixListener::bind(&path).unwrap();
    let begun = tokio::time::Instant::now();
    let error = ping(&path, Duration::from_millis(700)).await;
    assert!(matches!(error, ControlError::TimedOut { .. }), "{error}");
    assert_eq!(begun.elapsed().as_millis() / 10, 70);
}

#[tokio::test]
async fn what_does_not_speak_the_protocol_is_told_apart() {
    for (reply, says) in [
        (&b""[..], "closed"),
        (b"HTTP/1.1 400 Bad Request\n", "no JSON"),
        (b"{\"v\":7,\"response\":\"pong\"}\n", "version 7"),
        (b"{\"v\":1,\"response\":\"pong\"", "closed"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("control.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 64]).await.unwrap();
            stream.write_all(reply).await.unwrap();
        });
        let error = ping(&path, LONG).await;
        assert!(matches!(error, ControlError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        answering.await.unwrap();
    }
}

#[tokio::test]
async fn many_may_call_at_once() {
    let bench = Bench::open();
    let path = bench.path();
    let calls: Vec<_> = (0..CONNECTIONS_OF_ONE_PEER_MAX)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { answers(&path).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap());
    }
}

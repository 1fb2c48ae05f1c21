use std::sync::Arc;

use tachograph_adapters::control::{
    CONNECTIONS_OF_ONE_PEER_MAX, ControlListener, ControlResponse, LINE_BYTES_MAX, LINE_TIME_MAX, code,
};

use crate::support::{Bench, Connection, Echo, answers};

const PING: &[u8] = b"{\"v\":1,\"request\":\"ping\"}\n";

async fn pongs(connection: &mut Connection) -> bool {
    matches!(connection.receive().await, Some(ControlResponse::Pong { .. }))
}

#[tokio::test]
async fn every_line_gets_its_response_in_order() {
    let bench = Bench::open();
    let mut connection = bench.connect().await;
    connection.send(PING).await;
    assert!(pongs(&mut connection).await);
    connection.send(b"what?\n\n{\"v\":1,\"request\":\"dance\"}\n{\"v\":2,\"request\":\"ping\"}\n").await;
    connection.send(PING).await;
    for expected in [code::INVALID_REQUEST, code::INVALID_REQUEST, code::UNKNOWN_REQUEST, code::NEWER_VERSION] {
        assert_eq!(connection.error().await, expected);
    }
    assert!(pongs(&mut connection).await);
}

#[tokio::test]
async fn a_line_may_come_in_pieces_and_counts_only_as_a_whole() {
    let bench = Bench::open();
    let mut connection = bench.connect().await;
    for byte in PING {
        connection.send(&[*byte]).await;
    }
    assert!(pongs(&mut connection).await);
    // Without its newline it is none: the handler must not see it, and would answer it.
    connection.send(&PING[..PING.len() - 1]).await;
    drop(connection);
    assert!(answers(&bench.path()).await);
}

#[tokio::test]
async fn a_line_of_the_greatest_length_is_read_and_no_longer_one() {
    let bench = Bench::open();
    let padded = |bytes: usize| {
        let mut line = vec![b' '; bytes - PING.len()];
        line.extend_from_slice(PING);
        line
    };
    let mut connection = bench.connect().await;
    connection.send(&padded(LINE_BYTES_MAX)).await;
    assert!(pongs(&mut connection).await);
    connection.send(&padded(LINE_BYTES_MAX + 1)).await;
    assert_eq!(connection.error().await, code::LINE_TOO_LONG);
    assert!(connection.is_closed().await, "where the next line begins is not known");
    assert!(answers(&bench.path()).await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dropped_when_its_time_is_over() {
    let bench = Bench::open();
    let mut silent = bench.connect().await;
    let mut slow = bench.connect().await;
    slow.send(&PING[..5]).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(silent.error().await, code::TOO_SLOW);
    assert!(silent.is_closed().await);
    assert_eq!(slow.error().await, code::TOO_SLOW);
    let waited = begun.elapsed();
    assert!(waited + std::time::Duration::from_millis(10) >= LINE_TIME_MAX && waited < LINE_TIME_MAX * 2, "{waited:?}");
    assert!(answers(&bench.path()).await);
}

#[tokio::test]
async fn too_many_connections_hurt_nobody_that_is_there() {
    let bench = Bench::open();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_OF_ONE_PEER_MAX {
        let mut connection = bench.connect().await;
        connection.send(PING).await;
        assert!(pongs(&mut connection).await);
        held.push(connection);
    }
    let mut late = bench.connect().await;
    assert_eq!(late.error().await, code::BUSY);
    assert!(late.is_closed().await);
    for connection in &mut held {
        connection.send(PING).await;
        assert!(pongs(connection).await);
    }
    // The one that left makes room as soon as the listener has noticed.
    drop(held.pop());
    let mut tries = 0;
    while !answers(&bench.path()).await {
        tries += 1;
        assert!(tries < 10_000, "no room");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_of_a_listener_ends_its_connections() {
    let bench = Bench::open();
    let mut connection = bench.connect().await;
    connection.send(PING).await;
    assert!(pongs(&mut connection).await);
    let path = bench.path();
    drop(bench.listener);
    assert!(connection.is_closed().await);
    let _next = ControlListener::bind(&path, Arc::new(Echo)).unwrap();
    assert!(answers(&path).await);
}

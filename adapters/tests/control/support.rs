//! A handler that answers at once, and a connection in a test's hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::control::{ControlHandler, ControlListener, ControlRequest, ControlResponse, Peer, call};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// Answers every request with the peer's pid.
pub(crate) struct Echo;

#[async_trait]
impl ControlHandler for Echo {
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse {
        assert_eq!(request, ControlRequest::Ping);
        ControlResponse::Pong { pid: peer.pid, version: peer.uid.to_string() }
    }
}

/// A listener in a directory of its own.
pub(crate) struct Bench {
    pub(crate) data: tempfile::TempDir,
    pub(crate) listener: ControlListener,
}

impl Bench {
    pub(crate) fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let listener = ControlListener::bind(data.path().join("control.sock"), Arc::new(Echo)).unwrap();
        Self { data, listener }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.listener.path().to_owned()
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection(BufReader::new(UnixStream::connect(self.path()).await.unwrap()))
    }
}

/// Whether it answers, and answers this very process.
pub(crate) async fn answers(path: &Path) -> bool {
    let expected =
        ControlResponse::Pong { pid: std::process::id(), version: rustix::process::geteuid().as_raw().to_string() };
    call(path, &ControlRequest::Ping, LONG).await.is_ok_and(|response| response == expected)
}

pub(crate) struct Connection(BufReader<UnixStream>);

impl Connection {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next response; none at the end.
    pub(crate) async fn receive(&mut self) -> Option<ControlResponse> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(ControlResponse::from_line(&line).unwrap()),
        }
    }

    /// The code of the next response, which is an error.
    pub(crate) async fn error(&mut self) -> String {
        match self.receive().await {
            Some(ControlResponse::Error { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0]).await, Ok(1))
    }
}

//! The listening side.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::connections::{ConnectionLimits, Connections, NoRoom};
use super::line::{Received, read_line};
use super::message::{ControlRequest, ControlResponse};
use super::peer::Peer;
use super::place::{Place, bind};
use super::wire::{LINE_BYTES_MAX, code, too_long};

/// Within which a peer's next line must be complete, and its response taken, else the connection ends.
pub const LINE_TIME_MAX: Duration = Duration::from_secs(10);

/// How many of those that hold all connections are named.
const HOLDERS_MAX: usize = 32;

/// How long nothing is accepted after that failed, for example because descriptors were short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers the requests that arrive at a listener.
#[async_trait]
pub trait ControlHandler: Send + Sync {
    /// Answers one request. Requests of one connection come one after another, those of several at the same time. A peer
    /// that goes away meanwhile does not stop it; the end of the listener does.
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse;
}

/// A control socket that is listened at. Dropping it ends all its connections and removes its file.
#[derive(Debug)]
pub struct ControlListener {
    place: Place,
    accepting: AbortHandle,
}

impl ControlListener {
    /// Binds a socket at a path, for this process's own user and root only, and answers there from now on. Its
    /// directory must exist. A socket that a dead process left there is replaced. Of two processes that bind the same
    /// path at the same instant the later one has it, so let only the holder of a lock do it. Needs a Tokio runtime with
    /// IO and time; blocks for a few calls of the file system.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody listens there, `AlreadyExists` if what is there is no socket, or whatever the operating
    /// system answers. Nothing is left behind then.
    pub fn bind(path: impl AsRef<Path>, handler: Arc<dyn ControlHandler>) -> io::Result<Self> {
        Self::bind_with(path.as_ref(), handler, ConnectionLimits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub(crate) fn bind_with(
        path: &Path,
        handler: Arc<dyn ControlHandler>,
        limits: ConnectionLimits,
    ) -> io::Result<Self> {
        let (listener, place) = bind(path)?;
        let accepting = tokio::spawn(accept(listener, handler, limits)).abort_handle();
        Ok(Self { place, accepting })
    }

    /// Whether who connects at its path finds it there and is answered: its file may have been removed or replaced, and its
    /// runtime may be gone.
    pub(crate) fn is_found(&self) -> bool {
        !self.accepting.is_finished() && self.place.is_own()
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: UnixListener, handler: Arc<dyn ControlHandler>, limits: ConnectionLimits) {
    let present = Connections::new(limits);
    // Ended with this task.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted.and_then(|(stream, _)| Peer::of(&stream).map(|peer| (stream, peer))) {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a control connection is not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !peer.may_speak_to(rustix::process::geteuid().as_raw()) {
            tracing::warn!(pid = peer.pid, uid = peer.uid, "a control connection of another user is refused");
            turn_away(&stream, &refused_peer(peer));
            continue;
        }
        match present.enter(peer.pid, peer.leader()) {
            Ok(connection) => {
                let handler = handler.clone();
                connections.spawn(async move {
                    serve(stream, peer, &*handler).await;
                    drop(connection);
                });
            }
            Err(no_room) => {
                tracing::debug!(pid = peer.pid, ?no_room, "too many control connections");
                turn_away(&stream, &busy(peer, &no_room));
            }
        }
    }
}

/// Answers line by line until the peer closes, is too slow or does not speak the protocol.
async fn serve(stream: UnixStream, peer: Peer, handler: &dyn ControlHandler) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let (response, goes_on) = match timeout(LINE_TIME_MAX, read_line(&mut from, &mut line)).await {
            Ok(Ok(Received::Line)) => match ControlRequest::from_line(&line) {
                Ok(request) => (handler.handle(peer, request).await, true),
                Err(response) => (*response, true),
            },
            // Where the next line begins is not known in either case.
            Ok(Ok(Received::TooLong)) => (too_long(), false),
            Err(_) => (too_slow(), false),
            Ok(Ok(Received::End) | Err(_)) => return,
        };
        if !respond(&mut to, &response).await || !goes_on {
            return;
        }
    }
}

/// Whether the peer took it.
async fn respond(to: &mut OwnedWriteHalf, response: &ControlResponse) -> bool {
    let line = response.to_line();
    if line.len() > LINE_BYTES_MAX {
        tracing::error!(bytes = line.len(), "a control response is too long and is not sent");
        return false;
    }
    matches!(timeout(LINE_TIME_MAX, to.write_all(line.as_bytes())).await, Ok(Ok(())))
}

/// Tells what fits into an empty buffer, and waits for nothing.
fn turn_away(stream: &UnixStream, response: &ControlResponse) {
    // Nothing was sent before, so there is room; and if not, the closed connection says enough.
    let _ = stream.try_write(response.to_line().as_bytes());
}

fn refused_peer(peer: Peer) -> ControlResponse {
    let message = format!("user {} may not speak here", peer.uid);
    ControlResponse::error(code::PEER_REFUSED, message, "speak as the user that the supervisor runs as")
}

/// Says who could make room: whoever is turned away cannot find that out.
fn busy(peer: Peer, no_room: &NoRoom) -> ControlResponse {
    let seconds = LINE_TIME_MAX.as_secs();
    match no_room {
        NoRoom::ThisPeer { count } => {
            let message = format!("process {} has {count} connections already", peer.pid);
            let remedy = format!("close those that ask nothing, or wait: they are closed after {seconds} s");
            ControlResponse::error(code::BUSY, message, remedy)
        }
        NoRoom::ItsRun { leader, count } => {
            let message = format!("the processes that pid {leader} leads have {count} connections already");
            let remedy = format!("close those that ask nothing, or wait: they are closed after {seconds} s");
            ControlResponse::error(code::BUSY, message, remedy)
        }
        NoRoom::Anybody { holders, count } => {
            let mut pids: Vec<String> = holders.iter().take(HOLDERS_MAX).map(u32::to_string).collect();
            if let Some(more) = holders.len().checked_sub(HOLDERS_MAX).filter(|more| *more > 0) {
                pids.push(format!("and {more} more"));
            }
            let message = format!("there are {count} connections already, of pid {}", pids.join(", "));
            let remedy = format!(
                "try again: connections that ask nothing are closed after {seconds} s; if they come again, end those processes"
            );
            ControlResponse::error(code::BUSY, message, remedy)
        }
    }
}

fn too_slow() -> ControlResponse {
    let message = format!("the next line was not complete within {} s", LINE_TIME_MAX.as_secs());
    ControlResponse::error(code::TOO_SLOW, message, "connect when there is something to ask")
}

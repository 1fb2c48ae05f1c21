//! The asking side.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::error::ControlError;
use super::line::{Received, read_line};
use super::message::{ControlRequest, ControlResponse};
use super::peer::Peer;
use super::place::Address;
use super::wire::{LINE_BYTES_MAX, code};

/// How long is waited for a place in the listener's queue, before it is asked for again.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// Asks once over a connection of its own. The path may be of any length. Needs a Tokio runtime with IO and time.
///
/// Whether a request whose response was lost was carried out is not known: send it again with the same command id.
///
/// # Errors
///
/// [`ControlError`], if there is no response. A refusal is a response, and so is an error that the listener tells.
pub async fn call(
    path: impl AsRef<Path>,
    request: &ControlRequest,
    timeout: Duration,
) -> Result<ControlResponse, ControlError> {
    let path = path.as_ref();
    let line = request.to_line();
    if line.len() > LINE_BYTES_MAX {
        let why = format!("the request has {} bytes; at most {LINE_BYTES_MAX} fit", line.len());
        return Err(ControlError::Io { path: path.to_owned(), source: io::Error::other(why) });
    }
    match tokio::time::timeout(timeout, ask(path, line.as_bytes())).await {
        Ok(Ok(ControlResponse::Error { code, .. })) if code == code::PEER_REFUSED => {
            Err(ControlError::PeerRefused { path: path.to_owned() })
        }
        Ok(response) => response,
        Err(_) => Err(ControlError::TimedOut { path: path.to_owned(), after: timeout }),
    }
}

/// The process that listens at a socket, as the kernel says, also if it answers nothing; absent if nobody listens there,
/// if it cannot be named in this pid namespace, or if its queue has no place within this time. It is asked for nothing.
pub async fn listener_of(path: impl AsRef<Path>, timeout: Duration) -> Option<u32> {
    let stream = tokio::time::timeout(timeout, connect(path.as_ref())).await.ok()?.ok()?;
    Peer::of(&stream).ok().map(|peer| peer.pid).filter(|pid| *pid != 0)
}

async fn ask(path: &Path, line: &[u8]) -> Result<ControlResponse, ControlError> {
    let protocol = |why: String| ControlError::Protocol { path: path.to_owned(), why };
    let (from, mut to) = connect(path).await?.into_split();
    // Whoever is turned away finds the connection closed, and the reason in it: so the response is read all the same.
    let sent = to.write_all(line).await;
    let mut received = Vec::new();
    match read_line(&mut BufReader::new(from), &mut received).await {
        Ok(Received::Line) => ControlResponse::from_line(&received).map_err(protocol),
        Ok(Received::End) => Err(protocol("it closed the connection".to_owned())),
        Ok(Received::TooLong) => Err(protocol(format!("its line has more than {LINE_BYTES_MAX} bytes"))),
        Err(error) => Err(protocol(sent.err().unwrap_or(error).to_string())),
    }
}

async fn connect(path: &Path) -> Result<UnixStream, ControlError> {
    loop {
        let connected = match Address::of(path) {
            Ok(address) => UnixStream::connect(&address.path).await,
            Err(error) => Err(error),
        };
        let error = match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_PAUSE).await,
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                return Err(ControlError::NobodyListens { path, source: error });
            }
            io::ErrorKind::PermissionDenied => return Err(ControlError::PeerRefused { path }),
            _ => return Err(ControlError::Io { path, source: error }),
        }
    }
}

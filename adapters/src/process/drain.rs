//! Both streams of an attempt, to their end or to a deadline.

use std::time::Duration;

use tachograph_engine::domain::{Drain, OutputReceipt, Stream};
use tokio::sync::watch;

use super::pump::{Kept, PipeCloser, Pump, Pumped};

/// The pumps of both streams.
#[derive(Debug)]
pub(super) struct Pumps {
    pub(super) stdout: Pump,
    pub(super) stderr: Pump,
}

/// The output of an attempt, once nothing more will be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drained {
    pub(super) receipt: OutputReceipt,
    pub(super) kept_bytes: [u64; 2],
    /// Why output that was there is not on file, with the stream.
    pub(super) lost: Option<(Stream, String)>,
}

impl Pumps {
    /// Returns once both streams are at their ends. May be dropped and called again.
    pub(super) async fn finished(&mut self) {
        self.stdout.finished().await;
        self.stderr.finished().await;
    }

    /// Closes both pipes, so that whoever still holds their other ends is told at its next write.
    pub(super) async fn close(self, waited: Duration) -> Drained {
        let (stdout, stderr) = tokio::join!(self.stdout.close(), self.stderr.close());
        drained(stdout, stderr, waited)
    }

    pub(super) fn closer(&self, stream: Stream) -> PipeCloser {
        match stream {
            Stream::Stdout => self.stdout.closer(),
            Stream::Stderr => self.stderr.closer(),
        }
    }

    pub(super) fn kept(&self, stream: Stream) -> watch::Receiver<Kept> {
        match stream {
            Stream::Stdout => self.stdout.kept(),
            Stream::Stderr => self.stderr.kept(),
        }
    }

    /// The same of the stream that is not this one.
    pub(super) fn kept_of_other(&self, stream: Stream) -> watch::Receiver<Kept> {
        match stream {
            Stream::Stdout => self.stderr.kept(),
            Stream::Stderr => self.stdout.kept(),
        }
    }
}

/// What both streams delivered, when nothing more is taken in after this time.
pub(super) fn drained(stdout: Pumped, stderr: Pumped, waited: Duration) -> Drained {
    let streams = [(Stream::Stdout, &stdout), (Stream::Stderr, &stderr)];
    // A stream that broke is lost, not open: waiting longer would not have helped.
    let open: Vec<Stream> = streams
        .iter()
        .filter(|(_, pumped)| !pumped.ended && pumped.lost.is_none())
        .map(|(stream, _)| *stream)
        .collect();
    let lost = streams.iter().find_map(|(stream, pumped)| Some((*stream, pumped.lost.clone()?)));
    let drain = if open.is_empty() {
        Drain::Drained
    } else {
        Drain::DrainTimedOut { waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX), open }
    };
    Drained {
        receipt: OutputReceipt { stdout: stdout.receipt, stderr: stderr.receipt, drain },
        kept_bytes: [stdout.kept_bytes, stderr.kept_bytes],
        lost,
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::{Digest, StreamReceipt};

    use super::*;

    fn pumped(ended: bool, lost: Option<&str>) -> Pumped {
        let receipt = StreamReceipt { bytes: 1, digest: Digest::ZERO };
        Pumped { receipt, kept_bytes: 1, lost: lost.map(str::to_owned), ended }
    }

    #[test]
    fn the_deadline_is_named_with_the_streams_that_were_open() {
        let waited = Duration::from_millis(40);
        let both = drained(pumped(true, None), pumped(true, None), waited);
        assert_eq!(both.receipt.drain, Drain::Drained);
        let one = drained(pumped(true, None), pumped(false, None), waited);
        assert_eq!(one.receipt.drain, Drain::DrainTimedOut { waited_ms: 40, open: vec![Stream::Stderr] });
    }

    #[test]
    fn lost_output_is_told_from_late_output() {
        let lost = drained(pumped(true, None), pumped(true, Some("full")), Duration::ZERO);
        assert_eq!(lost.lost, Some((Stream::Stderr, "full".to_owned())));
        assert_eq!(lost.receipt.drain, Drain::Drained);
    }
}

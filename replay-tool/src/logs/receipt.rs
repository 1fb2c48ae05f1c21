//! What was printed against what was recorded.

use tachograph_engine::domain::{Digest, Drain, FailureKind, Outcome, OutputReceipt, Stream, StreamReceipt};

use super::End;

/// What of a file was printed.
pub(super) struct Receipt {
    /// Of all from the file's beginning; absent if it began later.
    hasher: Option<blake3::Hasher>,
}

impl Receipt {
    pub(super) fn of(start: u64) -> Self {
        Self { hasher: (start == 0).then(blake3::Hasher::new) }
    }

    pub(super) fn see(&mut self, chunk: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
    }

    /// Not all of it will be seen.
    pub(super) fn leave_out(&mut self) {
        self.hasher = None;
    }

    /// What nobody should overlook about output that ends at an offset of its file.
    pub(super) fn notes(&self, stream: Stream, end: u64, recorded: Option<&End>) -> Vec<String> {
        let name = stream.name();
        let outcome = match recorded {
            None => return Vec::new(),
            Some(End::Unknown) => {
                return vec![format!("how the attempt ended is not recorded, so that {name} may not be all")];
            }
            Some(End::Archived) => {
                return vec![format!("how the attempt ended is archived, so that {name} may not be all")];
            }
            Some(End::Recorded(outcome)) => outcome,
        };
        match &**outcome {
            Outcome::Exited { exit, .. } => match &exit.output {
                Some(output) => self.against(output, stream, end),
                None => vec![format!("what came on {name} was not recorded, so that this may not be all")],
            },
            Outcome::Failed(failure) if failure.kind == FailureKind::OutputLost => {
                vec![format!("not all of the output could be kept: {}", failure.message)]
            }
            Outcome::Failed(_) => Vec::new(),
        }
    }

    fn against(&self, output: &OutputReceipt, stream: Stream, end: u64) -> Vec<String> {
        let receipt = match stream {
            Stream::Stdout => &output.stdout,
            Stream::Stderr => &output.stderr,
        };
        let name = stream.name();
        let mut notes = Vec::new();
        match &output.drain {
            Drain::DrainTimedOut { waited_ms, open } if open.contains(&stream) => {
                notes.push(format!("{name} was still open {waited_ms} ms after the exit; what came later is missing"))
            }
            Drain::DrainTimedOut { .. } | Drain::Drained => {}
        }
        if end < receipt.bytes {
            notes.push(format!("only {end} of the {} bytes that came on {name} were kept", receipt.bytes));
        } else if !self.is_what_was_received(receipt, end) {
            notes.push(format!("the file is not what came on {name}: it was changed since"));
        }
        notes
    }

    fn is_what_was_received(&self, receipt: &StreamReceipt, end: u64) -> bool {
        let digest = self.hasher.as_ref().map(|hasher| Digest(*hasher.finalize().as_bytes()));
        end == receipt.bytes && digest.is_none_or(|digest| digest == receipt.digest)
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::{Exit, ExitStatus, Witness};

    use super::*;

    fn exited(drain: Drain) -> End {
        let receipt =
            |bytes: &[u8]| StreamReceipt { bytes: bytes.len() as u64, digest: Digest(*blake3::hash(bytes).as_bytes()) };
        let output = OutputReceipt { stdout: receipt(b"out"), stderr: receipt(b""), drain };
        let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: Some(output) };
        End::Recorded(Box::new(Outcome::Exited { exit, amended: None }))
    }

    fn notes(printed: &[u8], end: &End) -> Vec<String> {
        let mut receipt = Receipt::of(0);
        receipt.see(printed);
        receipt.notes(Stream::Stdout, printed.len() as u64, Some(end))
    }

    #[test]
    fn what_is_whole_needs_no_note_and_what_is_not_gets_one() {
        let drained = exited(Drain::Drained);
        assert!(notes(b"out", &drained).is_empty());
        assert_eq!(notes(b"o", &drained), ["only 1 of the 3 bytes that came on stdout were kept"]);
        let changed = "the file is not what came on stdout: it was changed since";
        assert_eq!(notes(b"Out", &drained), [changed]);
        assert_eq!(notes(b"outer", &drained), [changed]);
        let late = Drain::DrainTimedOut { waited_ms: 5, open: vec![Stream::Stdout] };
        let missing = "stdout was still open 5 ms after the exit; what came later is missing";
        assert_eq!(notes(b"out", &exited(late)), [missing]);
        let other = Drain::DrainTimedOut { waited_ms: 5, open: vec![Stream::Stderr] };
        assert!(notes(b"out", &exited(other)).is_empty());
        assert!(notes(b"", &End::Unknown)[0].contains("not recorded"));
        // Only the end of it was printed.
        let last = Receipt::of(1);
        assert!(last.notes(Stream::Stdout, 3, Some(&drained)).is_empty());
    }
}

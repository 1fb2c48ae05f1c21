//! One look after the other at what shows that a run is ready.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tachograph_engine::domain::Stream;

use super::super::directory::{AttemptDirectory, open_foreign};
use super::before::{Before, FileMark, Found, accepts};
use super::check::ReadyProbe;

/// Read at once of a stream's file.
const CHUNK_BYTES: usize = 64 * 1_024;

/// What is remembered from one look to the next.
#[derive(Debug)]
pub(super) struct Looking {
    probe: ReadyProbe,
    at: At,
}

#[derive(Debug)]
enum At {
    File { path: PathBuf, before: Option<FileMark> },
    Line { text: Vec<u8>, streams: Vec<Searched> },
    Port { port: u16, foreign: bool },
}

impl Looking {
    pub(super) fn of(before: Before, directory: &AttemptDirectory) -> Self {
        let probe = before.check.probe;
        let at = match (&probe, before.found) {
            (_, Found::File { path, before }) => At::File { path, before },
            (ReadyProbe::Port(port), Found::Port { open }) => At::Port { port: *port, foreign: open },
            (ReadyProbe::Line { stream, text }, _) => {
                let streams = stream.map_or(vec![Stream::Stdout, Stream::Stderr], |stream| vec![stream]);
                let searched = |stream| Searched { path: directory.output(stream), from: 0 };
                At::Line { text: text.clone().into_bytes(), streams: streams.into_iter().map(searched).collect() }
            }
            // `Before` made the one from the other.
            (ReadyProbe::File(path), Found::Line | Found::Port { .. }) => {
                At::File { path: directory.path().join(path), before: None }
            }
            (ReadyProbe::Port(port), Found::Line) => At::Port { port: *port, foreign: false },
        };
        Self { probe, at }
    }

    /// Whether it is there by now. May wait for the disk, and shortly for a connection.
    pub(super) fn look(&mut self) -> bool {
        match &mut self.at {
            At::File { path, before } => {
                let now = FileMark::of(path);
                now.is_some() && now != *before
            }
            At::Line { text, streams } => streams.iter_mut().any(|searched| searched.finds(text)),
            At::Port { port, foreign } => {
                let open = accepts(*port);
                *foreign = *foreign && open;
                open && !*foreign
            }
        }
    }

    /// What is missing, for people.
    pub(super) fn missing(&self) -> String {
        match &self.at {
            At::File { path, .. } if FileMark::of(path).is_some() => {
                format!("the file {path:?} was there before the start and was not written since")
            }
            At::File { path, .. } => format!("the file {path:?} did not appear"),
            At::Line { .. } => format!("the {} was not printed", self.probe),
            At::Port { port, foreign: true } => {
                format!("port {port} was open before the start, so that it is somebody else's")
            }
            At::Port { port, foreign: false } => format!("port {port} accepted no connection"),
        }
    }

    /// What is there of it, in a word or two.
    pub(super) fn state(&self) -> &'static str {
        match &self.at {
            At::File { path, .. } if FileMark::of(path).is_some() => "present from before the start",
            At::File { .. } => "absent",
            At::Line { .. } => "not printed",
            At::Port { foreign: true, .. } => "open from before the start",
            At::Port { foreign: false, .. } => "closed",
        }
    }

    /// The most probable cause that the check itself can name.
    pub(super) fn likely_cause(&self) -> Option<String> {
        match &self.at {
            At::Port { port, foreign: true } => Some(format!(
                "another process holds port {port}; find it with `ss -ltnp` and end it, or use another port"
            )),
            At::File { path, .. } if FileMark::of(path).is_some() => {
                Some("the file was left by an earlier start; have the run write it anew".to_owned())
            }
            At::File { .. } | At::Line { .. } | At::Port { foreign: false, .. } => None,
        }
    }

    pub(super) const fn probe(&self) -> &ReadyProbe {
        &self.probe
    }
}

/// How far a stream's file was searched.
#[derive(Debug)]
struct Searched {
    path: PathBuf,
    from: u64,
}

impl Searched {
    /// Searches what has come since. The text has no line break, so whatever contains it contains it within a line.
    fn finds(&mut self, text: &[u8]) -> bool {
        // Whatever the attempt put in the file's place shows nothing.
        search(&self.path, &mut self.from, text).unwrap_or(false)
    }
}

fn search(path: &Path, from: &mut u64, text: &[u8]) -> io::Result<bool> {
    let file = open_foreign(path)?;
    let mut chunk = vec![0; CHUNK_BYTES.max(text.len() * 2)];
    loop {
        let read = file.read_at(&mut chunk, *from)?;
        if chunk[..read].windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        // What may be its beginning is read again with what follows.
        let searched = (read + 1).saturating_sub(text.len());
        *from += searched as u64;
        if searched == 0 || read < chunk.len() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::time::Duration;

    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::*;
    use crate::process::ready::ReadyCheck;

    fn looking(data: &Path, probe: ReadyProbe) -> (Looking, AttemptDirectory) {
        let directory = AttemptDirectory::of(data, ids::run(1), Ordinal(1));
        let before = Before::see(ReadyCheck { probe, within: Duration::from_secs(1) }, &directory);
        std::fs::create_dir_all(directory.path()).unwrap();
        (Looking::of(before, &directory), directory)
    }

    #[test]
    fn a_text_is_found_wherever_the_reads_cut_it() {
        let data = tempfile::tempdir().unwrap();
        let text = "listening on 8080";
        let probe = ReadyProbe::Line { stream: None, text: text.to_owned() };
        for cut in 0..=text.len() {
            for padding in [0, CHUNK_BYTES - 5, CHUNK_BYTES, CHUNK_BYTES * 2 - 9] {
                let (mut looking, directory) = looking(data.path(), probe.clone());
                let mut file = File::create(directory.output(Stream::Stderr)).unwrap();
                file.write_all(&vec![b'l'; padding]).unwrap();
                file.write_all(&text.as_bytes()[..cut]).unwrap();
                assert_eq!(looking.look(), cut == text.len(), "{cut} {padding}");
                file.write_all(&text.as_bytes()[cut..]).unwrap();
                assert!(looking.look(), "{cut} {padding}");
            }
        }
    }

    #[test]
    fn a_text_on_the_other_stream_or_across_lines_does_not_count() {
        let data = tempfile::tempdir().unwrap();
        let probe = ReadyProbe::Line { stream: Some(Stream::Stdout), text: "ready".to_owned() };
        let (mut looking, directory) = looking(data.path(), probe);
        std::fs::write(directory.output(Stream::Stderr), "ready\n").unwrap();
        assert!(!looking.look(), "there is no standard output at all");
        std::fs::write(directory.output(Stream::Stdout), "rea\ndy\nREADY\n").unwrap();
        assert!(!looking.look());
        std::fs::write(directory.output(Stream::Stdout), "rea\ndy\nREADY\nready").unwrap();
        assert!(looking.look(), "a line need not be ended");
    }

    #[test]
    fn a_file_from_before_counts_once_it_is_made_or_written_anew() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("ready");
        std::fs::write(&path, "old").unwrap();
        let (mut looking, _) = looking(data.path(), ReadyProbe::File(path.clone()));
        assert!(!looking.look());
        assert_eq!(looking.state(), "present from before the start");
        std::fs::remove_file(&path).unwrap();
        assert!(!looking.look());
        assert_eq!(looking.state(), "absent");
        std::fs::write(&path, "new").unwrap();
        assert!(looking.look());
    }

    #[test]
    fn a_port_that_was_open_before_counts_only_after_it_was_seen_closed() {
        let data = tempfile::tempdir().unwrap();
        let stranger = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = stranger.local_addr().unwrap().port();
        let (mut looking, _) = looking(data.path(), ReadyProbe::Port(port));
        assert!(!looking.look());
        assert!(looking.missing().contains("open before the start") && looking.likely_cause().is_some());
        drop(stranger);
        assert!(!looking.look());
        assert_eq!(looking.state(), "closed");
        let _own = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(looking.look());
    }
}

//! How a job shows that it is ready: `ready` and `ready_within`.

use std::path::PathBuf;

use tachograph_adapters::process::{ReadyCheck, ReadyProbe};
use tachograph_engine::domain::Stream;

use super::file::{read_timeout, unknown_key};
use super::problem::Problems;
use super::value::{self, Entry, Item, under};
use crate::duration::{DurationMs, READY_WITHIN_DEFAULT};

/// What the keys of one job say about it.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    given: bool,
    probe: Option<ReadyProbe>,
    within: Option<DurationMs>,
    within_at: Option<usize>,
}

impl Readiness {
    /// `ready = { file = "…" }`, `{ line = "…" }` or `{ port = 8080 }`.
    pub(super) fn read(&mut self, item: &Item<'_>, place: &str, problems: &mut Problems<'_>) {
        self.given = true;
        self.probe = read_probe(item, place, problems);
    }

    /// `ready_within = "30s"`.
    pub(super) fn read_within(&mut self, at: usize, item: &Item<'_>, place: &str, problems: &mut Problems<'_>) {
        self.within_at = Some(at);
        self.within = read_timeout(item, place, problems);
    }

    /// The check, once all keys were read.
    pub(super) fn finish(self, place: &str, problems: &mut Problems<'_>) -> Option<ReadyCheck> {
        if let Some(at) = self.within_at.filter(|_| !self.given) {
            problems.note(at, format!("{place}: ready_within without ready; say what shows that the job is ready"));
        }
        let within = self.within.unwrap_or(READY_WITHIN_DEFAULT).as_duration();
        self.probe.map(|probe| ReadyCheck { probe, within })
    }
}

fn read_probe(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<ReadyProbe> {
    let toml::de::DeValue::Table(table) = item.get_ref() else {
        value::mismatch(item, place, "{ file = \"up\" }, { line = \"listening\" } or { port = 8080 }", problems);
        return None;
    };
    let (mut probes, mut stream) = (Vec::new(), None);
    for Entry { key, at, item } in value::entries(table) {
        let inner = under(place, key);
        match key {
            "file" => probes.push(value::string(item, &inner, problems).map(PathBuf::from).map(ReadyProbe::File)),
            "line" => {
                let line = |text| ReadyProbe::Line { stream: None, text };
                probes.push(value::string(item, &inner, problems).map(line));
            }
            "port" => {
                let port = value::integer(item, &inner, 1..=i64::from(u16::MAX), problems);
                probes.push(port.and_then(|port| u16::try_from(port).ok()).map(ReadyProbe::Port));
            }
            "stream" => stream = Some((at, read_stream(item, &inner, problems))),
            _ => unknown_key(key, at, place, ["file", "line", "port", "stream"], problems),
        }
    }
    let at = item.span().start;
    if probes.len() != 1 {
        problems.note(at, format!("{place}: expected exactly one of file, line and port"));
    }
    let mut probe = probes.pop().flatten()?;
    if let Err(error) = probe.check() {
        problems.note(at, format!("{place}: {error}"));
    }
    match (&mut probe, stream) {
        (_, None) => {}
        (ReadyProbe::Line { stream, .. }, Some((_, wanted))) => *stream = wanted,
        (ReadyProbe::File(_) | ReadyProbe::Port(_), Some((at, _))) => {
            problems.note(at, format!("{place}: stream goes with line only"));
        }
    }
    Some(probe)
}

fn read_stream(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<Stream> {
    let name = value::string(item, place, problems)?;
    let stream = [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| stream.name() == name);
    if stream.is_none() {
        problems.note(item.span().start, format!("{place}: expected \"stdout\" or \"stderr\""));
    }
    stream
}

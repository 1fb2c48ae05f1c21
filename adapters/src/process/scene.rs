//! What can be seen of an attempt from outside while it is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph_engine::domain::{Diagnostics, Stream, limits};

use super::directory::AttemptDirectory;
use super::group::ProcessGroup;
use super::handle::Live;
use super::identity::{Identity, ProcessStat};
use super::outcome::last_output;
use super::text::{LAST_WORDS_COLUMNS_MAX, shortened};

/// An attempt's files and its process, for whoever asks what is going on.
#[derive(Debug)]
pub(super) struct Scene {
    directory: AttemptDirectory,
    live: Arc<Live>,
}

impl Scene {
    pub(super) fn of(directory: AttemptDirectory, live: Arc<Live>) -> Self {
        Self { directory, live }
    }

    pub(super) const fn directory(&self) -> &AttemptDirectory {
        &self.directory
    }

    /// What its files and its process show. Reads a few small files and waits for nothing.
    pub(super) fn diagnostics(&self) -> Diagnostics {
        let identity = Identity::read(&self.directory, self.live.run, self.live.attempt).ok().flatten();
        let on_disk = identity.as_ref().and_then(|identity| identity.process.as_ref()).map(|process| process.pid);
        let pid = self.live.pid.get().copied().or(on_disk);
        let shim = identity.and_then(|identity| identity.shim);
        let state = pid.map(|pid| ProcessStat::read(pid).map_or("gone", described));
        let last_output = last_output(&self.directory);
        let mut facts = BTreeMap::from([("process".to_owned(), state.unwrap_or("none").to_owned())]);
        for stream in [Stream::Stdout, Stream::Stderr] {
            facts.insert(format!("{}_bytes", stream.name()), self.output_bytes(stream).to_string());
        }
        if let Some(shim) = &shim {
            let state = if shim.is_alive() { "alive" } else { "gone" };
            facts.insert("shim".to_owned(), state.to_owned());
        }
        let process = pid.filter(|_| !matches!(state, Some("gone" | "a zombie"))).map(|pid| format!("process {pid}"));
        let shim = shim.filter(|shim| shim.is_alive()).map(|shim| format!("shim {}", shim.pid));
        let silent = [Stream::Stdout, Stream::Stderr].iter().all(|stream| self.output_bytes(*stream) == 0);
        let likely_cause = likely_cause(state, silent, &last_output);
        Diagnostics { alive: process.into_iter().chain(shim).collect(), last_output, likely_cause, facts }
    }

    /// With the other members of its process group, which are looked up in `/proc`; that may wait for a moment.
    pub(super) fn diagnostics_with_group(&self) -> Diagnostics {
        let mut diagnostics = self.diagnostics();
        let mut group = self.live.pid.get().and_then(|pid| ProcessGroup::led_by(*pid, self.live.attempt));
        if let Some(group) = &mut group {
            // Whether the leader is reaped by now is not known here, so its members are verified.
            group.leader_was_reaped();
            let others = group.members().into_iter().map(|pid| format!("process {pid}"));
            diagnostics.alive.extend(others);
            diagnostics.alive.sort_unstable();
            diagnostics.alive.dedup();
            diagnostics.alive.truncate(limits::DIAGNOSTICS_MAX);
        }
        diagnostics
    }

    fn output_bytes(&self, stream: Stream) -> u64 {
        self.directory.kept_bytes(stream).unwrap_or(0)
    }
}

const fn described(stat: ProcessStat) -> &'static str {
    match stat.state {
        'Z' | 'X' | 'x' => "a zombie",
        'T' | 't' => "stopped",
        'D' => "alive, waiting for a device",
        _ => "alive",
    }
}

/// The last line on standard error, if there is any, is the run's own explanation.
fn likely_cause(state: Option<&'static str>, silent: bool, last_output: &[String]) -> Option<String> {
    let complaint = last_output.iter().rev().find_map(|line| line.strip_prefix("stderr: "));
    match (state, silent) {
        (None, _) => None,
        (Some("stopped"), _) => Some("its process is stopped; somebody must continue it".to_owned()),
        (Some("gone" | "a zombie"), _) => Some("its process is gone".to_owned()),
        (Some(_), true) => Some("it runs and has printed nothing: it may still wait for its first input".to_owned()),
        (Some(_), false) => {
            let told = |line| format!("its last words on standard error: {}", shortened(line, LAST_WORDS_COLUMNS_MAX));
            complaint.map(told)
        }
    }
}

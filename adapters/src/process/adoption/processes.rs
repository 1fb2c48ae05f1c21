//! Which processes of this machine belong to attempts, seen in one look.

use std::collections::BTreeMap;

use tachograph_engine::domain::{AttemptId, RunId};

use super::super::group::all_pids;
use super::super::identity::ProcessStat;
use super::super::shim::run_of_shim;
use super::super::spawn::ATTEMPT_VARIABLE;

/// The processes of this machine that name an attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes {
    /// By the attempt in their environment, as far as that may be read.
    named: BTreeMap<AttemptId, Vec<u32>>,
    /// Shims, by the run that they were started for.
    shims: BTreeMap<RunId, Vec<(AttemptId, u32)>>,
}

impl Processes {
    /// Looks through all processes, which takes some microseconds for each.
    pub(super) fn look() -> Self {
        let mut seen = Self::default();
        for pid in all_pids().unwrap_or_default() {
            let about = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let named = named_in(&about("environ"));
            let shim = run_of_shim(&about("cmdline"));
            if (named.is_none() && shim.is_none()) || ProcessStat::read(pid).is_ok_and(ProcessStat::is_dead) {
                continue;
            }
            if let Some(attempt) = named {
                seen.named.entry(attempt).or_default().push(pid);
            }
            if let Some((run, attempt)) = shim {
                seen.shims.entry(run).or_default().push((attempt, pid));
            }
        }
        seen
    }

    /// Those that were started with this attempt's id in their environment.
    pub(super) fn naming(&self, attempt: AttemptId) -> &[u32] {
        self.named.get(&attempt).map_or(&[], Vec::as_slice)
    }

    /// Shims that were started for attempts of this run, as their command lines say; whether one got as far as an
    /// identity is another question.
    pub(super) fn shims_of(&self, run: RunId) -> &[(AttemptId, u32)] {
        self.shims.get(&run).map_or(&[], Vec::as_slice)
    }

    /// The one of them that is for this attempt.
    pub(super) fn shim_of(&self, run: RunId, attempt: AttemptId) -> Option<u32> {
        self.shims_of(run).iter().find(|(of, _)| *of == attempt).map(|(_, pid)| *pid)
    }
}

fn named_in(environ: &[u8]) -> Option<AttemptId> {
    let value = |variable: &[u8]| {
        let value = variable.strip_prefix(ATTEMPT_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()?.parse().ok()
    };
    environ.split(|byte| *byte == 0).find_map(value)
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn an_environment_names_an_attempt_by_the_whole_variable() {
        let environ = |text: String| named_in(text.as_bytes());
        let id = ids::attempt(1);
        assert_eq!(environ(format!("A=1\0TACHO_ATTEMPT_ID={id}\0B=2")), Some(id));
        assert_eq!(environ(format!("XTACHO_ATTEMPT_ID={id}\0TACHO_ATTEMPT_IDS={id}\0TACHO_ATTEMPT=1")), None);
        assert_eq!(environ("TACHO_ATTEMPT_ID=text".to_owned()), None);
    }
}

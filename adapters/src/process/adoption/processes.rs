//! Which processes of this machine belong to attempts, seen in one look.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use tachograph_engine::domain::{AttemptId, RunId};

use super::super::group::all_pids;
use super::super::identity::ProcessStat;
use super::super::shim::run_of_shim;
use super::super::spawn::{ATTEMPT_VARIABLE, RUN_VARIABLE};

/// The processes of this machine that name an attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes {
    /// By the attempt in their environment, as far as that may be read.
    named: BTreeMap<AttemptId, Vec<u32>>,
    /// Runs and attempts that any process names, in its environment or as a shim in its command line.
    attempts: BTreeSet<(RunId, AttemptId)>,
    /// Shims, by the run that they were started for.
    shims: BTreeMap<RunId, Vec<(AttemptId, u32)>>,
}

impl Processes {
    /// Looks through all processes, which takes some microseconds for each.
    pub(super) fn look() -> Self {
        let (mut seen, mut parents) = (Self::default(), BTreeMap::new());
        for pid in all_pids().unwrap_or_default() {
            let about = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let environ = about("environ");
            let named = value_in(&environ, ATTEMPT_VARIABLE);
            let shim = run_of_shim(&about("cmdline"));
            if named.is_none() && shim.is_none() {
                continue;
            }
            let stat = ProcessStat::read(pid).ok();
            if stat.is_some_and(ProcessStat::is_dead) {
                continue;
            }
            let of_run = named.and_then(|attempt| Some((value_in(&environ, RUN_VARIABLE)?, attempt)));
            seen.attempts.extend(of_run.into_iter().chain(shim));
            if let Some(attempt) = named {
                seen.named.entry(attempt).or_default().push(pid);
            }
            if let Some((run, attempt)) = shim {
                seen.shims.entry(run).or_default().push((attempt, pid));
                parents.insert(pid, stat.and_then(|stat| u32::try_from(stat.parent).ok()));
            }
        }
        seen.shims.values_mut().for_each(|shims| forget_copies(shims, &parents));
        seen
    }

    /// Those that were started with this attempt's id in their environment.
    pub(super) fn naming(&self, attempt: AttemptId) -> &[u32] {
        self.named.get(&attempt).map_or(&[], Vec::as_slice)
    }

    /// All attempts of which anything seems to be alive, of whatever data directory.
    pub(super) const fn attempts(&self) -> &BTreeSet<(RunId, AttemptId)> {
        &self.attempts
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

/// A shim's child that is still to become the command has its shim's command line, and is none.
fn forget_copies(shims: &mut Vec<(AttemptId, u32)>, parents: &BTreeMap<u32, Option<u32>>) {
    let all = shims.clone();
    let parent = |pid: &u32| parents.get(pid).copied().flatten();
    shims.retain(|(attempt, pid)| !parent(pid).is_some_and(|parent| all.contains(&(*attempt, parent))));
}

fn value_in<T: FromStr>(environ: &[u8], name: &str) -> Option<T> {
    let value = |variable: &[u8]| {
        let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()?.parse().ok()
    };
    environ.split(|byte| *byte == 0).find_map(value)
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn a_process_between_fork_and_exec_is_no_shim() {
        let (one, other) = (ids::attempt(1), ids::attempt(2));
        // The last one is a supervisor's that runs under a shim itself.
        let mut shims = vec![(one, 21), (one, 20), (other, 22)];
        forget_copies(&mut shims, &BTreeMap::from([(20, Some(1)), (21, Some(20)), (22, Some(20))]));
        assert_eq!(shims, [(one, 20), (other, 22)]);
    }

    #[test]
    fn an_environment_names_an_attempt_by_the_whole_variable() {
        let environ = |text: String| value_in(text.as_bytes(), ATTEMPT_VARIABLE);
        let id = ids::attempt(1);
        assert_eq!(environ(format!("A=1\0TACHO_ATTEMPT_ID={id}\0B=2")), Some(id));
        assert_eq!(environ(format!("XTACHO_ATTEMPT_ID={id}\0TACHO_ATTEMPT_IDS={id}\0TACHO_ATTEMPT=1")), None);
        assert_eq!(environ("TACHO_ATTEMPT_ID=text".to_owned()), None);
    }
}

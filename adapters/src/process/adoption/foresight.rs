//! What opening would conclude, without opening.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tachograph_engine::domain::{AttemptId, ExitStatus, Run, RunId};
use tachograph_engine::ports::{JournalError, JournalReader};

use super::boot::ThisBoot;
use super::conclusion::{Conclusion, concerns, conclude};
use super::evidence::Evidence;
use super::leftovers::{late_record, unknown_directories};
use super::processes::Processes;

/// What opening would conclude about one open run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// The run.
    pub run: RunId,
    /// Its attempt, as far as the journal knows one.
    pub attempt: Option<AttemptId>,
    /// What would become of it.
    pub conclusion: Conclusion,
    /// What that rests on, in one sentence.
    pub evidence: String,
}

/// What opening would conclude.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foresight {
    /// About the runs that are open and this kind of runner's, in the order that they were given in.
    pub open: Vec<Foreseen>,
    /// Runs whose unknown end would be filled by a record that came to light since.
    pub amended: Vec<(RunId, ExitStatus)>,
    /// Processes that are alive and name an attempt that has ended, by its run: left behind on purpose, or not certainly its
    /// own. Nobody follows them.
    pub left_alive: Vec<(RunId, Vec<u32>)>,
    /// What lies among the runs' directories and belongs to no run of the journal.
    pub unknown_directories: Vec<PathBuf>,
}

/// Says what [`recover`](super::super::ProcessRunner::recover) would conclude, given all runs that the journal knows, and those
/// [images that were never started](super::super::is_unstarted_image) among them that
/// [were created here](super::super::was_created_here).
/// Reads only, needs no lock, and signals nobody. The world may change between this and an opening; a living supervisor
/// of these runs is one of the things that it tells. What the journal knows of the boot is taken into account by
/// [`Foresight::in_view_of_the_boot`] alone.
pub fn foresee<'runs>(
    runs_dir: &Path,
    runs: impl IntoIterator<Item = &'runs Run>,
    created_here: &BTreeSet<RunId>,
) -> Foresight {
    let processes = Processes::look();
    let mut foresight = Foresight::default();
    let mut known = BTreeSet::new();
    for run in runs {
        known.insert(run.id);
        if concerns(run, || created_here.contains(&run.id)) {
            let evidence = Evidence::about(runs_dir, run, &processes);
            foresight.open.push(Foreseen {
                run: run.id,
                attempt: run.attempt.as_ref().map(|attempt| attempt.id),
                conclusion: conclude(run, &evidence),
                evidence: evidence.told(),
            });
        } else if let Some((_, status)) = late_record(runs_dir, run) {
            foresight.amended.push((run.id, status));
        }
        let left = left_alive(run, &processes);
        if !left.is_empty() {
            foresight.left_alive.push((run.id, left));
        }
    }
    foresight.unknown_directories = unknown_directories(runs_dir, &known);
    foresight
}

impl Foresight {
    /// Takes back what would follow from what is not on disk, of attempts that were started in another boot.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if it cannot be read what the journal says about that.
    pub async fn in_view_of_the_boot(&mut self, reader: &dyn JournalReader) -> Result<(), JournalError> {
        let mut this_boot = None;
        for foreseen in self.open.iter_mut().filter(|foreseen| foreseen.attempt.is_some()) {
            let known: ThisBoot = match this_boot {
                Some(known) => known,
                None => *this_boot.insert(ThisBoot::find(reader).await?),
            };
            foreseen.conclusion = known.qualify(reader, foreseen.run, foreseen.conclusion.clone()).await?;
        }
        Ok(())
    }
}

/// Of attempts that have ended.
fn left_alive(run: &Run, processes: &Processes) -> Vec<u32> {
    let ended = run.attempt.as_ref().filter(|attempt| attempt.outcome.is_some() || run.is_ended());
    let attempts = ended.map(|attempt| attempt.id).into_iter().chain(run.spent.iter().copied());
    let mut left: Vec<_> = attempts.flat_map(|attempt| processes.naming(attempt).iter().copied()).collect();
    left.sort_unstable();
    left
}

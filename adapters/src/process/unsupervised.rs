//! A child between its spawn and the task that supervises it.

use rustix::process::Signal;
use tachograph_engine::domain::AttemptId;

use super::group::ProcessGroup;
use super::spawn::Spawned;

/// A child that nobody supervises yet. Dropping it kills its whole process group: when the start that wanted it is gone,
/// nobody would ever look after it, and its attempt is recorded as failed. The runtime reaps it then, as it does with
/// every child that is let go of.
#[derive(Debug)]
pub(super) struct Unsupervised {
    /// Goes first: as long as the child is held, it is not reaped, and the group's number is its own.
    killing: KillOnDrop,
    spawned: Spawned,
}

#[derive(Debug)]
struct KillOnDrop(Option<ProcessGroup>);

impl Unsupervised {
    pub(super) fn of(spawned: Spawned, attempt: AttemptId) -> Self {
        Self { killing: KillOnDrop(ProcessGroup::led_by(spawned.pid, attempt)), spawned }
    }

    pub(super) const fn pid(&self) -> u32 {
        self.spawned.pid
    }

    /// Hands it to whoever looks after it from now on.
    pub(super) fn keep(self) -> Spawned {
        let Self { mut killing, spawned } = self;
        killing.0 = None;
        spawned
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = &self.0 {
            group.signal(Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use tachograph_engine::domain::testing::ids;
    use tokio::process::Command;

    use super::*;
    use crate::process::identity::ProcessIdentity;

    fn sleeper() -> Unsupervised {
        let mut command = Command::new("sleep");
        command.arg("600").process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let pid = child.id().unwrap();
        Unsupervised::of(Spawned { child, pid, stdout, stderr }, ids::attempt(1))
    }

    #[tokio::test]
    async fn a_child_that_is_let_go_of_is_killed_and_one_that_is_kept_lives() {
        let dropped = sleeper();
        let process = ProcessIdentity::of(dropped.pid()).unwrap();
        drop(dropped);
        let begun = Instant::now();
        while process.is_alive() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody would ever look after it");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut kept = sleeper().keep();
        assert!(ProcessIdentity::of(kept.pid).unwrap().is_alive());
        kept.child.kill().await.unwrap();
        assert!(!kept.child.wait().await.unwrap().success());
    }
}

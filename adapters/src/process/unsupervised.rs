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
    use std::path::Path;
    use std::time::{Duration, Instant};

    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::super::directory::AttemptDirectory;
    use super::super::inherited::Inherited;
    use super::super::launch::CommandLine;
    use super::super::spawn::{spawn, variables};
    use super::*;
    use crate::process::identity::ProcessIdentity;

    fn sleeper() -> Unsupervised {
        let argv = vec!["sleep".into(), "600".into()];
        let line =
            CommandLine { argv, cwd: None, env: Vec::new(), env_clear: false, inherit_stdin: false, container: None };
        let (inherited, directory) = (Inherited::read(), AttemptDirectory::of(Path::new("/"), ids::run(1), Ordinal(1)));
        let own = variables(ids::run(1), (ids::attempt(1), Ordinal(1)), &directory, None);
        Unsupervised::of(spawn(&line, &inherited, &own).unwrap(), ids::attempt(1))
    }

    #[tokio::test]
    async fn a_child_that_is_let_go_of_is_killed_and_one_that_is_kept_lives() {
        let dropped = sleeper();
        let process = ProcessIdentity::of(dropped.pid()).unwrap();
        drop(dropped);
        let begun = Instant::now();
        while process.is_alive() {
            assert!(begun.elapsed() < Duration::from_secs(120), "nobody would ever look after it");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut kept = sleeper().keep();
        assert!(ProcessIdentity::of(kept.pid).unwrap().is_alive());
        let group = ProcessGroup::led_by(kept.pid, ids::attempt(1)).unwrap();
        group.signal(Signal::KILL);
        assert!(!kept.child.wait().await.unwrap().success());
    }
}

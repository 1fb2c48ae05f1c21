//! Images that somebody else's program makes.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use tachograph_engine::ports::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};

use super::error::{TakeError, at};
use super::handover::{Claim, GiveUp, Handover, Threads};
use super::place::{Partial, Place, open_image};
use super::program::{Ended, Program};
use super::sealing::seal_of;
use crate::process::{ATTEMPT_VARIABLE, AttemptDirectory, DIRECTORY_VARIABLE, ORDINAL_VARIABLE, RUN_VARIABLE};
use crate::sealing::Seal;

/// Environment variable that names the snapshot to the program that takes it.
pub const SNAPSHOT_VARIABLE: &str = "TACHO_SNAPSHOT_ID";
/// Environment variable that tells the program where it must leave the image.
pub const SNAPSHOT_FILE_VARIABLE: &str = "TACHO_SNAPSHOT_FILE";

const EXTENSION: &str = ".image";
const FILE_MODE: u32 = 0o600;

/// Runs a program for every snapshot: for containers, VMs and whatever else has images of its own.
///
/// The program gets the supervisor's environment, and in it `TACHO_RUN_ID`, `TACHO_ATTEMPT_ID`, `TACHO_ATTEMPT` (the
/// attempt's number), `TACHO_RUN_DIR` (the attempt's directory, which may not exist), `TACHO_SNAPSHOT_ID` and
/// `TACHO_SNAPSHOT_FILE`. It ends with 0 once a regular file at `TACHO_SNAPSHOT_FILE` is the image; that is made durable
/// and renamed to `<data>/snapshots/<RunId>/<SnapshotId>.image`. Anything else is a failure, which is told with the last
/// lines of its output.
///
/// It leads a process group of its own. What is left of that when it ends is killed, and all of it when the snapshot is
/// given up, without a warning: a program that stops something should do that in a way that ends with the program.
///
/// A crash leaves the program running, and a file in `.partial` that the next [`find`](Snapshotter::find) or
/// [`discard`](Snapshotter::discard) of that snapshot removes.
#[derive(Debug, Clone)]
pub struct CommandSnapshotter {
    data: PathBuf,
    runs: PathBuf,
    argv: Vec<OsString>,
    threads: Threads,
}

impl CommandSnapshotter {
    /// `argv` is the program and its arguments; no shell reads them. Images go below `data`. The directories of attempts
    /// are below `runs`; if that is absent, below `<data>/runs`.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if `data` is no directory, or `argv` is empty.
    pub fn open(data: &Path, runs: Option<&Path>, argv: Vec<OsString>) -> Result<Self, SnapshotError> {
        if argv.first().is_none_or(|program| program.is_empty()) {
            return Err(SnapshotError::because("the command that takes snapshots names no program: give one"));
        }
        let data = data.canonicalize().map_err(at("open", data))?;
        let runs = runs.map_or_else(|| data.join("runs"), Path::to_owned);
        let runs = std::path::absolute(&runs).map_err(at("find", &runs))?;
        Ok(Self { data, runs, argv, threads: Threads::default() })
    }

    fn place(&self, wanted: &WantedSnapshot) -> Place {
        Place::of(&self.data, wanted, EXTENSION)
    }

    fn images(&self) -> ProgramImages {
        ProgramImages { data: self.data.clone(), threads: self.threads.clone() }
    }
}

/// The images that programs made, whichever they were: finds and discards them, and takes none.
#[derive(Debug, Clone)]
pub struct ProgramImages {
    data: PathBuf,
    threads: Threads,
}

impl ProgramImages {
    /// Those below `data`.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if `data` is no directory.
    pub fn open(data: &Path) -> Result<Self, SnapshotError> {
        Ok(Self { data: data.canonicalize().map_err(at("open", data))?, threads: Threads::default() })
    }
}

#[async_trait]
impl Snapshotter for ProgramImages {
    async fn take(&self, _: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        Err(SnapshotError::because("no program is named that would take it: give one"))
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        let looking = Arc::new(Handover::default());
        let _claim = Claim(Arc::clone(&looking));
        let place = Place::of(&self.data, wanted, EXTENSION);
        Ok(self.threads.run(move || place.find(&looking)).await??)
    }

    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError> {
        let place = Place::of(&self.data, wanted, EXTENSION);
        Ok(self.threads.run(move || place.discard()).await??)
    }
}

#[async_trait]
impl Snapshotter for CommandSnapshotter {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        let taking = Arc::new(Taking {
            place: self.place(wanted),
            directory: AttemptDirectory::of(&self.runs, wanted.run, wanted.ordinal),
            wanted: wanted.clone(),
            argv: self.argv.clone(),
            program: Program::default(),
            handover: Handover::default(),
        });
        let claim = Claim(Arc::clone(&taking));
        let image = self.threads.run(move || taking.take()).await??;
        claim.take_over();
        Ok(image)
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        self.images().find(wanted).await
    }

    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError> {
        self.images().discard(wanted).await
    }
}

/// One image that is being made.
struct Taking {
    place: Place,
    directory: AttemptDirectory,
    wanted: WantedSnapshot,
    argv: Vec<OsString>,
    program: Program,
    handover: Handover,
}

impl GiveUp for Arc<Taking> {
    fn handover(&self) -> &Handover {
        &self.handover
    }

    fn given_up(&self) {
        self.program.kill();
    }
}

impl Taking {
    fn take(&self) -> Result<SnapshotImage, TakeError> {
        let made = self.make();
        if made.is_err() {
            self.handover.withdraw();
        }
        made.map(|seal| self.place.told(seal))
    }

    fn make(&self) -> Result<Seal, TakeError> {
        self.handover.check()?;
        let _occupied = self.place.occupy()?;
        let partial = Partial(self.place.partial());
        let ended = self.program.run(self.command(&partial.0), &self.handover)?;
        self.handover.check()?;
        if !ended.status.success() {
            return Err(self.failed(&format!("ended with {}", ended.status), &ended));
        }
        let seal = self.seal(&partial.0, &ended)?;
        self.handover.put_in_place(&partial.0, &self.place.image())?;
        self.place.sync()?;
        Ok(seal)
    }

    fn command(&self, partial: &Path) -> Command {
        let (program, arguments) = self
            .argv
            .split_first()
            .map_or((OsString::new(), &[][..]), |(program, arguments)| (program.clone(), arguments));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(RUN_VARIABLE, self.wanted.run.to_string())
            .env(ATTEMPT_VARIABLE, self.wanted.attempt.to_string())
            .env(ORDINAL_VARIABLE, self.wanted.ordinal.to_string())
            .env(DIRECTORY_VARIABLE, self.directory.path())
            .env(SNAPSHOT_VARIABLE, self.wanted.snapshot.to_string())
            .env(SNAPSHOT_FILE_VARIABLE, partial);
        command
    }

    /// What the program left, for the owner alone, durable.
    fn seal(&self, partial: &Path, ended: &Ended) -> Result<Seal, TakeError> {
        let is_file = match partial.symlink_metadata() {
            Ok(metadata) => metadata.is_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.failed("ended with 0, but left nothing at TACHO_SNAPSHOT_FILE", ended));
            }
            Err(error) => return Err(at("examine", partial)(error).into()),
        };
        if !is_file {
            return Err(self.failed("ended with 0, but what it left at TACHO_SNAPSHOT_FILE is no regular file", ended));
        }
        let mut file = open_image(partial).map_err(at("open", partial))?;
        file.set_permissions(PermissionsExt::from_mode(FILE_MODE)).map_err(at("restrict", partial))?;
        let seal = seal_of(&mut file, partial, &self.handover)?;
        file.sync_all().map_err(at("sync", partial))?;
        Ok(seal)
    }

    fn failed(&self, how: &str, ended: &Ended) -> TakeError {
        let lines = match ended.last_lines.as_slice() {
            [] => "it wrote nothing".to_owned(),
            lines => format!("its last lines: {}", lines.join(" / ")),
        };
        let program = self.argv.first().cloned().unwrap_or_default();
        TakeError::Program { program, how: how.to_owned(), lines }
    }
}

//! The last record of an attempt: written, told, and made durable before the shim goes.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::directory::{AttemptDirectory, DirectoryError};
use super::super::exit_record::{ExitRecord, Placed};
use super::super::room::Room;
use super::notice::{Notice, Teller};

/// How often a record that cannot be written is tried again: a disk that is full may get room.
const TRIES_MAX: u32 = 60;
const TRY_PAUSE: Duration = Duration::from_secs(1);

/// A record that must not be lost.
pub(super) struct Keeping<'shim> {
    pub(super) record: &'shim ExitRecord,
    pub(super) directory: &'shim AttemptDirectory,
    pub(super) room: &'shim Room,
    /// Whether everything is to be durable before the end is told.
    pub(super) sync_output: bool,
    /// Whether an earlier record may be in its place. A power cut must leave one of both then.
    pub(super) was_noted: bool,
}

/// What is done to a disk, and how long one that refuses is waited for.
struct Means<Settle> {
    /// Makes a record durable that is in its place.
    settle: Settle,
    tries_max: u32,
    try_pause: Duration,
}

impl Keeping<'_> {
    /// Writes the record, says that it is there, and returns once it is durable; or that it cannot be.
    ///
    /// It is told as soon as everybody in this boot finds it, so that the supervisor makes the end durable in its journal
    /// while this process syncs: a file system that commits both at a time does so once. Where somebody asked for it to be
    /// durable before, or where that could cost an earlier record, it is synced first. The names of the directories above are
    /// synced as well where nobody else makes the end durable, and where somebody asked for that.
    pub(super) fn keep(self, notices: &mut Teller) -> bool {
        self.keep_by(Means { settle: Room::settle, tries_max: TRIES_MAX, try_pause: TRY_PAUSE }, notices)
    }

    fn keep_by<Settle>(self, mut means: Means<Settle>, notices: &mut Teller) -> bool
    where
        Settle: FnMut(&Room, &Path) -> io::Result<()>,
    {
        let placed = means.persist(self.directory, notices, || self.place().or_else(|_| self.write_anew()));
        let Ok(placed) = placed else {
            notices.release();
            return false;
        };
        if self.sync_output {
            self.sync_names(notices);
        }
        let is_heard = notices.tell(&Notice::Recorded {});
        if placed == Placed::InThisBoot && !self.settle(&mut means, is_heard, notices) {
            return false;
        }
        if !is_heard && !self.sync_output {
            self.sync_names(notices);
        }
        true
    }

    /// In the room that was taken for it.
    fn place(&self) -> Result<Placed, DirectoryError> {
        if self.sync_output || self.was_noted {
            return self.record.write_into(self.room, self.directory).map(|()| Placed::Durably);
        }
        self.record.put_into(self.room, self.directory)
    }

    fn write_anew(&self) -> Result<Placed, DirectoryError> {
        self.record.write(self.directory).map(|()| Placed::Durably)
    }

    /// What a failed sync has not written may count as written from then on, and a second sync of the same file would tell
    /// nothing. So the record is written into another file then.
    fn settle<Settle>(&self, means: &mut Means<Settle>, is_heard: bool, notices: &mut Teller) -> bool
    where
        Settle: FnMut(&Room, &Path) -> io::Result<()>,
    {
        let Err(error) = (means.settle)(self.room, &self.directory.exit_record()) else { return true };
        // Whoever heard of the record may have removed all of it since: then nothing is left to be made durable.
        let is_removed = || is_heard && is_gone(self.directory);
        if is_removed() {
            return true;
        }
        notices.trouble(&format!("the exit record cannot be synced: {error}"));
        means.persist(self.directory, notices, || self.write_anew()).is_ok() || is_removed()
    }

    /// The record is there whether or not this can be done; after a power cut it may not be found then.
    fn sync_names(&self, notices: &mut Teller) {
        if let Err(error) = self.directory.sync_names() {
            notices.trouble(&error.to_string());
        }
    }
}

impl<Settle> Means<Settle> {
    /// Tries again for a while what a disk refuses, and tells that before.
    fn persist(
        &self,
        directory: &AttemptDirectory,
        notices: &mut Teller,
        mut write: impl FnMut() -> Result<Placed, DirectoryError>,
    ) -> Result<Placed, DirectoryError> {
        let mut tries = 0;
        loop {
            match write() {
                Err(error) if tries < self.tries_max && !is_gone(directory) => {
                    notices.trouble(&error.to_string());
                    tries += 1;
                    std::thread::sleep(self.try_pause);
                }
                result => return result,
            }
        }
    }
}

/// Then there is nowhere to write to, however long it takes.
fn is_gone(directory: &AttemptDirectory) -> bool {
    directory.path().metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use rustix::io::ioctl_fionbio;
    use rustix::pipe::{PipeFlags, pipe_with};
    use tachograph_engine::domain::testing::ids;
    use tachograph_engine::domain::{Diagnostics, ExitStatus, Ordinal, RunnerId};

    use super::*;

    /// An attempt whose process has ended, as its shim holds it, and what its supervisor hears.
    struct Scene {
        _data: tempfile::TempDir,
        directory: AttemptDirectory,
        room: Room,
        heard: File,
        notices: Teller,
    }

    impl Scene {
        fn set() -> Self {
            let data = tempfile::tempdir().unwrap();
            let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
            directory.create().unwrap();
            let room = Room::take(&directory).unwrap();
            let (heard, telling) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            ioctl_fionbio(&heard, true).unwrap();
            Self { _data: data, directory, room, heard: heard.into(), notices: Teller::through(telling.into()) }
        }

        fn keep(&mut self, settle: impl FnMut(&Room, &Path) -> io::Result<()>) -> bool {
            self.keep_as((false, false), settle)
        }

        fn keep_as(
            &mut self,
            (sync_output, was_noted): (bool, bool),
            settle: impl FnMut(&Room, &Path) -> io::Result<()>,
        ) -> bool {
            let record = record();
            let Self { directory, room, notices, .. } = self;
            let means = Means { settle, tries_max: 2, try_pause: Duration::ZERO };
            Keeping { record: &record, directory, room, sync_output, was_noted }.keep_by(means, notices)
        }

        /// A full device takes no notice, as a pipe that nobody reads.
        fn tell_nobody(&mut self) {
            self.notices = Teller::through(File::options().write(true).open("/dev/full").unwrap());
        }

        /// A directory in the place of the draft stands for a disk that takes nothing.
        fn refuse_drafts(&self) {
            std::fs::create_dir(self.directory.path().join("exit.json.draft")).unwrap();
        }

        fn found(&self) -> Option<ExitRecord> {
            found(&self.directory)
        }

        /// What was told, without waiting for more.
        fn told(&self) -> Vec<Notice> {
            told(&self.heard)
        }
    }

    fn told(mut heard: &File) -> Vec<Notice> {
        let mut lines = [0; 4_096];
        let bytes = heard.read(&mut lines).unwrap_or(0);
        lines[..bytes].split_inclusive(|byte| *byte == b'\n').map(|line| Notice::parse(line).unwrap()).collect()
    }

    fn found(directory: &AttemptDirectory) -> Option<ExitRecord> {
        ExitRecord::read(&directory.exit_record(), ids::run(1), ids::attempt(1)).unwrap()
    }

    fn record() -> ExitRecord {
        ExitRecord {
            run: ids::run(1),
            attempt: ids::attempt(1),
            runner: Some(RunnerId::from("r1")),
            status: ExitStatus::Code(7),
            output: None,
            failure: Some(("timed_out".to_owned(), "ran too long".to_owned())),
            lingering: Vec::new(),
            diagnostics: Diagnostics::default(),
            usage: None,
            left_out: None,
        }
    }

    fn refused() -> io::Error {
        io::Error::other("the disk is broken")
    }

    #[test]
    fn a_record_is_whole_and_told_while_its_sync_has_not_returned_and_nobody_goes_before() {
        let mut scene = Scene::set();
        let (heard, directory) = (scene.heard.try_clone().unwrap(), scene.directory.clone());
        let settled = Cell::new(0);
        let kept = scene.keep(|room, path| {
            assert_eq!(told(&heard), [Notice::Recorded {}]);
            assert_eq!(found(&directory), Some(record()));
            settled.set(settled.get() + 1);
            room.settle(path)
        });
        assert!(kept);
        assert_eq!(settled.get(), 1, "it goes unsynced");
        assert_eq!(scene.told(), [], "it is told once");
    }

    #[test]
    fn what_is_to_be_durable_before_is_told_after_it_is() {
        for how in [(true, false), (false, true), (true, true)] {
            let mut scene = Scene::set();
            assert!(scene.keep_as(how, |_, _| panic!("it is told before it is synced")));
            assert_eq!((scene.told(), scene.found()), (vec![Notice::Recorded {}], Some(record())), "{how:?}");
        }
    }

    #[test]
    fn a_sync_that_fails_is_told_and_made_good_by_another_file() {
        let mut scene = Scene::set();
        let (tries, first) = (Cell::new(0), Cell::new(0));
        let kept = scene.keep(|_, path| {
            tries.set(tries.get() + 1);
            first.set(path.metadata().unwrap().ino());
            Err(refused())
        });
        assert!(kept);
        let told = scene.told();
        assert!(
            matches!(&told[..], [Notice::Recorded {}, Notice::Trouble { why }] if why.contains("broken")),
            "{told:?}"
        );
        assert_eq!((tries.get(), scene.found()), (1, Some(record())), "a sync that failed is not repeated");
        assert_ne!(scene.directory.exit_record().metadata().unwrap().ino(), first.get());
    }

    #[test]
    fn a_disk_that_takes_no_other_file_either_is_waited_for_and_then_it_is_not_kept() {
        let mut scene = Scene::set();
        scene.refuse_drafts();
        assert!(!scene.keep(|_, _| Err(refused())));
        let troubles = scene.told().iter().filter(|notice| matches!(notice, Notice::Trouble { .. })).count();
        assert_eq!(troubles, 3, "of the sync, and before each of both further tries");
    }

    #[test]
    fn nothing_is_told_as_recorded_that_could_not_be_written() {
        let mut scene = Scene::set();
        scene.refuse_drafts();
        std::fs::remove_file(scene.directory.room()).unwrap();
        assert!(!scene.keep(|_, _| panic!("there is nothing to sync")));
        let told = scene.told();
        assert!(told.iter().all(|notice| matches!(notice, Notice::Trouble { .. })) && told.len() == 2, "{told:?}");
        assert_eq!(scene.found(), None);
    }

    #[test]
    fn a_directory_that_is_removed_meanwhile_is_no_failure_if_somebody_had_heard() {
        for is_heard in [true, false] {
            let mut scene = Scene::set();
            let directory = scene.directory.clone();
            if !is_heard {
                scene.tell_nobody();
            }
            let kept = scene.keep(|room, path| {
                std::fs::remove_dir_all(directory.path()).unwrap();
                room.settle(path)
            });
            assert_eq!(kept, is_heard);
            assert!(!is_heard || scene.told() == [Notice::Recorded {}]);
        }
    }

    #[test]
    fn where_nobody_listens_it_is_synced_all_the_same() {
        let mut scene = Scene::set();
        scene.tell_nobody();
        let settled = Cell::new(0);
        assert!(scene.keep(|room, path| {
            settled.set(settled.get() + 1);
            room.settle(path)
        }));
        assert_eq!((settled.get(), scene.found()), (1, Some(record())));
    }
}

//! Where the files of one attempt are, and how they are written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tachograph_engine::domain::{Ordinal, RunId, Stream};

use super::text::last_lines;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Most small files are smaller, and read at once.
const FIRST_BYTES: usize = 2 * 1_024;

/// A file or directory of a run that could not be made, written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct DirectoryError {
    /// What was tried, for example `create`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: io::Error,
}

/// The directory of one attempt: `<runs>/<RunId>/attempt-<ordinal>`.
///
/// Nothing else than these two ids reaches the path, so that no name, label or earlier run can lead to it. It is 0700
/// and its files are 0600. It holds
///
/// | file | content |
/// | --- | --- |
/// | `identity.json` | run, attempt, its runner and supervisor, and once spawned the process |
/// | `stdout`, `stderr` | what was received, from the beginning on, as far as it was kept |
/// | `stdout.from-N`, `stderr.from-N` | what was received from byte N on: parts of the end of more output than may be kept |
/// | `exit.json` | the end, as soon as it was seen |
/// | `container.json` | which container it is, if it is one, before there is any |
/// | `requests` | the way to ask a shim, as long as there is one |
/// | `exit.room` | nothing; it keeps room for `exit.json` on a disk that gets full, as long as there is a shim |
/// | `exit.claim.json` | an `exit.json` that was there before the runner wrote its own: somebody else's claim, kept as evidence |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptDirectory {
    runs: PathBuf,
    run: PathBuf,
    path: PathBuf,
    ordinal: Ordinal,
}

impl AttemptDirectory {
    /// Names the directory; touches nothing.
    pub fn of(runs: &Path, run: RunId, ordinal: Ordinal) -> Self {
        let of_run = runs.join(run.to_string());
        let path = of_run.join(format!("attempt-{ordinal}"));
        Self { runs: runs.to_owned(), run: of_run, path, ordinal }
    }

    /// Where runtimes keep the state of the containers of this data directory: `oci` beside the directory of all runs, so
    /// that they meet nobody else's.
    pub(crate) fn runtime_root(&self) -> PathBuf {
        self.runs.with_file_name("oci")
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that keeps a stream.
    pub fn output(&self, stream: Stream) -> PathBuf {
        self.path.join(stream.name())
    }

    /// The file that keeps a part of a stream's end, which begins at this byte of the stream.
    pub(super) fn output_part(&self, stream: Stream, from: u64) -> PathBuf {
        // As wide as any number is, so that names sort as the parts do.
        self.path.join(format!("{}{from:020}", part_prefix(stream)))
    }

    /// The kept parts of a stream's end, in the order of the stream; none unless more came than may be kept at the
    /// beginning. A living attempt may remove the first ones at any time, and adds others.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] if the directory cannot be read.
    pub fn output_parts(&self, stream: Stream) -> Result<Vec<OutputPart>, DirectoryError> {
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(at("read", &self.path))? {
            let entry = entry.map_err(at("read", &self.path))?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(part_prefix(stream)));
            let is_number = |number: &&str| number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
            if let Some(from) = number.filter(is_number).and_then(|number| number.parse().ok()) {
                parts.push(OutputPart { from, path: entry.path() });
            }
        }
        parts.sort_by_key(|part| part.from);
        Ok(parts)
    }

    /// How many bytes of a stream are on disk: its beginning and the parts of its end. Absent if there is no file.
    pub fn kept_bytes(&self, stream: Stream) -> Option<u64> {
        let bytes = |path: &Path| path.symlink_metadata().ok().filter(|file| file.is_file()).map(|file| file.len());
        let head = bytes(&self.output(stream))?;
        let parts = self.output_parts(stream).unwrap_or_default();
        Some(parts.iter().filter_map(|part| bytes(&part.path)).fold(head, u64::saturating_add))
    }

    /// Opens a stream's file for reading. Whatever the attempt put in its place, a link or a pipe, is an error and is never
    /// waited for.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]; its source is `NotFound` if there is none.
    pub fn open_output(&self, stream: Stream) -> Result<File, DirectoryError> {
        let path = self.output(stream);
        open_foreign(&path).map_err(at("open", &path))
    }

    /// The last few lines of what a stream's file keeps, oldest first, each cut to a bounded length; none if it cannot be
    /// read. Whatever the attempt put in the file's place is never waited for.
    pub fn last_lines(&self, stream: Stream) -> Vec<String> {
        let head = OutputPart { from: 0, path: self.output(stream) };
        let parts = self.output_parts(stream).unwrap_or_default();
        last_lines(std::iter::once(head).chain(parts).collect::<Vec<_>>().as_slice())
    }

    /// The file that names the attempt and its process.
    pub fn identity(&self) -> PathBuf {
        self.path.join("identity.json")
    }

    /// The file that records the end.
    pub fn exit_record(&self) -> PathBuf {
        self.path.join("exit.json")
    }

    /// Where a claim is kept that was found in the place of the exit record.
    pub fn exit_claim(&self) -> PathBuf {
        self.path.join("exit.claim.json")
    }

    /// The named pipe that its shim is asked through; gone with the shim, unless that was killed.
    pub(super) fn requests(&self) -> PathBuf {
        self.path.join("requests")
    }

    /// The file that keeps room for the exit record, as long as its shim is there, unless that was killed.
    pub(super) fn room(&self) -> PathBuf {
        self.path.join("exit.room")
    }

    /// Marks an attempt whose end is recorded as unknown. Without that a record that comes to light later is not looked for;
    /// nothing else depends on it.
    pub(super) fn mark_unwitnessed(&self) -> Result<(), DirectoryError> {
        let (marks, mark) = (marks_beside(&self.runs), self.mark());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE).create(&marks).map_err(at("create", &marks))?;
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(FILE_MODE).open(&mark) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at("create", &mark)(error)),
            _ => Ok(()),
        }
    }

    /// Takes the mark away.
    pub(super) fn unmark_unwitnessed(&self) {
        let _ = std::fs::remove_file(self.mark());
    }

    /// An empty file whose name says which attempt it is. It is not in the attempt's own directory, so that those that are
    /// marked are found without a look at all runs that ever were.
    fn mark(&self) -> PathBuf {
        let names = [&self.run, &self.path].map(|path| path.file_name().unwrap_or_default().to_string_lossy());
        marks_beside(&self.runs).join(names.join("."))
    }

    /// Makes the directory, durably. It must not exist: an attempt is opened once.
    pub(crate) fn create(&self) -> Result<(), DirectoryError> {
        self.make()?;
        // Whoever made the directory of all runs need not have synced it, now or before: of most attempts nothing is.
        self.sync_data()?;
        sync_directory(&self.runs)?;
        sync_directory(&self.run)
    }

    /// Makes the names of all files in it durable, and its own.
    pub(super) fn sync_names(&self) -> Result<(), DirectoryError> {
        sync_directory(&self.path)?;
        sync_directory(&self.run)?;
        sync_directory(&self.runs)?;
        self.sync_data()
    }

    fn sync_data(&self) -> Result<(), DirectoryError> {
        self.runs.parent().filter(|data| !data.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
    }

    /// Makes the directory as [`create`](Self::create) does, for what matters to this boot only: it outlives every
    /// process, and may be gone after a power cut.
    pub(super) fn make(&self) -> Result<(), DirectoryError> {
        let builder = || {
            let mut builder = DirBuilder::new();
            builder.mode(DIRECTORY_MODE);
            builder
        };
        match builder().create(&self.run) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                builder().recursive(true).create(&self.run).map_err(at("create", &self.run))?;
            }
            made => made.map_err(at("create", &self.run))?,
        }
        builder().create(&self.path).map_err(at("create", &self.path))
    }

    /// Opens a new file for a stream, readable too, so that it can be passed through from there.
    pub(super) fn create_output(&self, stream: Stream) -> Result<File, DirectoryError> {
        let path = self.output(stream);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(at("create", &path))
    }

    /// Opens a new file for a part of a stream's end. What somebody put in its place is not kept.
    pub(super) fn create_output_part(&self, stream: Stream, from: u64) -> Result<File, DirectoryError> {
        let path = self.output_part(stream, from);
        let _ = std::fs::remove_file(&path);
        OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path).map_err(at("create", &path))
    }

    /// Replaces one of the directory's files, durably: a crash leaves the old or the new content, whole.
    pub(crate) fn replace(&self, file: &Path, content: &[u8]) -> Result<(), DirectoryError> {
        replace_file(&self.path, file, content)
    }

    /// Replaces one of the directory's files as [`replace`](Self::replace) does, for what matters to this boot only: whoever
    /// reads it finds the old or the new content, whole, also after a kill of this process; a power cut may leave neither.
    pub(super) fn put(&self, file: &Path, content: &[u8]) -> Result<(), DirectoryError> {
        put_file(file, content, |_| Ok(()))
    }
}

/// The marked attempts of all runs, in no order; see [`AttemptDirectory::mark_unwitnessed`]. What cannot be read is passed
/// over.
pub(super) fn unwitnessed(runs: &Path) -> Vec<(RunId, Ordinal)> {
    let marked = |entry: io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        let (run, attempt) = name.to_str()?.split_once('.')?;
        Some((run.parse().ok()?, Ordinal(attempt.strip_prefix("attempt-")?.parse().ok()?)))
    };
    std::fs::read_dir(marks_beside(runs)).map(|marks| marks.filter_map(marked).collect()).unwrap_or_default()
}

fn marks_beside(runs: &Path) -> PathBuf {
    runs.with_file_name("unwitnessed")
}

/// A part of what a stream delivered, in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPart {
    /// At which byte of the stream it begins.
    pub from: u64,
    /// Its file.
    pub path: PathBuf,
}

impl OutputPart {
    /// Opens it for reading. Whatever the attempt put in its place, a link or a pipe, is an error and is never waited for.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]; its source is `NotFound` once it was removed.
    pub fn open(&self) -> Result<File, DirectoryError> {
        open_foreign(&self.path).map_err(at("open", &self.path))
    }
}

const fn part_prefix(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout.from-",
        Stream::Stderr => "stderr.from-",
    }
}

/// Replaces a file of this directory, durably: a crash leaves the old or the new content, whole.
pub(crate) fn replace_file(directory: &Path, file: &Path, content: &[u8]) -> Result<(), DirectoryError> {
    put_file(file, content, File::sync_all)?;
    sync_directory(directory)
}

/// Replaces a file by a draft of it that was settled before.
fn put_file(file: &Path, content: &[u8], settle: impl FnOnce(&File) -> io::Result<()>) -> Result<(), DirectoryError> {
    let draft = file.with_extension("json.draft");
    let mut to = create_draft(&draft).map_err(at("create", &draft))?;
    let written = to.write_all(content).and_then(|()| settle(&to)).map_err(at("write", &draft));
    let replaced = written.and_then(|()| std::fs::rename(&draft, file).map_err(at("replace", file)));
    if let Err(error) = replaced {
        let _ = std::fs::remove_file(&draft);
        return Err(error);
    }
    Ok(())
}

/// Makes a file anew. What somebody put there, a link or a pipe, is removed and never opened: a pipe would block for ever.
fn create_draft(draft: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(draft);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let _ = std::fs::remove_file(draft);
            create()
        }
        created => created,
    }
}

/// Reads a whole small file that somebody else may have written: a link, a pipe or a huge file in its place is an
/// error, and never blocks. Absent if there is none.
pub(crate) fn read_small(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, DirectoryError> {
    let file = match open_foreign(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at("open", path)(error)),
    };
    let mut content = Vec::with_capacity(FIRST_BYTES);
    file.take(bytes_max + 1).read_to_end(&mut content).map_err(at("read", path))?;
    if content.len() as u64 > bytes_max {
        return Err(at("read", path)(io::Error::other(format!("it has more than {bytes_max} bytes"))));
    }
    Ok(Some(content))
}

/// Opens a file that a guest may have replaced: never follows a link, and never waits for the other end of a pipe.
pub(super) fn open_foreign(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), DirectoryError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(at("sync", path))
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tachograph_engine::domain::testing::ids;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn only_the_owner_may_look_into_it() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(&data.path().join("runs"), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        directory.create_output(Stream::Stdout).unwrap();
        directory.replace(&directory.identity(), b"{}").unwrap();
        for path in [data.path().join("runs"), data.path().join("runs").join(ids::run(1).to_string())] {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        }
        assert_eq!(mode(directory.path()), 0o700);
        assert_eq!(mode(&directory.output(Stream::Stdout)), 0o600);
        assert_eq!(mode(&directory.identity()), 0o600);
    }

    #[test]
    fn an_attempt_is_opened_once_and_a_run_any_number_of_times() {
        let data = tempfile::tempdir().unwrap();
        let first = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        first.create().unwrap();
        assert_eq!(first.create().unwrap_err().source.kind(), io::ErrorKind::AlreadyExists);
        AttemptDirectory::of(data.path(), ids::run(1), Ordinal(2)).create().unwrap();
    }

    #[test]
    fn a_small_file_is_read_only_if_it_is_small_and_a_file() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("exit.json");
        assert_eq!(read_small(&path, 4).unwrap(), None);
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read_small(&path, 4).unwrap().unwrap(), b"1234");
        assert!(read_small(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
        let link = data.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read_small(&link, 4).is_err());
        // A pipe without a writer would block a plain open for ever.
        let pipe = data.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(read_small(&pipe, 4).unwrap_err().to_string().contains("no regular file"));
    }

    #[test]
    fn nobody_can_hold_up_a_replacement_or_lead_it_elsewhere() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let (file, draft) = (directory.exit_record(), directory.path().join("exit.json.draft"));
        let victim = data.path().join("victim");
        std::fs::write(&victim, "whole").unwrap();
        std::os::unix::fs::symlink(&victim, &draft).unwrap();
        directory.replace(&file, b"1").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &draft, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        directory.replace(&file, b"2").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"2");
        assert_eq!(std::fs::read(&victim).unwrap(), b"whole");
    }
}

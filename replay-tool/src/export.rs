//! `tacho export`: a journal for other programs.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tachograph_adapters::bundle::BundleReader;
use tachograph_adapters::journal::FileReader;
use tachograph_engine::ports::JournalError;
use ulid::Ulid;

use crate::cli::ExportArgs;
use crate::error::Error;
use crate::import::ImportProblem;
use crate::jsonl;
use crate::output::Reading;

/// Writes the journal to standard output, or into a file that comes to be as a whole or not at all.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read, the file exists, or the output cannot be written.
pub async fn export(reading: &mut Reading, args: &ExportArgs) -> Result<(), Error> {
    let journal = identity(reading.dataset.data());
    let Some(path) = &args.out else {
        let Reading { dataset, output, .. } = reading;
        jsonl::export::export(dataset, journal, &mut output.writer(), Error::output).await?;
        return Ok(());
    };
    let mut file = WholeFile::create(path)?;
    let failed = |error| JournalError::io("write", path, error).into();
    jsonl::export::export(&reading.dataset, journal, &mut file.file, failed).await?;
    file.finish()
}

/// The identity of the journal in a data directory or a bundle, if its files can be read that far.
fn identity(data: &Path) -> Option<Ulid> {
    if data.is_file() {
        return BundleReader::open(data).ok().map(|reader| reader.journal());
    }
    FileReader::open(data).ok().map(|reader| reader.id())
}

/// A file that is beside its place until it is whole.
struct WholeFile {
    place: PathBuf,
    beside: PathBuf,
    file: File,
    is_finished: bool,
}

impl WholeFile {
    fn create(place: &Path) -> Result<Self, Error> {
        let name = place.file_name().filter(|_| place.symlink_metadata().is_err()).ok_or_else(|| occupied(place))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".exporting-{}", std::process::id()));
        let beside = place.with_file_name(hidden);
        // Evidence may hold what is nobody else's business.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(|error| JournalError::io("create", &beside, error))?;
        Ok(Self { place: place.to_owned(), beside, file, is_finished: false })
    }

    fn finish(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| JournalError::io("sync", &self.beside, error))?;
        // Never over a file that came there meanwhile.
        renameat_with(CWD, &self.beside, CWD, &self.place, RenameFlags::NOREPLACE).map_err(|error| {
            match io::Error::from(error) {
                error if error.kind() == io::ErrorKind::AlreadyExists => occupied(&self.place),
                error => JournalError::io("rename", &self.beside, error).into(),
            }
        })?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn occupied(place: &Path) -> Error {
    ImportProblem::Occupied { path: place.to_owned() }.into()
}

//! `tacho export`: a journal for other programs.

use std::path::Path;

use tachograph_adapters::bundle::BundleReader;
use tachograph_adapters::journal::FileReader;
use tachograph_engine::ports::JournalError;
use ulid::Ulid;

use crate::cli::ExportArgs;
use crate::error::Error;
use crate::jsonl;
use crate::output::Reading;
use crate::whole_file::WholeFile;

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
    let mut file = WholeFile::create(path, false)?;
    let failed = |error| JournalError::io("write", path, error).into();
    jsonl::export::export(&reading.dataset, journal, file.file(), failed).await?;
    file.finish()
}

/// The identity of the journal in a data directory or a bundle, if its files can be read that far.
pub(crate) fn identity(data: &Path) -> Option<Ulid> {
    if data.is_file() {
        return BundleReader::open(data).ok().map(|reader| reader.journal());
    }
    FileReader::open(data).ok().map(|reader| reader.id())
}

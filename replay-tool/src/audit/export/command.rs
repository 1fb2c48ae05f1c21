//! `tacho export --parquet` and `--sqlite`.

use std::path::Path;

use super::source::Source;
use super::sqlite::{SqliteExport, write_sqlite};
use crate::cli::ExportArgs;
use crate::error::Error;
use crate::output::{Format, Reading};
use crate::table::printable;
use crate::view::SqliteExportView;

/// Writes the tables as files.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read, or the files cannot be written.
pub async fn write(reading: &mut Reading, args: &ExportArgs) -> Result<(), Error> {
    let source = source(reading, args).await?;
    match (&args.parquet, &args.sqlite) {
        (Some(directory), _) => parquet(reading, source, directory).await,
        (None, Some(file)) => {
            let made = write_sqlite(&reading.dataset, source, file, args.force).await?;
            sqlite_told(reading, &made)
        }
        (None, None) => Err(Error::internal("neither a directory nor a file is named")),
    }
}

async fn source(reading: &Reading, args: &ExportArgs) -> Result<Source, Error> {
    reading.note_beyond_end(args.to.and_then(crate::when::AsOf::asked_position));
    let position = reading.dataset.position(args.to, reading.now).await?;
    let run = match &args.run {
        Some(run) => Some(reading.dataset.resolve(run, Some(position)).await?),
        None => None,
    };
    let source = Source::of(&reading.dataset, position, run).await?;
    Ok(Source { bundles: args.bundles.clone(), ..source })
}

fn sqlite_told(reading: &mut Reading, made: &SqliteExport) -> Result<(), Error> {
    if reading.format == Format::Json {
        return reading.output.json(&SqliteExportView::from(made));
    }
    let mut text = String::new();
    for table in &made.tables {
        text.push_str(&format!("{:<10} {:>12} rows\n", table.name, table.rows));
    }
    let place = printable(&made.path.display().to_string());
    text.push_str(&format!(
        "{} up to position {} in {place}, {} bytes\n",
        journal(&made.source),
        made.source.position,
        made.bytes
    ));
    reading.output.text(&text)
}

/// Which journal, in words.
fn journal(source: &Source) -> String {
    source.journal.map_or_else(|| "the journal".to_owned(), |id| format!("journal {id}"))
}

#[cfg(not(feature = "parquet"))]
async fn parquet(_: &mut Reading, _: Source, _: &Path) -> Result<(), Error> {
    Err(super::ExportProblem::NotBuilt.into())
}

#[cfg(feature = "parquet")]
async fn parquet(reading: &mut Reading, source: Source, directory: &Path) -> Result<(), Error> {
    let made = super::parquet::write_parquet(&reading.dataset, source, directory, &|_| {}).await?;
    if !made.is_whole {
        reading.note_held(&reading.dataset);
    }
    if let Some(absent) = &made.absent {
        let tables = "attempts, snapshots, sessions and labels tell only what stayed in the journal";
        let (why, last) = (&absent.why, absent.last);
        reading.note(&format!("{tables}, not what is archived up to position {last}: {why} (--bundles)"));
    }
    if reading.format == Format::Json {
        return reading.output.json(&crate::view::ParquetExportView::from(&made));
    }
    reading.output.text(&parquet_text(&made))
}

#[cfg(feature = "parquet")]
fn parquet_text(made: &super::parquet::ParquetExport) -> String {
    let mut text = String::new();
    if made.completed {
        text.push_str("an export that was cut off is completed\n");
    }
    for table in &made.tables {
        let files: Vec<_> = made.files.iter().filter(|file| file.table == table.name).collect();
        let (word, bytes) =
            (if files.len() == 1 { "file" } else { "files" }, files.iter().map(|file| file.bytes).sum::<u64>());
        text.push_str(&format!(
            "{:<10} {:>12} rows in {} {word}, {bytes} bytes\n",
            table.name,
            table.rows,
            files.len()
        ));
    }
    let place = printable(&made.path.display().to_string());
    let (journal, position) = (journal(&made.source), made.source.position);
    let since = match made.before {
        Some(before) if before == position => format!("nothing is new since position {position}"),
        Some(before) => format!("positions {} to {position} added", before.next()),
        None => format!("positions {} to {position}", made.first),
    };
    text.push_str(&format!("{journal}: {since}; {} files in {place}, {} bytes\n", made.files_total, made.bytes_total));
    text
}

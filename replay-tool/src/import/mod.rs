//! `tacho import`: a journal out of an export, or out of what something else recorded.
//!
//! | file | is |
//! | --- | --- |
//! | `lines` | lines of a file that is not trusted |
//! | `foreign` | what is printed of a foreign history |
//! | `target` | a data directory that comes to be as a whole or not at all |
//! | `problem` | what can go wrong |

mod foreign;
mod lines;
mod problem;
mod target;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Serialize;

use self::foreign::foreign;
pub use self::lines::{Line, Lines};
pub use self::problem::ImportProblem;
pub use self::target::Target;
use crate::bundle;
use crate::cli::{ImportArgs, Source};
use crate::error::{Error, exit};
use crate::foreign::ForeignSource;
use crate::jsonl;
use crate::jsonl::import::Imported;
use crate::output::Context;
use crate::progress::Bar;
use crate::table::printable;

/// Bytes that are read of a file at once.
const READ_BYTES: usize = 256 << 10;

/// What is printed of a journal that was imported from JSON Lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedView {
    /// The data directory.
    pub data: String,
    /// What it was made of: `bundle` or `tachograph-jsonl`.
    pub from: &'static str,
    /// The identity of the journal.
    pub journal: String,
    /// How many entries it has.
    pub entries: u64,
    /// The hash over its new files.
    pub digest: String,
}

/// Makes a journal in the data directory.
///
/// # Errors
///
/// [`Error::Import`] for what is wrong with the file or the place, [`Error::Journal`] if the journal cannot be written.
pub async fn execute(context: &Context, args: ImportArgs) -> Result<u8, Error> {
    let Some(from) = args.from else { return bundle::open::execute(context, &args.file, args.sealed_by) };
    let mut input = Input::open(&args.file)?;
    match from {
        Source::TachographJsonl => journal(context, input).await,
        Source::DockerEvents => foreign(context, input, ForeignSource::DockerEvents, args.strict).await,
        Source::K8sEvents => foreign(context, input, ForeignSource::K8sEvents, args.strict).await,
        Source::Jsonl => match input.is_journal() {
            Ok(true) => journal(context, input).await,
            Ok(false) => foreign(context, input, ForeignSource::Jsonl, args.strict).await,
            Err(problem) => Err(problem.into()),
        },
    }
}

async fn journal(context: &Context, input: Input) -> Result<u8, Error> {
    let bar = Bar::of_bytes("importing", input.bytes);
    let imported = jsonl::import::import(input.reader, &input.name, &context.data, |read| bar.reached(read)).await?;
    drop(bar);
    let mut output = context.stdout();
    let Imported { journal, entries, head, is_ended } = imported;
    if context.is_json() {
        output.json(&ImportedView {
            data: context.data.display().to_string(),
            from: jsonl::FORMAT,
            journal: journal.to_string(),
            entries,
            digest: head.digest.to_string(),
        })?;
    } else {
        let data = printable(&context.data.display().to_string());
        output.text(&format!("imported {entries} entries of journal {journal} into {data}\n"))?;
    }
    output.flush()?;
    if !is_ended {
        context.note(&format!("{} has no last line that counts its entries: it may be cut", input.name));
    }
    Ok(exit::OK)
}

/// A file that is imported.
pub struct Input {
    /// Its path as it was given, or `standard input`.
    pub name: String,
    /// Its content.
    pub reader: Box<dyn BufRead>,
    /// How long it is; absent if that is not known before its end.
    pub bytes: Option<u64>,
}

impl Input {
    /// Opens a file for reading; `-` is standard input.
    ///
    /// # Errors
    ///
    /// [`ImportProblem::Unreadable`].
    pub fn open(path: &Path) -> Result<Self, ImportProblem> {
        if path.as_os_str() == "-" {
            let reader = Box::new(BufReader::with_capacity(READ_BYTES, io::stdin()));
            return Ok(Self { name: "standard input".to_owned(), reader, bytes: None });
        }
        let name = path.display().to_string();
        let unreadable = |source| ImportProblem::Unreadable { file: name.clone(), source };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self { reader: Box::new(BufReader::with_capacity(READ_BYTES, file)), bytes, name })
    }

    /// Whether it begins as a journal does that was exported as JSON Lines. Takes nothing out of it.
    fn is_journal(&mut self) -> Result<bool, ImportProblem> {
        let unreadable = |source| ImportProblem::Unreadable { file: self.name.clone(), source };
        let begin = self.reader.fill_buf().map_err(unreadable)?;
        let begin = begin.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(begin);
        Ok(begin.starts_with(format!("{{\"format\":\"{}\"", jsonl::FORMAT).as_bytes()))
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

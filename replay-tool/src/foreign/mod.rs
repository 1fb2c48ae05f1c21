//! Foreign histories: event streams of something else, turned into a journal.
//!
//! Every event becomes commands that the engine decides, with the event's own time; where the history contradicts itself,
//! the refusals stand in the journal. `docs/import.md` says what becomes of which event, and
//! `docs/decisions/0019-foreign-histories.md` why.
//!
//! | file | is |
//! | --- | --- |
//! | [`observation`] | what one event says, whatever it came from |
//! | `docker`, `kubernetes`, `generic` | one source each: from JSON to observations |
//! | `documents` | JSON documents in a file, one per line or over many lines |
//! | `identity` | ids that follow from the content, so that the same input gives the same journal |
//! | `replaced` | what another subject of the same name proves |
//! | `recorder` | observations to commands, decided by an engine whose clock is the history's |
//! | `silent` | events that left nothing in the journal |
//! | `survey` | the input, copied and put in order |
//! | `unique` | JSON in which every field stands once |
//! | `import` | the whole of it |
//! | `report` | what became of every line |

mod docker;
mod documents;
mod field;
mod generic;
mod identity;
mod import;
mod kubernetes;
pub mod observation;
mod recorder;
mod replaced;
mod report;
mod silent;
mod survey;
mod unique;

pub(crate) use self::import::bad_lines;
pub use self::import::{FOREIGN_DIR, ForeignSource, Request, import};
pub use self::report::{BadLine, ForeignReport, RefusedLine};

/// Bytes of one event at most; what is longer is a bad line.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

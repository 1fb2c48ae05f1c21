//! The whole history as tables, and questions to them in SQL.
//!
//! Nothing is imported: each question gets a private database of its own, with the tables that it names and of those the columns
//! that it reads, filled out of the journal as it is. SQLite itself says which those are. Of large journals the tables stay filled
//! in a file of the user's own, which is a copy and nothing more. The data dictionary is `docs/audit.md`; why it is done this way,
//! decisions 20 and 27.

mod answer;
mod attempt_table;
mod cache;
mod column;
pub mod command;
mod destination;
mod editor;
mod ending;
mod entry_table;
mod event_table;
pub mod export;
mod history;
mod interrupt;
mod joined;
mod kept;
mod loading;
mod named;
mod narrowing;
mod parameter;
mod places;
mod predicate;
mod problem;
mod prompt;
mod rows;
mod run_table;
mod session_table;
mod snapshot_table;
mod statements;
mod timer_table;
mod wanted;

pub use self::answer::{Desk, Next};
pub use self::cache::CacheChoice;
pub use self::column::{ColumnInfo, TableInfo};
pub use self::loading::{Loaded, LoadedTable, Scope};
pub use self::named::{NAMED, NamedParameter, NamedQuery};
pub use self::parameter::Parameter;
pub use self::rows::RowsFormat;
pub use self::wanted::Wanted;

/// Every table, as the data dictionary has it.
pub fn tables() -> Vec<TableInfo> {
    vec![
        entry_table::entries().described(),
        event_table::events().described(),
        entry_table::refusals().described(),
        run_table::runs().described(),
        attempt_table::attempts().described(),
        snapshot_table::snapshots().described(),
        timer_table::timers().described(),
        session_table::sessions().described(),
        run_table::labels().described(),
    ]
}

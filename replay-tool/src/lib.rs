//! The library that the `tacho` command line stands on.
//!
//! | module | does |
//! | --- | --- |
//! | [`app`] | the process around a command: logs, panics, runtime, exit code |
//! | [`cli`] | the arguments of every command |
//! | [`error`] | every way to fail, with its stable code, exit code and remedy |
//! | [`interrupt`] | signals that ask for an end |
//! | [`jobs`] | the jobs file |
//! | [`machine`] | this machine: whether the last writer still lives here |
//! | [`output`] | standard output: format, colour, a reader that went away |
//! | [`duration`], [`when`], [`size`] | durations, points in time and sizes as people write them |
//! | [`signal`] | signals by name and number |
//! | [`progress`] | how far something is, for a terminal on standard error |
//! | [`stop`] | the wish to stop |
//! | [`table`] | aligned columns, and text that cannot play with the terminal |
//! | [`replay`] | the state of all runs out of a journal, with checkpoints as shortcuts |
//! | [`run`], [`supervise`] | the two commands that run something |
//! | [`report`], [`cancel_snapshot`], [`kill`], [`destroy`] | the commands that speak with a supervisor |
//! | [`control_problem`], [`operator`] | what can go wrong with that, and who speaks |
//! | [`runs`], [`show`], [`timeline`], [`timers`], [`why_timer`], [`tail`], [`verify`] | the commands that read |
//! | [`comparison`], [`compare`] | two runs side by side |
//! | [`account`], [`why`] | how a run came to its state, in data and in words |
//! | [`explore`] | a journal on a terminal, back and forth in time |
//! | [`state`], [`mod@diff`], [`bisect`] | the commands about points of a history |
//! | [`ps`], [`logs`], [`logs_problem`] | the commands about what runs now, and what it printed |
//! | [`processes`] | the processes of this machine: which of them belong to an attempt |
//! | [`adopt`] | what opening would conclude about runs that were left open |
//! | [`lock_wait`] | how long is waited for a journal that somebody else has open |
//! | [`restore`] | a directory out of the image of a snapshot |
//! | [`page`] | one self-contained page that shows the history of a fleet |
//! | [`armed`], [`story`], [`snapshot_search`], [`snapshot_problem`] | what is armed, what became of a snapshot, which one is meant |
//! | [`export`], [`import`], [`jsonl`] | a journal as JSON Lines, and back; journals out of [`foreign`] histories |
//! | [`archive`] | old segments into a bundle, and a stub in their place |
//! | [`bundle`] | bundles of evidence: made, imported, verified, sealed |
//! | [`dataset`] | a journal that is read: which runs there are, which one is meant, what happened |
//! | [`audit`] | the whole history as tables, and questions to them in SQL |
//! | [`rule`], [`recheck`], [`whatif`] | recorded commands, decided again, and under other rules |
//! | [`rule`], [`recheck`] | recorded commands, decided again |
//! | [`point`] | what was true at a point, what differs between two, when something became true |
//! | [`writer`] | a data directory, opened for writing |
//! | [`view`], [`words`] | what happened, for programs and for people |
//!
//! Read commands change no byte: they open the journal's files for reading only, take no lock and create nothing, so
//! that they work beside a live writer, on a copy and on a read-only medium.

pub mod account;
pub mod adopt;
pub mod app;
pub mod archive;
pub mod armed;
pub mod audit;
pub mod bisect;
pub mod bundle;
pub mod cancel_snapshot;
pub mod cli;
pub mod compare;
pub mod comparison;
pub mod control_problem;
pub mod dataset;
pub mod destroy;
pub mod diff;
mod direct;
pub mod duration;
pub mod error;
pub mod explore;
pub mod export;
mod following;
pub mod foreign;
pub mod held;
pub mod import;
pub mod interrupt;
pub mod jobs;
pub mod jsonl;
pub mod kill;
mod last_writer;
pub mod lock_wait;
pub mod logs;
pub mod logs_problem;
pub mod machine;
pub mod operator;
pub mod output;
pub mod page;
mod patient;
pub mod point;
pub mod processes;
pub mod progress;
pub mod ps;
pub mod recheck;
mod remarks;
pub mod replay;
pub mod report;
pub mod restore;
pub mod rule;
pub mod run;
pub mod runs;
mod salvaging;
mod search;
pub mod show;
pub mod signal;
pub mod size;
pub mod snapshot_problem;
pub mod snapshot_search;
mod speaking;
mod standard_error;
pub mod state;
pub mod stop;
pub mod story;
pub mod supervise;
pub mod table;
pub mod tail;
pub mod timeline;
pub mod timers;
mod unsaid;
pub mod verify;
pub mod view;
pub mod whatif;
pub mod when;
mod whole_file;
pub mod why;
pub mod why_timer;
pub mod words;
pub mod writer;

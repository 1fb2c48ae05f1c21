//! `tacho report --out F`: one self-contained page that shows the history of a fleet.
//!
//! | module | does |
//! | --- | --- |
//! | [`gather`] | goes through a journal and fills the model |
//! | [`model`] | what the page shows, in columns that are short as JSON |
//! | [`tables`] | texts and ids that are stored once and named by their number |
//! | [`document`] | the page: markup, style, data and script, under a policy that forbids every request |
//! | [`place`] | the file: beside its name first, then renamed |
//! | [`problem`] | what can be wrong with that file |
//! | [`command`] | the command itself |
//!
//! What was recorded gets into the page as JSON only, in which no character can end the element around it, and the page
//! shows it as text only. `assets/` holds markup, style and script; the script's files are one script in the page.

pub mod command;
pub mod document;
pub mod gather;
pub mod model;
pub mod place;
pub mod problem;
pub mod tables;

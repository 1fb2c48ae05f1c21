//! Arguments of the page that `tacho report` writes.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::when::AsOf;

const A_PAGE: &str = "A page about the history";

/// Which page `tacho report` writes, if nothing is reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct PageArgs {
    /// Write one page about the history to this file: HTML that asks no network for anything
    #[arg(long, required = true, help_heading = A_PAGE, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// From this position or time on
    #[arg(long, help_heading = A_PAGE, value_name = "TIME|POSITION")]
    pub from: Option<AsOf>,
    /// Up to this position or time
    #[arg(long, help_heading = A_PAGE, value_name = "TIME|POSITION")]
    pub to: Option<AsOf>,
    /// Show so many entries at most, the last ones; the page says what is left out [default: 200000]
    #[arg(long, help_heading = A_PAGE, value_name = "N")]
    pub entries_max: Option<NonZeroUsize>,
    /// Replace the file if it exists
    #[arg(long, help_heading = A_PAGE)]
    pub force: bool,
}

impl PageArgs {
    /// Whether none of them was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

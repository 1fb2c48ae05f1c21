//! Arguments that say when a command is ready.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};
use tachograph_adapters::process::{ReadyCheck, ReadyProbe};

use crate::duration::{DurationMs, READY_WITHIN_DEFAULT};

/// What shows that a command is ready, and by when it must.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("ready").args(["ready_file", "ready_line", "ready_port"]))]
pub struct ReadyArgs {
    /// It is ready once this file is made or written; a relative path begins in $TACHO_RUN_DIR
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub ready_file: Option<PathBuf>,
    /// It is ready once it prints a line with this text, on either stream
    #[arg(long, value_name = "TEXT")]
    pub ready_line: Option<String>,
    /// It is ready once somebody accepts connections at this port of the loopback interface
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub ready_port: Option<u16>,
    /// End the command if it is not ready by then [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = super::parse_timeout, requires = "ready")]
    pub ready_within: Option<DurationMs>,
}

impl ReadyArgs {
    /// The check that was asked for.
    pub fn check(&self) -> Option<ReadyCheck> {
        let file = self.ready_file.clone().map(ReadyProbe::File);
        let line = || self.ready_line.clone().map(|text| ReadyProbe::Line { stream: None, text });
        let probe = file.or_else(line).or_else(|| self.ready_port.map(ReadyProbe::Port))?;
        Some(ReadyCheck { probe, within: self.ready_within.unwrap_or(READY_WITHIN_DEFAULT).as_duration() })
    }
}

//! The same as `tacho`, so that building a benchmark builds it, too.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: what is started as a shim must stay as small as it began.
    tachograph_adapters::shim::dispatch().unwrap_or_else(tachograph_replay::app::main)
}

//! The `tacho` command line: everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tachograph_replay::app::main()
}

//! The shim as a program of its own: small, so that starting one costs little and two hundred of them share their pages.

use std::process::ExitCode;

fn main() -> ExitCode {
    tachograph_adapters::shim::main()
}

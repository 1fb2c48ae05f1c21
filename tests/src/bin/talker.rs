//! Says so much on both streams, and ends with a code: `talker CODE SEED STDOUT-BYTES STDERR-BYTES`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test harness fails by panicking"
)]

#[path = "../talk.rs"]
#[allow(unreachable_pub, reason = "the library has it, too")]
mod talk;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

/// Written at once on one stream, before it is the other one's turn.
const CHUNK_BYTES: usize = 10_000;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|number| number.parse().expect("a number")).collect();
    let [code, seed, out, err] = numbers[..] else { panic!("usage: talker CODE SEED STDOUT-BYTES STDERR-BYTES") };
    let (out, err) = (talk::bytes(seed, out as usize), talk::bytes(!seed, err as usize));
    let (mut out, mut err) = (out.chunks(CHUNK_BYTES), err.chunks(CHUNK_BYTES));
    loop {
        let (said, complained) = (out.next(), err.next());
        if let Some(chunk) = said {
            stdout().write_all(chunk).expect("stdout");
        }
        if let Some(chunk) = complained {
            stderr().write_all(chunk).expect("stderr");
        }
        if said.is_none() && complained.is_none() {
            stdout().flush().expect("stdout");
            return ExitCode::from(u8::try_from(code).expect("a code"));
        }
    }
}

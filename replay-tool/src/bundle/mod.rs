//! Bundles on the command line: made, imported, verified, and the keys that seal them.
//!
//! | file | is |
//! | --- | --- |
//! | `make` | `tacho export` without `--jsonl` |
//! | `open` | `tacho import` of a bundle |
//! | `check` | `tacho verify` of a bundle |
//! | `key` | `tacho seal-key` |

pub mod check;
pub mod key;
pub mod make;
pub mod open;

use crate::progress::Bar;
use tachograph_adapters::journal::Progress;

/// A progress bar over as many bytes as the first progress says.
fn bar(what: &'static str) -> impl FnMut(Progress) {
    let mut bar: Option<Bar> = None;
    move |progress| bar.get_or_insert_with(|| Bar::of_bytes(what, Some(progress.bytes_total))).reached(progress.bytes)
}

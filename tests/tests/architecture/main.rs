//! Who may know whom, read from the build and from the sources: the absences that no code shows.
//!
//! | module | fails on |
//! | --- | --- |
//! | `edges` | a dependency between crates of the workspace that the architecture does not have |
//! | `purity` | a path in the domain to a clock, a thread, IO, serialisation, a runtime, or out of the domain |
//! | `borders` | a projection that knows more of the engine than the domain; bincode outside of the codec |
//! | `wildcards` | a catch-all arm in a match over events, actions or statuses in the engine |
//!
//! Every check is also fed what it must find.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod borders;
mod edges;
mod paths;
mod purity;
mod sources;
mod wildcards;

/// Fails with everything that was found.
#[track_caller]
fn expect_nothing(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

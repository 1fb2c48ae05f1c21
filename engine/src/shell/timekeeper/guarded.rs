//! Calls of an embedder's code that may fail in every way.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use crate::ports::Clock;

/// What became of a call.
pub(super) enum Ended<T> {
    Returned(T),
    /// With the message of the panic.
    Panicked(String),
    /// Its time was up, and its future was dropped.
    GivenUp,
}

/// Awaits a call for at most so long; it takes nobody along if it panics.
pub(super) async fn guarded<T>(clock: &dyn Clock, limit: Duration, call: impl Future<Output = T>) -> Ended<T> {
    tokio::select! {
        biased;
        ended = AssertUnwindSafe(call).catch_unwind() => match ended {
            Ok(value) => Ended::Returned(value),
            Err(panic) => Ended::Panicked(message(&*panic)),
        },
        () = clock.sleep(limit) => Ended::GivenUp,
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

//! Waiting for a run to become ready, as long as it may take.

use std::sync::Arc;
use std::time::Duration;

use tachograph_engine::ports::Clock;

use super::super::handle::{Live, Phase};
use super::super::outcome::TimeUp;
use super::super::scene::Scene;
use super::before::Before;
use super::looking::Looking;
use super::{Readiness, Ready};
use crate::threads::blocking;

/// Between two looks, at first and once it takes longer: soon enough for what is quick, seldom enough to cost nothing.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Looks until the attempt is ready, its time is up or it has ended, and says which.
pub(in super::super) async fn watch(before: Before, scene: Scene, live: Arc<Live>, clock: Arc<dyn Clock>) {
    let verdict = Verdict(live);
    let begun = clock.monotonic();
    let within_ms = before.check.within_ms();
    let due = begun.saturating_add(before.check.within);
    let mut looking = Looking::of(before, scene.directory());
    let mut pause = PAUSE_MIN;
    loop {
        let ended = verdict.output_is_done();
        // The last look is when the time is up: nobody gains from ending what is ready by then.
        let now = clock.monotonic();
        let Some(seen) = blocking(move || (looking.look(), looking)).await else { return };
        looking = seen.1;
        if seen.0 {
            return verdict.ready(clock.monotonic().saturating_sub(begun));
        }
        if ended {
            return;
        }
        if now >= due {
            let Some(why) = blocking(move || time_up(&looking, within_ms, &scene)).await else { return };
            return verdict.time_is_up(why);
        }
        tokio::select! {
            biased;
            () = verdict.until_output_is_done() => {}
            () = clock.sleep(pause.min(due.saturating_sub(now))) => {}
        }
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// Tells that the output is on file, so that nothing more can show readiness, and waits for the verdict.
pub(in super::super) async fn settle(live: &Live) {
    live.output_done.send_replace(true);
    let _ = live.readiness.subscribe().wait_for(|readiness| *readiness != Readiness::Awaited).await;
}

fn time_up(looking: &Looking, within_ms: u64, scene: &Scene) -> TimeUp {
    let mut diagnostics = scene.diagnostics_with_group();
    let facts = [("ready_check", looking.probe().to_string()), ("ready_within_ms", within_ms.to_string())];
    diagnostics.facts.extend(facts.map(|(name, value)| (name.to_owned(), value)));
    diagnostics.facts.insert(format!("ready_{}", looking.probe().name()), looking.state().to_owned());
    diagnostics.likely_cause = looking.likely_cause().or(diagnostics.likely_cause);
    TimeUp::NotReady { within_ms, what: looking.missing(), diagnostics: Box::new(diagnostics) }
}

/// What is said about an attempt in the end: that it is never ready, unless something else was said before.
struct Verdict(Arc<Live>);

impl Verdict {
    fn ready(self, after: Duration) {
        self.0.readiness.send_replace(Readiness::Ready(Ready { after }));
    }

    fn time_is_up(self, why: TimeUp) {
        self.0.end_in_time(why);
    }

    fn output_is_done(&self) -> bool {
        *self.0.output_done.borrow() || matches!(*self.0.phase.borrow(), Phase::Ended(_) | Phase::Abandoned)
    }

    async fn until_output_is_done(&self) {
        let (mut done, mut phase) = (self.0.output_done.subscribe(), self.0.phase.subscribe());
        tokio::select! {
            _ = done.wait_for(|done| *done) => {}
            _ = phase.wait_for(|phase| matches!(phase, Phase::Ended(_) | Phase::Abandoned)) => {}
        }
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.0.readiness.send_if_modified(|readiness| {
            let open = *readiness == Readiness::Awaited;
            if open {
                *readiness = Readiness::Never;
            }
            open
        });
    }
}

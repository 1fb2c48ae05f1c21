//! The thread that reads, so that the screen never waits for a disk.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::halt::Progress;
use super::session::{Answer, Ask, Session};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// What comes from the thread.
#[derive(Debug)]
pub(crate) enum Report {
    /// The request has come so far.
    Progressed(Progress),
    /// It is answered.
    Answered(Box<Answer>),
}

/// The way to the thread. It ends once this is dropped and what it is at is done.
#[derive(Debug)]
pub(crate) struct Worker {
    asks: mpsc::Sender<(u64, Ask)>,
    sent: u64,
    /// The number of the last request that shall end.
    canceled: Arc<AtomicU64>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the system says if there can be no thread.
    pub(crate) fn start(session: Session, reports: UnboundedSender<Report>) -> io::Result<Self> {
        let (asks, asked) = mpsc::channel();
        let canceled = Arc::new(AtomicU64::new(0));
        let (runtime, heard) = (tokio::runtime::Builder::new_current_thread().build()?, canceled.clone());
        let work = move || runtime.block_on(answer_all(session, &asked, &heard, &reports));
        std::thread::Builder::new().name("tacho-explore".to_owned()).spawn(work)?;
        Ok(Self { asks, sent: 0, canceled })
    }

    /// Sends a request. If the thread is gone, its reports have ended, too.
    pub(crate) fn send(&mut self, ask: Ask) {
        self.sent += 1;
        let _ = self.asks.send((self.sent, ask));
    }

    /// Ends the request that was sent last, if it is still being answered.
    pub(crate) fn cancel(&self) {
        self.canceled.store(self.sent, Ordering::Relaxed);
    }
}

async fn answer_all(
    mut session: Session,
    asked: &mpsc::Receiver<(u64, Ask)>,
    canceled: &AtomicU64,
    reports: &UnboundedSender<Report>,
) {
    while let Ok((number, ask)) = asked.recv() {
        let mut told = Instant::now();
        let mut watch = |progress| {
            if canceled.load(Ordering::Relaxed) >= number {
                return ControlFlow::Break(());
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let _ = reports.send(Report::Progressed(progress));
            }
            ControlFlow::Continue(())
        };
        let answer = session.answer(&ask, &mut watch).await;
        if reports.send(Report::Answered(Box::new(answer))).is_err() {
            return;
        }
    }
}

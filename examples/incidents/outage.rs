//! The supervisor that is killed, and what the next one finds.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tachograph::prelude::*;

use super::fleet::Fleet;
use super::{FIRST, a1_reused_id, a2_stale_file, a3_end_before_output};

/// The process that the killed supervisor leaves ends by itself soon after; this long it is waited for.
const OUTAGE_MAX: Duration = Duration::from_secs(30);

/// Ends once its supervisor is gone, with a code that nobody sees.
const LEFT: &str = "while kill -0 $PPID 2>/dev/null; do sleep 0.02; done; exit 3";

/// What the killed supervisor left.
pub(crate) struct Left {
    nightly: RunId,
    crawl: RunId,
}

/// The first supervisor: plays three incidents, leaves two runs open, says which, and waits to be killed.
pub(crate) async fn first_supervisor(data: &Path) -> Result<(), Box<dyn Error>> {
    let fleet = Fleet::open(data).await?;
    a1_reused_id::play(&fleet).await?;
    a2_stale_file::play(&fleet).await?;
    a3_end_before_output::play(&fleet).await?;
    let nightly = fleet.runner.create(Fleet::script("nightly", LEFT)).await?;
    let handle = fleet.runner.start(nightly, Launch::default()).await?;
    let crawl = fleet.create(Fleet::image("crawl", "registry/agent:3")).await?;
    let claim = fleet.start(crawl, "vm-3", StartMode::Fresh).await?;
    fleet.wait(&claim, "a slow answer").await?;
    fleet.arm(&claim, 600_000).await?;
    println!("{nightly} {} {crawl}", handle.pid().ok_or("nightly has no process")?);
    std::future::pending::<()>().await;
    Ok(())
}

/// Lets the first supervisor work in a process of its own, and kills it with SIGKILL.
pub(crate) async fn killed(data: &Path) -> Result<Left, Box<dyn Error>> {
    let mut first = Command::new(std::env::current_exe()?).arg(FIRST).arg(data).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let told = first.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
    first.kill()?;
    first.wait()?;
    told.ok_or("the first supervisor has no output")??;
    let mut words = line.split_whitespace();
    let mut word = || words.next().ok_or("the first supervisor did not come to its end");
    let (nightly, pid, crawl) = (word()?.parse()?, word()?.to_owned(), word()?.parse()?);
    let begun = Instant::now();
    while Path::new("/proc").join(&pid).exists() {
        if begun.elapsed() > OUTAGE_MAX {
            return Err(format!("process {pid} of the killed supervisor does not end").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Left { nightly, crawl })
}

/// The next supervisor found both: one ended unseen, the other still waits, with its timer armed again.
pub(crate) async fn found(fleet: &Fleet, left: &Left) -> Result<(), Box<dyn Error>> {
    if !fleet.adopted.unknown.iter().any(|(run, _)| *run == left.nightly) {
        return Err(format!("nightly was not found ended: {:?}", fleet.adopted).into());
    }
    let claim = fleet.engine.run(left.crawl).await?.and_then(|record| {
        let attempt = record.run.attempt.as_ref()?;
        Some(Claim { run: left.crawl, attempt: attempt.id, runner: attempt.runner.clone() })
    });
    let claim = claim.ok_or("crawl has no attempt")?;
    fleet.written(left.crawl, super::fleet::holder(&claim), Fleet::exit(&claim, 0)).await
}

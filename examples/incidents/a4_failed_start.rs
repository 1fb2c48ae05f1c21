//! A4: a start times out, and the guard that cleans up after it would erase the evidence. Here it stays, with what was
//! seen, as that attempt's outcome, also after the second attempt went well.

use std::error::Error;
use std::time::Duration;

use tachograph::adapters::process::{ReadyCheck, ReadyProbe};
use tachograph::prelude::*;

use super::fleet::Fleet;

const BOOTING: &str = "if [ \"$TACHO_ATTEMPT\" = 1 ]; then echo '[0.0] booting'; exec sleep 600; fi; \
                       echo ready > \"$TACHO_RUN_DIR/ready.sock\"";

pub(crate) async fn play(fleet: &Fleet) -> Result<(), Box<dyn Error>> {
    let run = fleet.runner.create(Fleet::script("devbox", BOOTING)).await?;
    let probe = ReadyProbe::File("ready.sock".into());
    let ready = Some(ReadyCheck { probe, within: Duration::from_millis(400) });
    fleet.runner.start(run, Launch { ready, ..Launch::default() }).await?.wait().await?;
    fleet.runner.restart(run, Launch::default()).await?.wait().await?;
    Ok(())
}

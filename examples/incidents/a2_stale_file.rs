//! A2: a process is killed, and a file in its directory says that it succeeded. Here the process writes that file itself,
//! in the name of its own attempt, so that it is as believable as a lie can be.

use std::error::Error;

use tachograph::prelude::*;

use super::fleet::Fleet;

const LYING: &str = "printf '{\"run\":\"%s\",\"attempt\":\"%s\",\"status\":{\"code\":0}}' \"$TACHO_RUN_ID\" \"$TACHO_ATTEMPT_ID\" \
                     > \"$TACHO_RUN_DIR/exit.json\"; echo all done; kill -9 $$";

pub(crate) async fn play(fleet: &Fleet) -> Result<(), Box<dyn Error>> {
    fleet.run(Fleet::script("batch", LYING), Launch::default()).await?;
    Ok(())
}

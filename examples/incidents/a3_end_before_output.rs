//! A3: much output right before the exit, and a grandchild that keeps the pipe. The end is recorded once the output is
//! drained, or once one absolute deadline has passed, which is then named.

use std::error::Error;

use tachograph::prelude::*;

use super::fleet::Fleet;

pub(crate) async fn play(fleet: &Fleet) -> Result<(), Box<dyn Error>> {
    let burst = "head -c 18900000 /dev/zero | tr '\\0' x; exit 7";
    fleet.run(Fleet::script("export", burst), Launch::default()).await?;
    let chatty = "(for i in $(seq 40); do echo still here; sleep 0.05; done) & echo done";
    fleet.run(Fleet::script("reindex", chatty), Launch::default()).await?;
    Ok(())
}

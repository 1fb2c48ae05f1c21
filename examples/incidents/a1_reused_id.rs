//! A1: a run is deleted while the actor of its container waits for its listeners. The next run of that name begins, and
//! then the old container's exit is reported and its actor leaves. In a table of rows both hit the new run.

use std::error::Error;

use tachograph::prelude::*;

use super::fleet::{Fleet, holder, supervisor};

pub(crate) async fn play(fleet: &Fleet) -> Result<(), Box<dyn Error>> {
    let deleted = fleet.create(Fleet::image("web-sandbox", "registry/sandbox:12")).await?;
    let old = fleet.start(deleted, "container-1", StartMode::Fresh).await?;
    let why = "deleted in the user interface".to_owned();
    fleet.written(deleted, supervisor(), Action::Destroy { force: true, why }).await?;

    let fresh = fleet.create(Fleet::image("web-sandbox", "registry/sandbox:12")).await?;
    let new = fleet.start(fresh, "container-2", StartMode::Fresh).await?;

    // The actor that would not leave.
    fleet.refused(deleted, holder(&old), Fleet::exit(&old, 0)).await?;
    fleet.refused(deleted, holder(&old), Action::DisconnectRunner { claim: old.clone() }).await?;

    fleet.written(fresh, holder(&new), Fleet::exit(&new, 5)).await
}

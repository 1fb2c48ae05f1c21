//! Containers by way of an OCI runtime: any program with the command line of `runc`.
//!
//! A run's container is called [`ContainerName`]: `tacho-<RunId>-<ordinal>`, so that nothing of a name or label reaches the
//! runtime. The runtime keeps its state below a directory of the data directory, so that nobody else's containers can be
//! met. What is executed comes from the user's own OCI bundle, which is not changed: [`OciBundle`] makes a `config.json`
//! for each run out of it. [`Container`] is what is on disk of a container before it is made, so that whoever comes later
//! can find and end it.

mod bundle;
mod container;
mod error;
mod preparing;
mod runtime;
mod state;

pub use bundle::{OciBundle, RunConfig};
pub(crate) use container::{CONTAINER_FILE, bundle_directory, end_left_behind, remove_bundle};
pub use container::{Container, ContainerName};
pub use error::{BundleError, ContainerError, RuntimeError};
pub use preparing::{Preparation, PreparationError};
pub use runtime::{RUNTIME_DEFAULT, Runtime, runtime_environment};
pub(crate) use runtime::{RuntimeCall, read_there};
pub use state::{ContainerState, ContainerStatus};

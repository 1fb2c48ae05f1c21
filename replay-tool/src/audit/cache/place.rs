//! Where tables stay filled: a directory of the user's own, never among the evidence.

use std::convert::Infallible;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::process::geteuid;

use super::super::history::is_within;

/// Whoever may write there besides its owner could put tables of their own there.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Where somebody wants tables to stay filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChoice {
    /// Nowhere.
    Off,
    /// In this directory.
    In(PathBuf),
}

impl FromStr for CacheChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.is_empty() || text == "off" { Self::Off } else { Self::In(PathBuf::from(text)) })
    }
}

/// Why no tables stay filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct NoCache {
    /// In words.
    pub(in crate::audit) why: String,
    /// Whether somebody should know without asking.
    pub(in crate::audit) is_noted: bool,
}

impl NoCache {
    pub(super) fn quiet(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_noted: false }
    }
}

/// A directory for tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CachePlace {
    directory: PathBuf,
    /// The evidence, which it is no part of.
    data: PathBuf,
    /// Whether it was asked for by name.
    is_named: bool,
}

impl CachePlace {
    /// The one that is chosen, else that of this user, as the environment has it.
    pub(super) fn of(choice: Option<&CacheChoice>, data: &Path) -> Result<Self, NoCache> {
        let (directory, is_named) = match choice {
            Some(CacheChoice::Off) => return Err(NoCache::quiet("it is off")),
            Some(CacheChoice::In(directory)) => (directory.clone(), true),
            None => {
                let directory = of_user().ok_or_else(|| NoCache::quiet("there is no home directory for it"))?;
                if is_of_another(&directory) {
                    return Err(NoCache::quiet("the home directory is another user's"));
                }
                (directory, false)
            }
        };
        // A name alone is one in the working directory.
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        let place = Self { directory, data: data.to_owned(), is_named };
        place.check_apart(&place.directory)?;
        Ok(place)
    }

    fn check_apart(&self, directory: &Path) -> Result<(), NoCache> {
        if is_within(directory, &self.data) { Err(self.unusable("it lies among the evidence")) } else { Ok(()) }
    }

    /// Why it is not used. Who named it is told.
    pub(super) fn unusable(&self, why: &str) -> NoCache {
        NoCache { why: format!("{} is not used: {why}", self.directory.display()), is_noted: self.is_named }
    }

    /// Where it is, as it was named.
    pub(super) fn told(&self) -> String {
        self.directory.display().to_string()
    }

    fn failed(&self, error: &io::Error) -> NoCache {
        self.unusable(&error.to_string())
    }

    /// The directory under its one name; absent if it is not there and not to be made.
    pub(super) fn directory(&self, is_made: bool) -> Result<Option<PathBuf>, NoCache> {
        if is_made {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
            made.map_err(|error| self.failed(&error))?;
        }
        let directory = match self.directory.canonicalize() {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        // It may have been made, or moved, since it was looked for first.
        self.check_apart(&directory)?;
        let found = directory.metadata().map_err(|error| self.failed(&error))?;
        let is_foreign = !found.is_dir() || found.uid() != geteuid().as_raw();
        if is_foreign || found.mode() & WRITABLE_BY_OTHERS != 0 {
            let why = if is_foreign { "it is no directory of this user" } else { "others may write to it" };
            return Err(self.unusable(why));
        }
        Ok(Some(directory))
    }
}

/// Whether a directory is, or would be made, in a place of another user but root: `sudo` may leave the home of who calls it.
fn is_of_another(directory: &Path) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| directory.starts_with(home));
    let existing = directory.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    let mut owners =
        home.iter().map(PathBuf::as_path).chain(existing).filter_map(|path| Some(path.metadata().ok()?.uid()));
    owners.any(|owner| owner != geteuid().as_raw() && owner != 0)
}

/// `tacho/tables` among the caches of this user.
fn of_user() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    caches.map(|caches| caches.join("tacho/tables"))
}

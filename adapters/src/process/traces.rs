//! What shows that a command may have been executed, although nothing tells by which process.

use std::path::Path;

use tachograph_engine::domain::Stream;

use super::directory::AttemptDirectory;

/// What lies in an attempt's directory and is made only shortly before a command is executed, in words; absent if nothing
/// was executed.
///
/// The directory is the run's own, and a run may remove what is in it, the identity as well. So a missing identity alone
/// proves nothing: that nothing was executed shows in a directory in which nothing was ever made.
pub(super) fn traces(directory: &AttemptDirectory) -> Option<String> {
    let made = [
        directory.output(Stream::Stdout),
        directory.output(Stream::Stderr),
        directory.requests(),
        directory.room(),
        directory.exit_record(),
        directory.exit_claim(),
    ];
    let there = made.iter().filter(|path| path.symlink_metadata().is_ok());
    let names: Vec<_> = there.filter_map(|path| path.file_name()?.to_str()).collect();
    if !names.is_empty() {
        return Some(format!("{} without an identity", names.join(", ")));
    }
    was_changed(directory).then(|| "an empty directory that something was removed from".to_owned())
}

/// Whether something was made in the directory since it was made itself. The file of a container is made long before
/// anything is executed, so that it hides this.
fn was_changed(directory: &AttemptDirectory) -> bool {
    if directory.path().join(crate::oci::CONTAINER_FILE).symlink_metadata().is_ok() {
        return false;
    }
    let times = |path: &Path| {
        let metadata = path.metadata()?;
        Ok::<_, std::io::Error>((metadata.created()?, metadata.modified()?))
    };
    // Not every file system knows when something was made.
    times(directory.path()).is_ok_and(|(created, modified)| modified > created)
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn only_a_directory_in_which_nothing_ever_was_has_no_traces() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        assert_eq!(traces(&directory), None);
        for name in ["stdout", "stderr", "requests", "exit.room", "exit.json", "exit.claim.json"] {
            std::fs::write(directory.path().join(name), "").unwrap();
            assert_eq!(traces(&directory), Some(format!("{name} without an identity")));
            std::fs::remove_file(directory.path().join(name)).unwrap();
        }
        if directory.path().metadata().unwrap().created().is_ok() {
            let begun = std::time::Instant::now();
            // The clock of a file system stands still for some milliseconds.
            while traces(&directory).is_none() {
                assert!(begun.elapsed().as_secs() < 20, "its change does not show");
                std::fs::write(directory.path().join("any"), "").unwrap();
                std::fs::remove_file(directory.path().join("any")).unwrap();
            }
        }
        std::fs::write(directory.path().join("container.json"), "").unwrap();
        assert_eq!(traces(&directory), None, "it is made before anything is executed");
    }
}

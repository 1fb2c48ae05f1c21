use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, mknodat};
use tachograph_adapters::freeze::FreezeError;
use tachograph_engine::ports::Snapshotter;

use super::support::{World, unpacked};

#[tokio::test]
async fn what_did_not_stand_still_has_no_image() {
    let world = World::new();
    world.write("stdout", "hello");
    world.freezer.on_verify(|| Err(FreezeError::Torn { pid: 42, how: "went on".to_owned() }));
    let error = world.snapshotter().take(&world.wanted).await.unwrap_err();
    assert!(error.message.contains("process 42 went on"), "{error}");
    assert_eq!(world.freezer.said(), ["freeze attempt 2", "verify", "thaw"]);
    assert!(!world.folder().exists());
}

#[tokio::test]
async fn what_could_not_be_frozen_has_no_image() {
    let world = World::new();
    world.freezer.on_freeze(|| Err(FreezeError::NotStopped { pid: 42, why: "it was awaited for 5 ms".to_owned() }));
    let error = world.snapshotter().take(&world.wanted).await.unwrap_err();
    assert!(error.message.contains("process 42 did not stop"), "{error}");
    assert!(!world.folder().exists());
}

#[tokio::test]
async fn a_pipe_or_a_link_in_a_files_place_is_kept_as_that_and_nobody_waits_or_follows() {
    for link in [false, true] {
        let world = World::new();
        let stdout = world.attempt.join("stdout");
        if link {
            symlink("/dev/zero", stdout).unwrap();
        } else {
            mknodat(CWD, stdout, FileType::Fifo, 0o600.into(), 0).unwrap();
        }
        world.snapshotter().take(&world.wanted).await.unwrap();
        let kind = unpacked(&world.image())[std::ffi::OsStr::new("stdout")].0;
        assert_eq!(kind, if link { tar::EntryType::Symlink } else { tar::EntryType::Fifo });
    }
}

#[tokio::test]
async fn a_link_in_the_place_of_the_attempts_directory_is_not_followed() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("secret"), "secret").unwrap();
    std::fs::remove_dir(&world.attempt).unwrap();
    symlink(elsewhere.path(), &world.attempt).unwrap();
    let error = world.snapshotter().take(&world.wanted).await.unwrap_err();
    assert!(error.message.contains("attempt-2"), "{error}");
    assert!(!world.folder().exists());
}

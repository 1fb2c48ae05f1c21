//! Both stores give the latest sound checkpoint; the one in files survives damage, crashes and readers.

use std::os::unix::fs::PermissionsExt;

use tachograph_engine::domain::Digest;
use tempfile::TempDir;

use super::*;

fn checkpoint(fold: &str, fold_version: u32, position: u64) -> Checkpoint {
    let payload = format!("{fold} {fold_version} {position}").into_bytes();
    Checkpoint { fold: fold.to_owned(), fold_version, position: Position(position), digest: Digest([7; 32]), payload }
}

async fn latest(store: &dyn CheckpointStore, fold: &str, version: u32, at_most: Option<u64>) -> Option<u64> {
    let found = store.latest(fold, version, at_most.map(Position)).await.unwrap()?;
    assert_eq!(found, checkpoint(fold, version, found.position.0));
    Some(found.position.0)
}

fn files_in(data: &Path) -> Vec<String> {
    let mut names = FileCheckpoints::read_only(data).names().unwrap();
    names.sort();
    names
}

async fn keeps_the_latest_of_each_fold_and_version(store: &dyn CheckpointStore) {
    assert_eq!(latest(store, "engine", 1, None).await, None);
    for position in [5, 10, 20, 100, 1_000] {
        store.save(checkpoint("engine", 1, position)).await.unwrap();
    }
    store.save(checkpoint("engine", 2, 7)).await.unwrap();
    store.save(checkpoint("engine-v1", 1, 8)).await.unwrap();
    assert_eq!(latest(store, "engine", 1, None).await, Some(1_000));
    assert_eq!(latest(store, "engine", 1, Some(999)).await, Some(100));
    assert_eq!(latest(store, "engine", 1, Some(20)).await, Some(20));
    assert_eq!(latest(store, "engine", 1, Some(19)).await, None, "the last three are kept");
    assert_eq!(latest(store, "engine", 2, None).await, Some(7));
    assert_eq!(latest(store, "engine-v1", 1, None).await, Some(8));
    assert_eq!(latest(store, "engine", 3, None).await, None);
    assert_eq!(latest(store, "other", 1, None).await, None);
    // A history that was cut ends earlier: the ones beyond must not push out those that still count.
    for position in [30, 40, 50] {
        store.save(checkpoint("engine", 1, position)).await.unwrap();
    }
    assert_eq!(latest(store, "engine", 1, Some(50)).await, Some(50));
    assert_eq!(latest(store, "engine", 1, Some(49)).await, Some(40));
    assert_eq!(latest(store, "engine", 1, Some(39)).await, Some(30));
}

#[tokio::test]
async fn the_store_in_files_keeps_the_latest() {
    let data = TempDir::new().unwrap();
    keeps_the_latest_of_each_fold_and_version(&FileCheckpoints::open(data.path())).await;
    assert_eq!(latest(&FileCheckpoints::read_only(data.path()), "engine", 1, None).await, Some(1_000));
}

#[tokio::test]
async fn the_store_in_memory_keeps_the_latest() {
    keeps_the_latest_of_each_fold_and_version(&MemoryCheckpoints::new()).await;
}

#[tokio::test]
async fn every_damaged_byte_and_every_cut_is_passed_over() {
    let data = TempDir::new().unwrap();
    let store = FileCheckpoints::open(data.path());
    store.save(checkpoint("engine", 1, 1)).await.unwrap();
    store.save(checkpoint("engine", 1, 2)).await.unwrap();
    let path = data.path().join("checkpoints").join(file::name("engine", 1, Position(2)));
    let sound = fs::read(&path).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(latest(&store, "engine", 1, None).await, Some(1), "byte {at}");
        fs::write(&path, &sound[..at]).unwrap();
        assert_eq!(latest(&store, "engine", 1, None).await, Some(1), "cut at {at}");
    }
    fs::write(&path, [sound.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(latest(&store, "engine", 1, None).await, Some(1), "one byte more");
    fs::write(&path, &sound).unwrap();
    assert_eq!(latest(&store, "engine", 1, None).await, Some(2));
}

#[tokio::test]
async fn a_checkpoint_under_another_name_is_passed_over() {
    let data = TempDir::new().unwrap();
    let store = FileCheckpoints::open(data.path());
    store.save(checkpoint("engine", 1, 1)).await.unwrap();
    let dir = data.path().join("checkpoints");
    for (fold, version, position) in [("engine", 1, 9), ("engine", 2, 1), ("state", 1, 1)] {
        let name = file::name(fold, version, Position(position));
        fs::copy(dir.join(file::name("engine", 1, Position(1))), dir.join(name)).unwrap();
    }
    assert_eq!(latest(&store, "engine", 1, None).await, Some(1));
    assert_eq!(latest(&store, "engine", 2, None).await, None);
    assert_eq!(latest(&store, "state", 1, None).await, None);
}

#[tokio::test]
async fn what_an_interrupted_save_left_is_deleted_by_the_next_writer_alone() {
    let data = TempDir::new().unwrap();
    FileCheckpoints::open(data.path()).save(checkpoint("engine", 1, 1)).await.unwrap();
    let unfinished = file::name("engine", 1, Position(2)) + file::UNFINISHED;
    fs::write(data.path().join("checkpoints").join(&unfinished), b"TACHO").unwrap();
    fs::write(data.path().join("checkpoints/notes"), b"kept").unwrap();
    let sound = file::name("engine", 1, Position(1));
    FileCheckpoints::read_only(data.path());
    assert_eq!(files_in(data.path()), [sound.clone(), unfinished, "notes".to_owned()]);
    FileCheckpoints::open(data.path());
    assert_eq!(files_in(data.path()), [sound, "notes".to_owned()]);
}

#[tokio::test]
async fn a_reader_changes_nothing_and_cannot_save() {
    let data = TempDir::new().unwrap();
    let store = FileCheckpoints::read_only(data.path());
    assert_eq!(latest(&store, "engine", 1, None).await, None);
    let saved = store.save(checkpoint("engine", 1, 1)).await;
    assert!(matches!(saved, Err(JournalError::ReadOnly { .. })), "{saved:?}");
    assert!(!data.path().join("checkpoints").exists());
}

#[tokio::test]
async fn older_ones_stay_as_rungs_as_long_as_they_are_small() {
    let data = TempDir::new().unwrap();
    let store = FileCheckpoints::open(data.path());
    for number in 1..=10 {
        store.save(checkpoint("engine", 1, number * 100_000)).await.unwrap();
        let large = Checkpoint { payload: vec![0; 5 << 20], ..checkpoint("all-runs", 1, number * 100_000) };
        store.save(large).await.unwrap();
    }
    assert_eq!(store.saved("engine", 1).len(), 10);
    assert_eq!(latest(&store, "engine", 1, Some(250_000)).await, Some(200_000));
    assert_eq!(store.saved("all-runs", 1), [800_000, 900_000, 1_000_000].map(Position));
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let data = TempDir::new().unwrap();
    FileCheckpoints::open(data.path()).save(checkpoint("engine", 1, 1)).await.unwrap();
    let dir = data.path().join("checkpoints");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join(file::name("engine", 1, Position(1)))), 0o600);
}

#[tokio::test]
async fn a_fold_without_a_proper_name_is_refused_and_leaves_nothing() {
    let data = TempDir::new().unwrap();
    let store = FileCheckpoints::open(data.path());
    for fold in ["", "../up", "Engine", "a b", &"a".repeat(33)] {
        let saved = store.save(checkpoint(fold, 1, 1)).await;
        assert!(matches!(saved, Err(JournalError::Io { .. })), "{fold:?}: {saved:?}");
        assert_eq!(latest(&store, fold, 1, None).await, None);
    }
    assert!(files_in(data.path()).is_empty());
    store.save(checkpoint(&"a".repeat(32), 1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_place_that_is_no_directory_is_an_error_and_not_an_empty_store() {
    let data = TempDir::new().unwrap();
    fs::write(data.path().join("checkpoints"), b"a file").unwrap();
    let store = FileCheckpoints::open(data.path());
    assert!(matches!(store.latest("engine", 1, None).await, Err(JournalError::Io { .. })));
    assert!(matches!(store.save(checkpoint("engine", 1, 1)).await, Err(JournalError::Io { .. })));
}

/// The bytes that `docs/format.md` describes, put together by hand.
#[test]
fn the_bytes_are_as_documented() {
    let mut bytes = Vec::new();
    bytes.extend(b"TACHOCKP");
    bytes.extend([1, 0, 0, 0]);
    bytes.extend([3, 0, 0, 0]);
    bytes.extend([0x39, 0x30, 0, 0, 0, 0, 0, 0]);
    bytes.extend([7; 32]);
    bytes.extend([6, 0, 0, 0]);
    bytes.extend([14, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(b"engine");
    bytes.extend(b"engine 3 12345");
    bytes.extend(blake3::hash(&bytes).as_bytes());
    assert_eq!(file::to_bytes(&checkpoint("engine", 3, 12_345)).unwrap(), bytes);
    assert_eq!(file::parse(&bytes).unwrap(), checkpoint("engine", 3, 12_345));
    assert_eq!(file::name("engine", 3, Position(12_345)), "engine-v3-00000000000000012345.ckpt");
}

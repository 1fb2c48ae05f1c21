use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, mknodat};
use tachograph_adapters::snapshot::ArchiveOptions;
use tachograph_engine::ports::Snapshotter;
use tar::EntryType;

use super::support::{World, assert_told, unpacked};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn an_image_is_where_it_is_said_to_be_and_only_its_owner_may_read_it() {
    let world = World::new();
    world.write("stdout", "hello\n");
    let image = world.snapshotter().take(&world.wanted).await.unwrap();
    assert_eq!(image.location, format!("snapshots/{}/{}.tar.zst", world.wanted.run, world.wanted.snapshot));
    assert_told(&world, &image);
    assert_eq!((mode(&world.image()), mode(&world.folder())), (0o600, 0o700));
    assert_eq!(mode(world.folder().parent().unwrap()), 0o700);
    assert_eq!(world.freezer.said(), ["freeze attempt 2", "verify", "thaw"]);
    assert_eq!(world.images().len(), 1);
}

#[tokio::test]
async fn an_image_holds_everything_but_sockets() {
    let world = World::new();
    let large = vec![7_u8; 3 * 1_024 * 1_024 + 1];
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    world.write("stdout", "hello\n");
    std::fs::create_dir_all(world.attempt.join("d".repeat(120))).unwrap();
    std::fs::create_dir(world.attempt.join("empty")).unwrap();
    world.write(&long, "long");
    world.write(OsStr::from_bytes(b"\xff\nodd"), "odd");
    world.write("large", &large);
    std::fs::hard_link(world.attempt.join("large"), world.attempt.join("same")).unwrap();
    symlink("/etc/passwd", world.attempt.join("link")).unwrap();
    mknodat(CWD, world.attempt.join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.attempt.join("socket")).unwrap();
    // The tar crate's own reader splits extended headers at line ends: whole seconds need none.
    let odd = std::fs::File::open(world.attempt.join(OsStr::from_bytes(b"\xff\nodd"))).unwrap();
    odd.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(5)).unwrap();
    world.snapshotter().take(&world.wanted).await.unwrap();
    let found = unpacked(&world.image());
    let names: Vec<_> = found.keys().map(|name| name.as_bytes()).collect();
    let directory = "d".repeat(120);
    assert_eq!(
        names,
        [directory.as_bytes(), long.as_bytes(), b"empty", b"large", b"link", b"pipe", b"same", b"stdout", b"\xff\nodd"]
    );
    let is = |name: &str| found[OsStr::new(name)].clone();
    assert_eq!(is("large"), (EntryType::Regular, Vec::new(), large));
    assert_eq!(is("same"), (EntryType::Link, b"large".to_vec(), Vec::new()));
    assert_eq!(is("link"), (EntryType::Symlink, b"/etc/passwd".to_vec(), Vec::new()));
    assert_eq!((is("pipe").0, is("empty").0), (EntryType::Fifo, EntryType::Directory));
    assert_eq!(is(&long).2, b"long");
}

#[tokio::test]
async fn the_same_files_give_the_same_image() {
    let world = World::new();
    for name in ["b", "a", "c"] {
        world.write(name, name);
    }
    let first = world.snapshotter().take(&world.wanted).await.unwrap();
    world.snapshotter().discard(&world.wanted).await.unwrap();
    assert_eq!(world.snapshotter().take(&world.wanted).await.unwrap(), first);
}

#[tokio::test]
async fn more_names_than_memory_is_given_for_are_refused_with_the_option_to_raise() {
    let world = World::new();
    world.write("a", "");
    let options = ArchiveOptions { listing_bytes_max: 10, ..ArchiveOptions::default() };
    let error = world.snapshotter_with(options).take(&world.wanted).await.unwrap_err();
    assert!(error.message.contains("raise listing_bytes_max"), "{error}");
    assert_eq!(world.freezer.said(), ["freeze attempt 2", "thaw"]);
    assert!(!world.folder().exists());
}

#[tokio::test]
async fn an_attempt_without_a_directory_has_no_image_and_the_error_names_it() {
    let world = World::new();
    std::fs::remove_dir(&world.attempt).unwrap();
    let error = world.snapshotter().take(&world.wanted).await.unwrap_err();
    assert!(error.message.contains("attempt-2") && error.message.contains("cannot open"), "{error}");
    assert_eq!(world.freezer.said(), ["freeze attempt 2", "thaw"]);
    assert!(!world.folder().exists());
}

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, mknodat};
use tachograph_adapters::snapshot::{RestoreError, Restored, restore};
use tachograph_engine::ports::Snapshotter;

use super::support::{World, blake3_of};

/// What is told about everything below a directory: equal trees have equal ones.
pub(crate) fn manifest(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut firsts, mut open) = (BTreeMap::new(), BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let kind = metadata.file_type();
            let content = if kind.is_dir() {
                open.push(path.clone());
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("-> {:?}", std::fs::read_link(&path).unwrap())
            } else if kind.is_fifo() {
                "pipe".to_owned()
            } else {
                blake3_of(&std::fs::read(&path).unwrap()).to_string()
            };
            let first = firsts.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
            let mode = if kind.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
            let (uid, gid) = (metadata.uid(), metadata.gid());
            let mtime = (metadata.mtime(), metadata.mtime_nsec());
            found.insert(name, format!("{content} {mode:o} {uid}:{gid} {mtime:?} first {first:?}"));
        }
    }
    found
}

/// An attempt's directory with everything that an image may hold.
pub(crate) fn rich() -> World {
    let world = World::new();
    let deep = format!("{}/{}", "d".repeat(150), "e".repeat(150));
    std::fs::create_dir_all(world.attempt.join(&deep)).unwrap();
    std::fs::create_dir_all(world.attempt.join("closed/inner")).unwrap();
    std::fs::create_dir(world.attempt.join("empty")).unwrap();
    world.write(format!("{deep}/file"), "deep");
    world.write(OsStr::from_bytes(b"\xff odd \n\t\x1b"), "odd");
    world.write("large", (0..3_000_001_u32).map(|byte| (byte % 251) as u8).collect::<Vec<_>>());
    world.write("nothing", "");
    world.write("block", [1; 512]);
    let program = world.write("closed/inner/program", "#!/bin/sh\n");
    std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::hard_link(world.attempt.join("large"), world.attempt.join("closed/large")).unwrap();
    symlink("nowhere", world.attempt.join("dangling")).unwrap();
    symlink(format!("/{}", "t".repeat(300)), world.attempt.join("far")).unwrap();
    mknodat(CWD, world.attempt.join("pipe"), FileType::Fifo, 0o640.into(), 0).unwrap();
    let sparse = std::fs::File::create(world.attempt.join("sparse")).unwrap();
    sparse.set_len(2_000_000).unwrap();
    sparse.set_modified(UNIX_EPOCH - Duration::from_millis(1_500)).unwrap();
    let whole = std::fs::File::open(world.attempt.join("block")).unwrap();
    whole.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    std::fs::set_permissions(world.attempt.join("closed"), PermissionsExt::from_mode(0o500)).unwrap();
    world
}

#[tokio::test]
async fn what_is_restored_is_what_was_there() {
    let world = rich();
    let image = world.snapshotter().take(&world.wanted).await.unwrap();
    let into = world.data.path().join("again");
    let restored = restore(&world.image(), image.bytes, image.digest, &into).unwrap();
    let bytes = 4 + 3 + 3_000_001 + 512 + 10 + 2_000_000;
    assert_eq!(restored, Restored { files: 7, directories: 5, links: 3, pipes: 1, bytes });
    assert_eq!(manifest(&into), manifest(&world.attempt));
    assert_eq!(into.metadata().unwrap().mode() & 0o7777, 0o700);
    std::fs::set_permissions(world.attempt.join("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(into.join("closed"), PermissionsExt::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn plain_tar_restores_it_too() {
    let world = rich();
    world.snapshotter().take(&world.wanted).await.unwrap();
    let into = world.data.path().join("again");
    std::fs::create_dir(&into).unwrap();
    let mut tar = std::process::Command::new("tar");
    let unpacked = tar.args(["--zstd", "-xpf"]).arg(world.image()).arg("-C").arg(&into).output();
    match unpacked {
        Ok(output) if output.status.success() => assert_eq!(manifest(&into), manifest(&world.attempt)),
        other if std::env::var_os("TACHO_TEST_ALL").is_some() => panic!("no tar with zstd here: {other:?}"),
        other => eprintln!("skipped, since there is no tar with zstd here: {other:?}"),
    }
}

#[tokio::test]
async fn an_empty_directory_is_a_target_and_a_full_one_is_not() {
    let world = World::new();
    world.write("stdout", "hello");
    let image = world.snapshotter().take(&world.wanted).await.unwrap();
    let into = world.data.path().join("again");
    std::fs::create_dir(&into).unwrap();
    restore(&world.image(), image.bytes, image.digest, &into).unwrap();
    let before = manifest(world.data.path());
    let file = world.image();
    for occupied in [&into, &file] {
        let error = restore(&world.image(), image.bytes, image.digest, occupied).unwrap_err();
        assert_eq!(error.code(), "occupied", "{error}");
    }
    assert_eq!(manifest(world.data.path()), before);
}

#[tokio::test]
async fn an_image_that_was_altered_restores_nothing() {
    let world = World::new();
    world.write("stdout", "hello");
    let image = world.snapshotter().take(&world.wanted).await.unwrap();
    let whole = std::fs::read(world.image()).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, code) in [(flipped, "wrong_digest"), (whole[..whole.len() - 1].to_vec(), "wrong_size")] {
        std::fs::write(world.image(), bytes).unwrap();
        let before = manifest(world.data.path());
        let into = world.data.path().join("again");
        let error = restore(&world.image(), image.bytes, image.digest, &into).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!into.exists());
        assert_eq!(manifest(world.data.path()), before);
    }
}

/// A header by hand: no library writes what is refused here.
fn header(kind: u8, name: &[u8], target: &[u8], bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_uid(u64::from(rustix::process::geteuid().as_raw()));
    header.set_gid(u64::from(rustix::process::getegid().as_raw()));
    header.set_mtime(1);
    header.set_size(bytes);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    header
}

type Crafted<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

fn tarball(entries: &[Crafted<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name, target, content) in entries {
        bytes.extend(header(*kind, name, target, content.len() as u64).as_bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1_024, 0);
    bytes
}

/// Restores an archive whose digest is right, into `<directory>/in/to`; what it leaves there is told.
fn restore_bytes(image: &[u8]) -> (Result<Restored, RestoreError>, BTreeMap<PathBuf, String>) {
    let directory = tempfile::tempdir().unwrap();
    let (archive, above) = (directory.path().join("archive"), directory.path().join("in"));
    std::fs::create_dir(&above).unwrap();
    std::fs::write(directory.path().join("victim"), "whole").unwrap();
    std::fs::write(&archive, image).unwrap();
    let restored = restore(&archive, image.len() as u64, blake3_of(image), &above.join("to"));
    assert_eq!(std::fs::read(directory.path().join("victim")).unwrap(), b"whole");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "nothing beside the target's directory");
    (restored, manifest(&above))
}

fn refused(plain: &[u8]) -> &'static str {
    let (restored, left) = restore_bytes(&zstd::encode_all(plain, 3).unwrap());
    assert_eq!(left, BTreeMap::new());
    let error = restored.unwrap_err();
    assert!(!error.to_string().contains('\x1b'), "{error}");
    error.code()
}

#[test]
fn what_is_crafted_like_an_image_is_restored() {
    let plain = tarball(&[(b'5', b"./", b"", b""), (b'5', b"a/", b"", b""), (b'0', b"./a/b", b"", b"hello")]);
    let (restored, left) = restore_bytes(&zstd::encode_all(plain.as_slice(), 3).unwrap());
    assert_eq!(restored.unwrap(), Restored { files: 1, directories: 1, bytes: 5, ..Restored::default() });
    assert_eq!(left.len(), 3);
}

#[test]
fn no_entry_leads_out_of_the_target() {
    let link = (b'2', b"link".as_slice(), b"..".as_slice(), b"".as_slice());
    let to_victim = (b'2', b"link".as_slice(), b"../../victim".as_slice(), b"".as_slice());
    let crafted: [(&[Crafted<'_>], &str); 9] = [
        (&[(b'0', b"/tmp/victim", b"", b"x")], "escapes"),
        (&[(b'0', b"../victim", b"", b"x")], "escapes"),
        (&[(b'0', b"a/../../victim", b"", b"x")], "escapes"),
        (&[(b'1', b"a", b"../../victim", b"")], "escapes"),
        (&[(b'1', b"a", b"/etc/passwd", b"")], "escapes"),
        (&[link, (b'0', b"link/victim", b"", b"x")], "escapes"),
        (&[link, (b'1', b"a", b"link/archive", b"")], "escapes"),
        (&[to_victim, (b'0', b"link", b"", b"x")], "malformed"),
        (&[link, (b'5', b"link", b"", b"")], "malformed"),
    ];
    for (entries, code) in crafted {
        let mut entries = entries.to_vec();
        // What went well before leaves nothing either.
        entries.insert(0, (b'0', b"before", b"", b"x"));
        assert_eq!(refused(&tarball(&entries)), code, "{entries:?}");
    }
}

#[test]
fn a_hard_link_to_a_link_or_to_nothing_is_refused() {
    for target in [b"link".as_slice(), b"gone", b"", b"."] {
        let entries =
            [(b'2', b"link".as_slice(), b"../../victim".as_slice(), b"".as_slice()), (b'1', b"a", target, b"")];
        assert_eq!(refused(&tarball(&entries)), "malformed", "{target:?}");
    }
}

#[test]
fn kinds_that_no_image_holds_are_refused() {
    for kind in [b'3', b'4', b'7', b'L', b'K', b'S', b'g', b'Z'] {
        assert_eq!(refused(&tarball(&[(kind, b"\x1b[2Ja", b"", b"")])), "unsupported", "{}", kind as char);
    }
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let crafted: [&[Crafted<'_>]; 8] = [
        &[(b'0', b"", b"", b"x")],
        &[(b'0', b"a/b", b"", b"x")],
        &[(b'0', b"a", b"", b"x"), (b'0', b"a", b"", b"y")],
        &[(b'5', b"a", b"", b"x")],
        &[(b'x', b"x", b"", b"99 path=a\n"), (b'0', b"a", b"", b"x")],
        // Another reader would take the second size, and see other entries.
        &[(b'x', b"x", b"", b"13 size=1000\n"), (b'0', b"a", b"", b"x")],
        &[(b'x', b"x", b"", b"9 path=b\n"), (b'x', b"x", b"", b"9 path=c\n"), (b'0', b"a", b"", b"x")],
        &[(b'x', b"x", b"", b"9 path=b\n")],
    ];
    for entries in crafted {
        assert_eq!(refused(&tarball(entries)), "malformed", "{entries:?}");
    }
}

#[test]
fn what_is_no_whole_archive_restores_nothing() {
    let plain = tarball(&[(b'0', b"a", b"", &[7; 5_000])]);
    let whole = zstd::encode_all(plain.as_slice(), 3).unwrap();
    // A header that says more than there is, however much that may be.
    let bomb = header(b'0', b"a", b"", 8 * 1_024 * 1_024 * 1_024 * 1_024);
    let bomb = zstd::encode_all([bomb.as_bytes().as_slice(), &[0; 4_096]].concat().as_slice(), 3).unwrap();
    for image in [b"".as_slice(), b"plain text", &whole[..whole.len() - 5], &plain, &bomb] {
        let (restored, left) = restore_bytes(image);
        assert_eq!(left, BTreeMap::new());
        assert_eq!(restored.unwrap_err().code(), "unreadable", "{} bytes", image.len());
    }
}

#[test]
fn bits_that_give_away_an_owners_rights_are_only_restored_with_the_owner() {
    let mut plain = tarball(&[(b'0', b"a", b"", b"x")]);
    let mut with_bits = header(b'0', b"a", b"", 1);
    with_bits.set_mode(0o6755);
    with_bits.set_cksum();
    plain[..512].copy_from_slice(with_bits.as_bytes());
    let (restored, left) = restore_bytes(&zstd::encode_all(plain.as_slice(), 3).unwrap());
    restored.unwrap();
    let expected = if rustix::process::geteuid().is_root() { " 6755 " } else { " 755 " };
    assert!(left[Path::new("to/a")].contains(expected), "{left:?}");
}

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::control::ControlListener;

use crate::support::{Bench, Echo, answers};

fn names(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_socket_is_its_owners_alone_and_goes_with_its_listener() {
    let bench = Bench::open();
    let metadata = bench.path().symlink_metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(names(bench.data.path()), ["control.sock"], "no draft is left");
    assert!(answers(&bench.path()).await);
    let Bench { data, listener } = bench;
    drop(listener);
    assert!(names(data.path()).is_empty());
}

#[tokio::test]
async fn a_path_may_be_longer_than_an_address() {
    let data = tempfile::tempdir().unwrap();
    for bytes in [60, 106, 107, 108, 109, 300, 900] {
        let mut directory = data.path().to_owned();
        let left = |directory: &Path| bytes - directory.as_os_str().len() - "/control.sock".len();
        while left(&directory) > 0 {
            // A name has at least one byte, and a slash before it; so none may be left to a single byte.
            let part = match left(&directory) - 1 {
                101 => 50,
                part => part.min(100),
            };
            directory.push("d".repeat(part));
        }
        let path = directory.join("control.sock");
        assert_eq!(path.as_os_str().len(), bytes);
        std::fs::create_dir_all(&directory).unwrap();
        let listener = ControlListener::bind(&path, Arc::new(Echo)).unwrap();
        assert!(answers(&path).await, "{bytes}");
        drop(listener);
        assert!(!names(&directory).iter().any(|name| name.contains("control")), "{bytes}");
    }
}

#[tokio::test]
async fn what_a_dead_process_left_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("control.sock");
    // Unlike a listener of this crate, this one leaves its file, as a killed process does.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.symlink_metadata().is_ok());
    let _listener = ControlListener::bind(&path, Arc::new(Echo)).unwrap();
    assert!(answers(&path).await);
}

#[tokio::test]
async fn a_draft_that_a_killed_process_left_is_removed_and_one_that_is_listened_at_is_not() {
    let data = tempfile::tempdir().unwrap();
    let [left, held, others] =
        [".control.4711.0", ".control.4711.1", ".control.mine"].map(|name| data.path().join(name));
    // Unlike a listener of this crate, these leave their files, as a killed process does.
    [left, others].iter().for_each(|path| drop(UnixListener::bind(path).unwrap()));
    let _held = UnixListener::bind(&held).unwrap();
    std::fs::write(data.path().join(".control.4711.2"), "no socket").unwrap();
    let _listener = ControlListener::bind(data.path().join("control.sock"), Arc::new(Echo)).unwrap();
    let mut names = names(data.path());
    names.sort();
    assert_eq!(names, [".control.4711.1", ".control.4711.2", ".control.mine", "control.sock"]);
}

/// Each removes what was left beside it, and may meet another's draft before that is listened at.
#[test]
fn listeners_that_begin_at_once_in_one_directory_do_not_keep_each_other_from_it() {
    let data = tempfile::tempdir().unwrap();
    let begin = |thread: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        for round in 0..50 {
            let path = data.path().join(format!("{thread}-{round}.sock"));
            drop(ControlListener::bind(path, Arc::new(Echo)).unwrap());
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || begin(thread)))));
    assert_eq!(names(data.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_place_that_is_taken_stays_taken() {
    let bench = Bench::open();
    let error = ControlListener::bind(bench.path(), Arc::new(Echo)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    let file = bench.data.path().join("notes");
    std::fs::write(&file, "kept").unwrap();
    let error = ControlListener::bind(&file, Arc::new(Echo)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert!(answers(&bench.path()).await);
    assert_eq!(names(bench.data.path()).len(), 2, "no draft is left");
}

#[tokio::test]
async fn a_listener_leaves_a_file_alone_that_is_no_longer_its_own() {
    let bench = Bench::open();
    let path = bench.path();
    // Renamed, so that its inode is not given to the next one.
    std::fs::rename(&path, bench.data.path().join("moved")).unwrap();
    let _other = ControlListener::bind(&path, Arc::new(Echo)).unwrap();
    drop(bench.listener);
    assert!(answers(&path).await);
}

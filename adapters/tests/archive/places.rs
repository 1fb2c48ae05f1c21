//! Where a bundle may not go, and what of the directory for bundles is cleared.

use std::fs;
use std::path::Path;

use tachograph_adapters::archive::{ArchiveError, Archived, Request, archive};
use tachograph_adapters::journal::verify;

use crate::support::{archive_before, copy, request, wait, write};

fn archive_to(data: &Path, bundle: &Path) -> Result<Archived, ArchiveError> {
    let request = Request { bundle: Some(bundle.to_owned()), ..request(1 << 20) };
    wait(archive(data, &request, |_, _| Ok(()), async |_, _| Ok(()), |_| ()))
}

#[test]
fn no_bundle_goes_where_it_would_be_taken_for_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 20);
    fs::create_dir_all(data.join("archive")).unwrap();
    fs::create_dir_all(data.join("index/deep")).unwrap();
    std::os::unix::fs::symlink(data.join("journal"), dir.path().join("link")).unwrap();
    for place in [
        "data/journal/00000000000000000005.seg",
        "data/journal/00000000000000009999.seg",
        "data/journal/stub.tmp",
        "data/journal/x.tacho",
        "data/archive/../journal/x.tacho",
        "link/x.tacho",
        "data/index/x.tacho",
        "data/index/deep/x.tacho",
        "data/archive/q.tmp",
        "data/q.seg",
        "q.tmp",
        "q.parquet",
    ] {
        let bundle = dir.path().join(place);
        let refused = archive_to(&data, &bundle).map(|done| done.bundle);
        assert_eq!(refused.unwrap_err().code(), "invalid_input", "{place}");
        assert!(!bundle.exists(), "{place}");
        assert_eq!(verify(&data, |_| ()).unwrap().archived, vec![], "{place}");
    }
    assert!(archive_to(&data, &data.join("archive/q.tacho")).unwrap().bundle.is_some());
}

#[test]
fn only_what_an_archiving_left_unfinished_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let own = dir.path().join("archive");
    fs::create_dir_all(&own).unwrap();
    let (bundle, id) = ("00000000000000000001-00000000000000000020.tacho", "01J00000000000000000000000");
    let unfinished = format!("{bundle}.{id}.tmp");
    let others = [
        "q.tmp".to_owned(),
        format!("{bundle}.tmp"),
        format!("{bundle}.{id}"),
        format!("{bundle}.mine.tmp"),
        format!("mine-{bundle}.{id}.tmp"),
        format!("1-20.tacho.{id}.tmp"),
    ];
    for name in others.iter().chain([&unfinished]) {
        fs::write(own.join(name), "something").unwrap();
    }
    assert!(archive_before(dir.path(), 1 << 20).unwrap().bundle.is_some());
    for name in &others {
        assert!(own.join(name).exists(), "{name}");
    }
    assert!(!own.join(unfinished).exists());
}

#[test]
fn a_file_in_the_place_of_the_bundle_is_kept_and_said_to_be_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 20);
    let (text, earlier) = (dir.path().join("text.tacho"), dir.path().join("earlier.tacho"));
    fs::write(&text, "something").unwrap();
    let early = Request { bundle: Some(earlier.clone()), ..request(60) };
    let copied = dir.path().join("copied");
    copy(&data, &copied);
    assert!(
        wait(archive(&copied, &early, |_, _| Ok(()), async |_, _| Ok::<_, ArchiveError>(()), |_| ()))
            .unwrap()
            .bundle
            .is_some()
    );
    for (place, why) in [(&text, "no bundle"), (&earlier, "it holds other entries")] {
        let before = fs::read(place).unwrap();
        let refused = archive_to(&data, place).map(|done| done.bundle).unwrap_err();
        assert_eq!(refused.code(), "occupied", "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(fs::read(place).unwrap(), before);
        assert_eq!(verify(&data, |_| ()).unwrap().archived, vec![]);
    }
}

//! What `tacho archive` prints, byte by byte, in both formats. `TACHO_GOLDEN=write` writes the files anew.

use std::path::Path;
use std::sync::Arc;

use tachograph_engine::domain::Action;
use tachograph_engine::domain::testing::{ids, spec};

use crate::support::{go_on, numbered, submit, told, write};

/// Where the journal is, and the bundle's root, in which the time of the archiving is, are otherwise each time.
fn check(file: &str, data: &Path, text: &str) {
    let text = text.replace(data.to_str().unwrap(), "DATA");
    let is_root = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
    let text: String = words.map(|word| if is_root(&word[..word.len() - 1]) { "ROOT\"" } else { word }).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/golden").join(file);
    if std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{file}");
}

#[test]
fn what_would_go_and_what_went_is_printed_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    write(data, 12);
    submit(data, 500, &[numbered(500, ids::run(500), Action::Create { spec: Arc::new(spec("long")) })]);
    go_on(data, 1_000, 13..=20);
    for (name, arguments) in [
        ("nothing", &["archive", "--before", "2001-01-01T00:00:00Z"][..]),
        ("would", &["archive", "--before", "2024-01-01T00:00:00Z"]),
        ("done", &["archive", "--before", "2024-01-01T00:00:00Z", "--apply", "--no-parquet"]),
        ("again", &["archive", "--before", "2024-01-01T00:00:00Z", "--apply"]),
    ] {
        // What is done is done once.
        if name != "done" {
            check(&format!("{name}.txt"), data, &told(data, arguments));
        }
        check(&format!("{name}.json"), data, &told(data, &[&["--format", "json"], arguments].concat()));
    }
}

//! Documents whose questions are asked again of the example incident, by whoever types them into a shell.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The example incident.
pub(super) const INCIDENT: &str = "examples/incidents.bundle";
/// Stands in the document for what is different every time.
const ANYTHING: &str = "<…>";
/// Stands there for a key or a hash, which is different every time, too.
const HASH: &str = "<64 hex digits>";

pub(super) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a person would see who types this into a shell in a directory with the example beside it.
fn answer(place: &Path, question: &str) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_tacho"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1; {question}")).current_dir(place).env("PATH", path);
    shell.env("TACHO_DATA", INCIDENT).env_remove("TACHO_LOG").env_remove("RUST_LOG");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{question}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Whether a line is the one of the document, which may leave parts open.
fn fits(line: &str, documented: &str) -> bool {
    if let Some((before, after)) = documented.split_once(HASH) {
        let hash = line.strip_prefix(before).and_then(|rest| rest.split_at_checked(64));
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        return hash.is_some_and(|(hash, rest)| is_hex(hash) && fits(rest, after));
    }
    let mut rest = line;
    let mut parts = documented.split(ANYTHING);
    let Some(after) = parts.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after;
    for part in parts {
        match rest.find(part) {
            Some(at) if !part.is_empty() => rest = &rest[at + part.len()..],
            Some(_) => rest = "",
            None => return false,
        }
    }
    rest.is_empty()
}

/// The document with the answers that were given, where they are not the documented ones, and how many questions it has.
pub(super) fn asked_again(document: &str, place: &Path) -> (String, usize) {
    let mut written = Vec::new();
    let mut questions = 0;
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        written.push(line.to_owned());
        let Some(question) = line.strip_prefix("$ ") else { continue };
        questions += 1;
        let mut documented = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && *line != "```") {
            documented.push(line);
        }
        for (number, line) in answer(place, question).into_iter().enumerate() {
            match documented.get(number) {
                Some(documented) if fits(&line, documented) => written.push((*documented).to_owned()),
                _ => written.push(line),
            }
        }
    }
    (written.join("\n") + "\n", questions)
}

/// A directory with the example incident beside it.
pub(super) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("examples")).unwrap();
    std::fs::copy(project().join(INCIDENT), place.path().join(INCIDENT)).unwrap();
    place
}

/// Whether answers are to be written in place of being compared.
pub(super) fn is_writing() -> bool {
    std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write")
}

/// Compares a document of the project, by its path, with what it should be, line by line; or writes that.
pub(super) fn check(path: &str, expected: &str) {
    let file = project().join(path);
    if is_writing() {
        std::fs::write(file, expected).unwrap();
        return;
    }
    let document = std::fs::read_to_string(file).unwrap();
    for (number, (line, documented)) in expected.lines().zip(document.lines()).enumerate() {
        assert_eq!(line, documented, "{path}, line {}", number + 1);
    }
    assert_eq!(expected, document);
}

#[test]
fn only_what_is_left_open_may_differ() {
    assert!(fits("root:     abc", "root:     <…>") && fits("a b c", "a <…> c") && fits("same", "same"));
    assert!(!fits("root:     abc", "sealed:   <…>") && !fits("a b d", "a <…> c") && !fits("same", "sane"));
    assert!(!fits("a b c d", "a <…> c"));
    // What an answer itself leaves out is not left open.
    assert!(fits("vm/17721/…5F4W38", "vm/17721/…5F4W38") && !fits("vm/17721/another", "vm/17721/…5F4W38"));
    let hash = "0123456789abcdef".repeat(4);
    assert!(fits(&format!("by {hash}!"), "by <64 hex digits>!") && !fits("by error!", "by <64 hex digits>!"));
    assert!(!fits(&format!("{hash}0"), HASH) && !fits(&hash[1..], HASH) && !fits(&hash.replace('a', "x"), HASH));
}

//! What the recorder writes of a value elsewhere is escaped and cut, and goes with the value.

use tachograph_adapters::bundle::Selection;
use tachograph_adapters::bundle::{BundleError, Compression, Request, export};
use tempfile::TempDir;

use crate::redacting::{all_bytes, contains};
use crate::support::{Secrets, exported, request};

/// Values are not found again by less than this.
const SHARED_BYTES: usize = 8;

fn cut(text: &str, bytes: usize) -> &str {
    let ends = (0..=bytes.min(text.len())).rev();
    ends.filter_map(|end| text.get(..end)).next().unwrap()
}

/// The ways in which the recorder and the programs it runs write a text within another.
fn told(value: &str) -> Vec<String> {
    let json = serde_json::to_string(value).unwrap();
    let tail = &value[cut(value, value.len() * 2 / 3).len()..];
    vec![
        format!("waited on {:?} until its deadline", cut(value, 512)),
        format!("program {:?} is missing", format!("/opt/{value}")),
        format!("the interpreter {:?} said {json}", "sh"),
        format!("{:?}", format!("{value:?}")),
        format!("ran {}", value.escape_default()),
        format!("sh -c '{}'", value.replace('\'', "'\\''")),
        format!("…{tail}"),
        format!("last line: {}", value.lines().last().unwrap()),
        format!("unrelated {} words", "but long"),
    ]
}

/// Checks that nothing of the value is left that has [`SHARED_BYTES`], as it is and escaped.
fn nothing_is_left_of(value: &str) {
    let secrets = Secrets::telling(value, &told(value));
    let escaped = format!("{value:?}");
    for compression in [Compression::None, Compression::Zstd] {
        let dir = TempDir::new().unwrap();
        let redact = vec!["label.secret".parse().unwrap()];
        let request = Request { redact, compression, ..request(Selection::WHOLE) };
        exported(secrets.data.path(), &dir.path().join("bundle"), &request);
        let bytes = all_bytes(&dir.path().join("bundle"));
        for form in [value, escaped.trim_matches('"')] {
            for window in form.as_bytes().windows(SHARED_BYTES) {
                let found = bytes.windows(SHARED_BYTES).any(|bytes| bytes == window);
                assert!(!found, "{:?} of {value:?}", String::from_utf8_lossy(window));
            }
        }
        assert!(contains(&bytes, "unrelated but long words"), "what has nothing of it is gone");
    }
}

#[test]
fn quotes_and_backslashes() {
    nothing_is_left_of(r#"approve "drop db-prod" now"#);
    nothing_is_left_of(r#"./pa"ss\word"#);
    nothing_is_left_of("it's 'mine' and \t yours");
}

#[test]
fn long_values_and_what_was_cut_of_them() {
    let long: String = (0..662_u32).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
    nothing_is_left_of(&long);
}

#[test]
fn lines_of_values() {
    nothing_is_left_of("first line of it\nsecond-secret-line\n\tthird one");
    let secrets = Secrets::telling("abcd\nefgh\nijkl", &["found efgh".to_owned(), "found nothing".to_owned()]);
    let dir = TempDir::new().unwrap();
    let request = Request { redact: vec!["label.secret".parse().unwrap()], ..request(Selection::WHOLE) };
    exported(secrets.data.path(), &dir.path().join("bundle"), &request);
    let bytes = all_bytes(&dir.path().join("bundle"));
    assert!(!contains(&bytes, "efgh") && contains(&bytes, "found nothing"));
}

#[test]
fn characters_of_several_bytes() {
    nothing_is_left_of("пароль: \u{200b}„здесь“ \u{1F511}\u{7}");
    nothing_is_left_of(&"ключ № \"7\" ".repeat(60));
}

#[test]
fn short_values_are_found_escaped_and_very_short_ones_are_not() {
    for (value, message, stays) in [
        ("a\"b\\c", r#"waited on "a\"b\\c""#, false),
        ("wxyz", "key=wxyz!", false),
        ("wxyz", "key=wxy", true),
        ("xyz", "key=xyz", true),
    ] {
        let secrets = Secrets::telling(value, &[message.to_owned()]);
        let dir = TempDir::new().unwrap();
        let request = Request { redact: vec!["label.secret".parse().unwrap()], ..request(Selection::WHOLE) };
        exported(secrets.data.path(), &dir.path().join("bundle"), &request);
        assert_eq!(contains(&all_bytes(&dir.path().join("bundle")), message), stays, "{value:?} in {message:?}");
    }
}

#[test]
fn keys_stay_and_refuse_a_long_value_in_them() {
    for (value, goes) in [("cret", true), ("secret", false), ("se", true)] {
        let secrets = Secrets::telling(value, &["nothing".to_owned()]);
        let dir = TempDir::new().unwrap();
        let request = Request { redact: vec!["label.secret".parse().unwrap()], ..request(Selection::WHOLE) };
        let made = export(secrets.data.path(), &dir.path().join("bundle"), &request, |_| ());
        match made {
            Ok(_) => assert!(goes, "{value}"),
            Err(BundleError::NotRedactable { why, .. }) => assert!(!goes && why.contains("\"secret\""), "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
}

//! Where a statement ends: at the first `;` outside of quotes and comments; and what of a text is a command of the prompt.

/// The number of bytes up to the end of the first statement, its `;` included; absent if it goes on.
pub(super) fn first_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at + 1..];
        let length = match byte {
            b';' => return Some(at + 1),
            b'\'' | b'"' | b'`' => place(rest, &[*byte])? + 1,
            b'[' => place(rest, b"]")? + 1,
            b'-' if rest.first() == Some(&b'-') => place(rest, b"\n")? + 1,
            b'/' if rest.first() == Some(&b'*') => 1 + place(&rest[1..], b"*/")? + 2,
            _ => 0,
        };
        at += 1 + length;
    }
    None
}

fn place(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The statements of a text; the last one needs no `;`.
pub(super) fn statements(text: &str) -> Vec<&str> {
    let (mut rest, mut found) = (text, Vec::new());
    while let Some((statement, after)) = first_end(rest).and_then(|end| rest.split_at_checked(end)) {
        found.push(statement);
        rest = after;
    }
    found.push(rest);
    found.retain(|statement| !is_blank(statement));
    found
}

/// One thing that is said at the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'t> {
    /// A line that begins with a dot, without the `;` that it may end with.
    Command(&'t str),
    /// A statement with the `;` that ends it.
    Statement(&'t str),
    /// What a command of another prompt begins with, or is.
    Foreign(&'t str),
    /// A statement, or a comment, that goes on.
    Unfinished(&'t str),
}

/// Words that are commands elsewhere, and no beginning of a statement.
const FOREIGN: [&str; 4] = ["help", "quit", "exit", "?"];

/// The first thing that a text says, and what is behind it; absent if it says nothing.
pub(super) fn first_said(text: &str) -> Option<(Said<'_>, &str)> {
    let rest = beyond_blank(text);
    let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
    let bare = line.trim_end_matches(|char: char| char.is_whitespace() || char == ';');
    if rest.is_empty() {
        return None;
    }
    if rest.starts_with('.') {
        return Some((Said::Command(bare), behind));
    }
    if rest.starts_with('\\') || FOREIGN.iter().any(|word| bare.eq_ignore_ascii_case(word)) {
        return Some((Said::Foreign(bare), behind));
    }
    match first_end(rest).and_then(|end| rest.split_at_checked(end)) {
        Some((statement, behind)) => Some((Said::Statement(statement), behind)),
        None => Some((Said::Unfinished(text), "")),
    }
}

/// Whether a text ends where something that it says ends.
pub(super) fn is_whole(text: &str) -> bool {
    let mut rest = text;
    while let Some((said, behind)) = first_said(rest) {
        if matches!(said, Said::Unfinished(_)) {
            return false;
        }
        rest = behind;
    }
    true
}

/// Whether nothing is asked by a text: spaces, comments and `;` alone. A comment without an end goes on to that of the text.
pub(super) fn is_blank(text: &str) -> bool {
    let rest = beyond_blank(text);
    rest.is_empty() || rest.starts_with("/*")
}

/// A text from where something is said; a comment without an end is left.
fn beyond_blank(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_whitespace() || char == ';');
        let after = match (rest.strip_prefix("--"), rest.strip_prefix("/*")) {
            (Some(comment), _) => comment.split_once('\n'),
            (None, Some(comment)) => match comment.split_once("*/") {
                None => return rest,
                ended => ended,
            },
            (None, None) => return rest,
        };
        rest = after.map_or("", |(_, after)| after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a text says, in short.
    fn said(text: &str) -> Vec<String> {
        let (mut rest, mut all) = (text, Vec::new());
        while let Some((said, behind)) = first_said(rest) {
            all.push(format!("{said:?}"));
            rest = behind;
        }
        all
    }

    #[test]
    fn commands_are_lines_before_between_and_behind_statements() {
        assert_eq!(
            said(".param who=a\nSELECT 1\n, 2; .tables;\n\n-- note\n.output json\r\nSELECT ';.x\n.y';"),
            [
                r#"Command(".param who=a")"#,
                r#"Statement("SELECT 1\n, 2;")"#,
                r#"Command(".tables")"#,
                r#"Command(".output json")"#,
                r#"Statement("SELECT ';.x\n.y';")"#
            ]
        );
        assert_eq!(said("; -- é\n ; SELECT 1;"), [r#"Statement("SELECT 1;")"#]);
        assert_eq!(said("\\d runs\nquit;"), [r#"Foreign("\\d runs")"#, r#"Foreign("quit")"#]);
        assert_eq!(said(" -- x\n ;; "), Vec::<String>::new());
        for (text, whole) in [
            ("SELECT 1", false),
            ("SELECT 1;", true),
            ("SELECT 1; -- x", true),
            ("SELECT 1; SELECT 2", false),
            (".tables", true),
            (".tables\nSELECT 1", false),
            ("/* open", false),
            ("-- x", true),
            ("", true),
            ("exit", true),
            ("exit_code", false),
            ("SELECT\n\\d", false),
        ] {
            assert_eq!(is_whole(text), whole, "{text}");
        }
    }

    #[test]
    fn a_semicolon_within_quotes_or_comments_ends_nothing() {
        assert_eq!(first_end("SELECT ';', \";\", `;`, [;] -- ;\n /* ; */, 'it''s;' ; x"), Some(51));
        for open in
            ["SELECT 1", "SELECT ';", "SELECT \";", "SELECT [;", "SELECT 1 -- ;", "SELECT /* ;", "SELECT /*/;", ""]
        {
            assert_eq!(first_end(open), None, "{open}");
        }
        assert_eq!(first_end("SELECT 'é' - 1 / 2;"), Some(20));
        assert_eq!(
            statements("SELECT 1; -- one\nSELECT ';';\n\nSELECT 3\n"),
            ["SELECT 1;", " -- one\nSELECT ';';", "\n\nSELECT 3\n"]
        );
        assert_eq!(statements(" ; -- nothing;\n ;"), Vec::<&str>::new());
        assert_eq!(statements("SELECT 1; /* end; */ -- of it"), ["SELECT 1;"]);
        assert_eq!(statements("/* a */ /* open"), Vec::<&str>::new());
        assert_eq!(statements("/* a */ SELECT 1"), ["/* a */ SELECT 1"]);
    }
}

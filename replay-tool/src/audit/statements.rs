//! Where a statement ends: at the first `;` outside of quotes and comments.

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

/// Whether nothing is asked by a text: spaces, comments and `;` alone. A comment without an end goes on to that of the text.
pub(super) fn is_blank(text: &str) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_whitespace() || char == ';');
        let after = match (rest.strip_prefix("--"), rest.strip_prefix("/*")) {
            (Some(comment), _) => comment.split_once('\n'),
            (None, Some(comment)) => comment.split_once("*/"),
            (None, None) => return rest.is_empty(),
        };
        rest = after.map_or("", |(_, after)| after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

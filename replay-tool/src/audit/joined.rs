//! What a question joins by the names of columns. SQLite reports neither those columns as read, nor a table of which nothing
//! else is; so they are looked for in the text.

use std::collections::BTreeSet;

/// What may be read without being reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Joined {
    /// Every word of the text in lower case, so also every table that it names; none if nothing is joined by name.
    words: BTreeSet<String>,
    columns: Columns,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Columns {
    /// These, in lower case.
    Listed(BTreeSet<String>),
    Any,
}

impl Default for Columns {
    fn default() -> Self {
        Self::Listed(BTreeSet::new())
    }
}

impl Joined {
    /// Whether the table may be joined.
    pub(super) fn names(&self, table: &str) -> bool {
        self.words.contains(table)
    }

    /// Whether the column may be one that is joined by.
    pub(super) fn reads(&self, column: &str) -> bool {
        match &self.columns {
            Columns::Listed(columns) => columns.contains(column),
            Columns::Any => true,
        }
    }
}

/// What a text joins by `USING (…)`, and any column if it has `NATURAL` in it, or something there that is no list of plain
/// names. What only looks so, as in a string, makes the answer slower and not wrong.
pub(super) fn joined(sql: &str) -> Joined {
    let lower = sql.to_lowercase();
    let words: BTreeSet<String> = words(&lower).map(|(_, word)| word.to_owned()).collect();
    if !words.contains("using") && !words.contains("natural") {
        return Joined::default();
    }
    Joined { columns: columns(&lower), words }
}

fn columns(lower: &str) -> Columns {
    let mut columns = BTreeSet::new();
    for (place, word) in words(lower) {
        match word {
            "natural" => return Columns::Any,
            "using" => match listed(&lower[place + word.len()..]) {
                Some(listed) => columns.extend(listed),
                None => return Columns::Any,
            },
            _ => {}
        }
    }
    Columns::Listed(columns)
}

const fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Every word with its place.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut place = 0;
    text.split(|char: char| !is_word(char)).map(move |word| {
        // The words are slices of the text, parted by one character each.
        let at = place;
        place += word.len();
        place += text[place..].chars().next().map_or(0, char::len_utf8);
        (at, word)
    })
}

/// The plain names of a list in parentheses.
fn listed(text: &str) -> Option<Vec<String>> {
    let inside = text.trim_start().strip_prefix('(')?.split_once(')')?.0;
    let name = |part: &str| {
        let name = part.trim().trim_matches(['"', '`', '[', ']']).trim();
        let is_plain = !name.is_empty() && name.chars().all(is_word);
        is_plain.then(|| name.to_owned())
    };
    inside.split(',').map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Columns {
        Columns::Listed(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn names_of_using_are_found_and_what_is_not_understood_is_any() {
        let columns = |sql: &str| joined(sql).columns;
        assert_eq!(joined("SELECT run FROM runs"), Joined::default());
        let two = "SELECT 1 FROM a JOIN b Using(Run) JOIN c USING\n ( \"x\" , [y])";
        assert_eq!(columns(two), listed(&["run", "x", "y"]));
        assert_eq!(columns("SELECT 1 FROM a natural LEFT JOIN b"), Columns::Any);
        assert_eq!(columns("SELECT 1 FROM a JOIN b USING /* é */ (run)"), Columns::Any);
        assert_eq!(columns("SELECT 1 FROM a JOIN b USING (/* x */ run)"), Columns::Any);
        assert_eq!(columns("SELECT 'é', naturally, using_it"), listed(&[]));
        assert_eq!(columns("SELECT 1 FROM a JOIN b USING"), Columns::Any);
        let named = joined("SELECT 1 FROM Runs JOIN \"events\" USING (run)");
        assert!(named.names("runs") && named.names("events") && !named.names("labels"));
        assert!(named.reads("run") && !named.reads("name"));
    }
}

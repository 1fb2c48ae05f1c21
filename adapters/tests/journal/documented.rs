//! `docs/format.md` is enough to read the fixture: this reader is made from its tables and nothing of the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The records of the document: their fields, or their variants by number.
#[derive(Debug)]
enum Shape {
    Record(Vec<String>),
    Choice(BTreeMap<u64, (String, Vec<String>)>),
}

type Shapes = BTreeMap<String, Shape>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shapes() -> Shapes {
    let document = fs::read_to_string(root().join("docs/format.md")).unwrap();
    let block = document.split("```").find(|part| part.starts_with("\nEntry ")).expect("the block of records");
    let mut texts: Vec<(String, String)> = Vec::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        match line.split_once(' ') {
            Some((name, rest)) if !name.is_empty() => texts.push((name.to_owned(), rest.trim().to_owned())),
            _ => texts.last_mut().unwrap().1.push_str(&format!("   {}", line.trim())),
        }
    }
    // The one that is told in words: as many as there are names of actions.
    let names = (0..14).map(|number| (number, (format!("ActionName{number}"), Vec::new()))).collect();
    let mut shapes: Shapes = texts.into_iter().map(|(name, text)| (name, shape(&text))).collect();
    shapes.insert("ActionName".to_owned(), Shape::Choice(names));
    shapes
}

fn shape(text: &str) -> Shape {
    if !text.starts_with(|char: char| char.is_ascii_digit()) {
        return Shape::Record(fields(text));
    }
    let mut variants = BTreeMap::new();
    let mut last = None;
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        match (word.parse::<u64>(), words.peek()) {
            (Ok(number), Some(name)) => {
                variants.insert(number, ((*name).to_owned(), String::new()));
                words.next();
                last = Some(number);
            }
            _ => variants.get_mut(&last.unwrap()).unwrap().1.push_str(&format!("{word} ")),
        }
    }
    Shape::Choice(variants.into_iter().map(|(number, (name, text))| (number, (name, fields(&text)))).collect())
}

/// The types of fields; a tuple in parentheses counts as its parts in a row.
fn fields(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('–') {
        return Vec::new();
    }
    let mut depth = 0;
    let parts = text.split(|char| {
        depth += i32::from(char == '(') - i32::from(char == ')');
        char == ',' && depth == 0
    });
    parts.map(|field| field.split_once(':').map_or(field, |(_, kind)| kind).trim().to_owned()).collect()
}

/// Reads values, and notes which variants it met.
struct Reader<'a> {
    shapes: &'a Shapes,
    rest: &'a [u8],
    met: &'a mut BTreeSet<String>,
}

impl Reader<'_> {
    fn take(&mut self, bytes: usize) -> &[u8] {
        let (head, tail) = self.rest.split_at(bytes);
        self.rest = tail;
        head
    }

    fn unsigned(&mut self) -> u64 {
        let marker = self.take(1)[0];
        let bytes = match marker {
            251 => 2,
            252 => 4,
            253 => 8,
            small => return u64::from(small),
        };
        number(self.take(bytes))
    }

    fn value(&mut self, kind: &str) {
        if let Some(inner) = kind.strip_suffix('?') {
            match self.take(1)[0] {
                0 => {}
                1 => self.value(inner),
                other => panic!("{other} is neither absent nor present"),
            }
        } else if let Some(inner) = kind.strip_prefix('[') {
            let count = self.unsigned();
            (0..count).for_each(|_| self.value(inner.trim_end_matches(']')));
        } else if let Some(inner) = kind.strip_prefix('(') {
            fields(inner.trim_end_matches(')')).iter().for_each(|part| self.value(part));
        } else {
            self.plain(kind);
        }
    }

    fn plain(&mut self, kind: &str) {
        match kind {
            "u" | "i" | "time" => drop(self.unsigned()),
            "bool" => assert!(self.take(1)[0] < 2),
            "id" => drop(self.take(16).to_vec()),
            "digest" => drop(self.take(32).to_vec()),
            "text" => {
                let length = usize::try_from(self.unsigned()).unwrap();
                assert!(std::str::from_utf8(self.take(length)).is_ok());
            }
            "pair" => ["text", "text"].iter().for_each(|part| self.value(part)),
            name => self.named(name),
        }
    }

    fn named(&mut self, name: &str) {
        let shapes = self.shapes;
        let fields = match shapes.get(name).unwrap_or_else(|| panic!("the document does not tell what {name} is")) {
            Shape::Record(fields) => fields,
            Shape::Choice(variants) => {
                let (variant, fields) = &variants[&self.unsigned()];
                self.met.insert(format!("{name}::{variant}"));
                fields
            }
        };
        fields.iter().for_each(|field| self.value(field));
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn check_crc(bytes: &[u8], at: usize) {
    assert_eq!(u64::from(crc32c::crc32c(&bytes[..at])), number(&bytes[at..at + 4]));
}

#[test]
fn the_document_is_enough_to_read_every_byte_of_the_fixture() {
    let shapes = shapes();
    let dir = root().join("adapters/tests/fixtures/format-1/journal");
    let mut files: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|item| item.unwrap().path()).collect();
    files.sort();
    let anchor = fs::read(files.pop().unwrap()).unwrap();
    let (mut next, mut link, mut digest, mut met) = (1, vec![0; 32], vec![0; 32], BTreeSet::new());
    for (ordinal, file) in (1..).zip(&files) {
        assert_eq!(file.file_name().unwrap().to_str().unwrap(), format!("{next:020}.seg"));
        let bytes = fs::read(file).unwrap();
        assert_eq!(&bytes[..8], b"TACHOSEG");
        let at = |from: usize, to: usize| number(&bytes[from..to]);
        assert_eq!([at(8, 12), at(12, 16), at(32, 40), at(40, 48), at(80, 84)], [1, 1, ordinal, next, 0]);
        assert_eq!(bytes[16..32], anchor[16..32]);
        assert_eq!(bytes[48..80], link);
        check_crc(&bytes, 84);
        link = blake3::hash(&bytes[..88]).as_bytes().to_vec();
        let (first, mut offset, mut sealed) = (next, 88, false);
        while offset < bytes.len() && !sealed {
            let header = &bytes[offset..offset + 72];
            assert_eq!((&header[..4], &header[5..8], &header[32..64]), (&b"TFRM"[..], &[0; 3][..], &link[..]));
            check_crc(header, 68);
            let end = offset + 72 + number(&header[8..12]) as usize;
            let payload = &bytes[offset + 72..end];
            assert_eq!(u64::from(crc32c::crc32c(payload)), number(&header[64..68]));
            assert_eq!(number(&header[16..24]), next);
            // One frame per batch, each synced before the next.
            assert_eq!(number(&header[24..32]), next - 1);
            link = blake3::hash(&bytes[offset..end]).as_bytes().to_vec();
            sealed = header[4] == 2;
            if sealed {
                check_footer(payload, first, next);
                check_trailer(&bytes[end..], offset);
            } else {
                digest.clone_from(&link);
                next = read_commit(payload, number(&header[12..16]), next, &shapes, &mut met);
            }
            offset = end;
        }
        assert_eq!(sealed, Some(file) != files.last());
    }
    check_anchor(&anchor, next - 1, &digest);
    assert!(met.len() >= 70, "{met:?}");
}

fn read_commit(payload: &[u8], count: u64, mut next: u64, shapes: &Shapes, met: &mut BTreeSet<String>) -> u64 {
    let mut rest = payload;
    for _ in 0..count {
        let (length, behind) = rest.split_at(4);
        let (record, behind) = behind.split_at(number(length) as usize);
        rest = behind;
        let mut reader = Reader { shapes, rest: &record[16..], met };
        assert_eq!(reader.unsigned(), next, "the position follows the id");
        reader.rest = record;
        reader.value("Entry");
        assert_eq!(reader.rest, b"", "bytes behind entry {next}");
        next += 1;
    }
    assert_eq!(rest, b"");
    next
}

fn check_footer(payload: &[u8], first: u64, next: u64) {
    let at = |from: usize, to: usize| number(&payload[from..to]);
    assert!(at(0, 8) <= at(8, 16));
    assert_eq!([at(16, 24), at(24, 32), at(32, 40)], [first, next - 1, next - first]);
    let (runs, places) = (at(40, 44) as usize, at(44, 48) as usize);
    assert_eq!(payload.len(), 48 + 32 * runs + 16 * places);
    let rows: Vec<&[u8]> = payload[48..48 + 32 * runs].chunks(32).map(|row| &row[..16]).collect();
    assert!(rows.is_sorted() && !rows.is_empty());
    let (position, offset) = payload[48 + 32 * runs..].split_at(8);
    assert_eq!((number(position), number(&offset[..8])), (first, 88));
}

fn check_trailer(bytes: &[u8], footer: usize) {
    assert_eq!((bytes.len(), number(&bytes[..8]), number(&bytes[8..12])), (24, footer as u64, 0));
    assert_eq!(&bytes[12..20], b"TACHOEND");
    check_crc(bytes, 20);
}

fn check_anchor(bytes: &[u8], position: u64, digest: &[u8]) {
    assert_eq!((bytes.len(), &bytes[..8]), (120, &b"TACHOANC"[..]));
    assert_eq!([number(&bytes[8..12]), number(&bytes[12..16]), number(&bytes[32..40])], [1, 0, position]);
    assert_eq!((&bytes[40..72], &bytes[72..116]), (digest, &[0; 44][..]));
    check_crc(bytes, 116);
}

//! Leaving values out: each is replaced by a commitment, by which it can be proved later.
//!
//! The commitment to a value is the hash over its own salt and the value. A salt has 256 bits and is kept in a file apart
//! from the bundle, so that whoever has the bundle alone cannot even try guesses. Equal values of one kind have the same
//! salt, so that runners and names still match each other; a bundle therefore shows which of its hidden values are equal.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use tachograph_engine::domain::{Digest, Entry, Position};

use super::error::BundleError;
use super::manifest::RedactedPath;
use super::remnants::{Remnants, SEARCHED_BYTES_MIN, VALUES_MAX};
use super::seal::random;
use super::texts::{Place, TextKind, visit};

/// What a replaced value begins with; 64 hexadecimal digits follow.
pub(super) const MARKER: &str = "redacted:";
const COMMITTED: &[u8] = b"tachograph redaction 1\0";

/// Which values are left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    kind: TextKind,
    key: Option<String>,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(key) = text.strip_prefix("label.").filter(|key| !key.is_empty()) {
            return Ok(Self { kind: TextKind::Label, key: Some(key.to_owned()) });
        }
        match TextKind::NAMED.iter().find(|(name, _)| *name == text) {
            Some((_, kind)) => Ok(Self { kind: *kind, key: None }),
            None => Err(format!("there is no {text:?} in an entry")),
        }
    }
}

/// What [`Selector`] can be made from, but for `label.KEY`.
pub fn selectable() -> impl Iterator<Item = &'static str> {
    TextKind::NAMED.iter().map(|(name, _)| *name)
}

impl Selector {
    fn fits(&self, place: Place<'_>) -> bool {
        self.kind == place.kind && self.key.as_deref().is_none_or(|key| place.key == Some(key))
    }
}

/// A salt, and the commitment that it makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commitment {
    pub(super) salt: Digest,
    pub(super) hash: Digest,
}

/// Whether a text stands for a value that was replaced.
pub(super) fn is_replaced(text: &str) -> bool {
    text.starts_with(MARKER) && text.len() == MARKER.len() + 64
}

/// The commitment to a value under a salt.
pub(super) fn commit(salt: Digest, value: &[u8]) -> Digest {
    Digest(*blake3::Hasher::new().update(COMMITTED).update(&salt.0).update(value).finalize().as_bytes())
}

/// Finds out what is to be left out, in a pass over all entries before the one that replaces.
pub(super) struct Search {
    selectors: Vec<Selector>,
    values: HashSet<String>,
}

impl Search {
    pub(super) fn new(selectors: &[Selector]) -> Self {
        Self { selectors: selectors.to_vec(), values: HashSet::new() }
    }

    pub(super) fn see(&mut self, entry: &mut Entry) -> Result<(), BundleError> {
        let Self { selectors, values } = self;
        visit(entry, &mut |place, text| {
            let searched = text.len() >= SEARCHED_BYTES_MIN && selectors.iter().any(|selector| selector.fits(place));
            if searched && !values.contains(text) {
                values.insert(text.clone());
            }
        });
        if values.len() > VALUES_MAX { Err(BundleError::TooManyValues { max: VALUES_MAX }) } else { Ok(()) }
    }

    pub(super) fn redactor(self) -> Result<Redactor, BundleError> {
        let remnants = Remnants::of(self.values)?;
        let (selectors, counts) = (self.selectors, BTreeMap::new());
        Ok(Redactor { selectors, remnants, secret: random()?, counts, replaced: Vec::new() })
    }
}

/// Replaces values by commitments.
pub(super) struct Redactor {
    selectors: Vec<Selector>,
    /// Finds the values in texts that were not asked for.
    remnants: Remnants,
    /// Out of which the salts are made; known to nobody when the bundle is.
    secret: [u8; 32],
    counts: BTreeMap<String, u64>,
    replaced: Vec<Replaced>,
}

/// A value that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) path: String,
    pub(super) commitment: Commitment,
    pub(super) value: String,
}

impl Redactor {
    /// A salt of this name; nobody can tell it from a random one without the secret.
    pub(super) fn salt(&self, kind: &str, value: &[u8]) -> Digest {
        let length = (kind.len() as u64).to_le_bytes();
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        Digest(*hasher.update(&length).update(kind.as_bytes()).update(value).finalize().as_bytes())
    }

    /// Replaces what is to be left out of an entry: the values that were asked for, and every other text that holds
    /// one of them or a part of it, as [`Remnants`] says.
    pub(super) fn redact(&mut self, entry: &mut Entry) -> Result<(), BundleError> {
        let mut in_key = None;
        let position = entry.position;
        visit(entry, &mut |place, text| {
            let asked = self.selectors.iter().any(|selector| selector.fits(place));
            if !asked && !self.remnants.are_in(place.kind, text) {
                return;
            }
            if place.kind == TextKind::Key {
                in_key = Some(text.clone());
                return;
            }
            *text = self.replace(place, text);
        });
        in_key.map_or(Ok(()), |key| Err(key_error(position, &key)))
    }

    fn replace(&mut self, place: Place<'_>, text: &str) -> String {
        let path = match (place.kind, place.key) {
            (TextKind::Label, Some(key)) => format!("label.{key}"),
            (kind, _) => kind.name().to_owned(),
        };
        let salt = self.salt(&path, text.as_bytes());
        let hash = commit(salt, text.as_bytes());
        *self.counts.entry(path.clone()).or_default() += 1;
        self.replaced.push(Replaced { path, commitment: Commitment { salt, hash }, value: text.to_owned() });
        format!("{MARKER}{hash}")
    }

    /// What was replaced since this was asked before.
    pub(super) fn take_replaced(&mut self) -> Vec<Replaced> {
        std::mem::take(&mut self.replaced)
    }

    /// What was replaced in all; never empty, so that the bundle says that it was redacted.
    pub(super) fn counts(&self) -> Vec<RedactedPath> {
        let mut counts = self.counts.clone();
        for selector in &self.selectors {
            let path = match &selector.key {
                Some(key) => format!("label.{key}"),
                None => selector.kind.name().to_owned(),
            };
            // All labels are counted by their keys.
            if selector.kind != TextKind::Label || selector.key.is_some() {
                counts.entry(path).or_default();
            }
        }
        if counts.is_empty() {
            counts.insert("label".to_owned(), 0);
        }
        counts.into_iter().map(|(path, values)| RedactedPath { path, values }).collect()
    }
}

fn key_error(position: Position, key: &str) -> BundleError {
    let why = format!("a value that is to be redacted is also in the key {key:?} of a label or fact, and keys stay");
    BundleError::NotRedactable { position, why }
}

//! Proving values that were left out of a bundle, by the salts that were kept apart from it.
//!
//! A file of salts has one JSON object per line: `{"path","commitment","salt","value"}` for each different value, and
//! `{"head_salt"}` for the journal's digest. Whoever shall be able to prove some of the values is given their lines alone.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{Digest, Entry};
use tachograph_engine::ports::{Head, JournalError};

use super::error::BundleError;
use super::manifest::Scope;
use super::reader::BundleReader;
use super::redaction::{MARKER, Replaced, commit, is_replaced};
use super::rewriting::Rewriter;
use super::seal::from_hex;
use super::target::Target;
use super::texts::visit;
use super::units::Unit;

/// Longer than the line of any value.
const LINE_BYTES_MAX: u64 = 2 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Value { path: String, commitment: String, salt: String, value: String },
    Head { head_salt: String },
}

/// Writes the salts of a bundle in the making.
pub(super) struct SaltsWriter {
    target: Target,
    written: HashSet<Digest>,
}

impl SaltsWriter {
    pub(super) fn create(path: &Path, replaces: bool) -> Result<Self, BundleError> {
        Ok(Self { target: Target::create(path, replaces)?, written: HashSet::new() })
    }

    pub(super) fn add(&mut self, replaced: Vec<Replaced>) -> Result<(), BundleError> {
        for Replaced { path, commitment, value } in replaced {
            if self.written.insert(commitment.hash) {
                let (hash, salt) = (commitment.hash.to_string(), commitment.salt.to_string());
                self.line(&Line::Value { path, commitment: hash, salt, value })?;
            }
        }
        Ok(())
    }

    pub(super) fn head(&mut self, salt: Digest) -> Result<(), BundleError> {
        self.line(&Line::Head { head_salt: salt.to_string() })
    }

    fn line(&mut self, line: &Line) -> Result<(), BundleError> {
        let mut text = serde_json::to_vec(line).map_err(|error| self.target.error(error.into()))?;
        text.push(b'\n');
        self.target.write_all(&text).map_err(|error| self.target.error(error))
    }

    pub(super) fn publish(self) -> Result<(), BundleError> {
        self.target.publish()
    }
}

/// Salts as they are read back, each checked against its commitment.
#[derive(Debug, Default)]
pub struct Salts {
    /// Values by what stands in their place.
    values: HashMap<String, String>,
    head: Option<Digest>,
    /// The file that they are from.
    path: PathBuf,
}

impl Salts {
    /// Reads a file of salts.
    ///
    /// # Errors
    ///
    /// [`BundleError::Secret`] if a line is none, or its value does not fit its commitment; [`BundleError::Journal`].
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let failed = |error| JournalError::io("read", path, error);
        let mut lines = BufReader::new(File::open(path).map_err(failed)?);
        let mut salts = Self { path: path.to_owned(), ..Self::default() };
        for number in 1_u64.. {
            let mut line = String::new();
            if lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).map_err(failed)? == 0 {
                break;
            }
            salts.line(&line).map_err(|why| {
                let why = format!("line {number}: {why}");
                BundleError::Secret { path: path.to_owned(), why }
            })?;
        }
        Ok(salts)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let digest = |text: &str| from_hex(text).map(Digest).ok_or("64 hexadecimal digits are expected".to_owned());
        match serde_json::from_str(line).map_err(|error| error.to_string())? {
            Line::Head { head_salt } => self.head = Some(digest(&head_salt)?),
            Line::Value { commitment, salt, value, .. } => {
                if commit(digest(&salt)?, value.as_bytes()) != digest(&commitment)? {
                    return Err("the value does not fit its commitment".to_owned());
                }
                self.values.insert(format!("{MARKER}{commitment}"), value);
            }
        }
        Ok(())
    }
}

/// What the salts prove about a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revealed {
    /// Replaced values in the bundle, each as often as it stands there.
    pub replaced: u64,
    /// Those of them whose value the salts prove.
    pub revealed: u64,
    /// The journal's digest at the bundle's last entry, proved: every value was put back, and the whole chain computed
    /// again from the first byte leads to the digest that the bundle commits to.
    pub digest: Option<Head>,
}

/// Puts values back that salts prove, and computes the journal's own chain again if they are all there. `see` is given
/// every entry with its values back.
///
/// # Errors
///
/// [`BundleError::Journal`] if the bundle is damaged, [`BundleError::OtherSalts`] if all values are back and the chain leads
/// to another digest than the bundle commits to, or if nothing was redacted.
pub fn reveal(bundle: &BundleReader, salts: &Salts, mut see: impl FnMut(&Entry)) -> Result<Revealed, BundleError> {
    if !bundle.manifest().is_redacted() {
        let (path, bundle) = (salts.path.clone(), bundle.path().to_owned());
        return Err(BundleError::OtherSalts { path, bundle });
    }
    let mut revealed = Revealed::default();
    let mut rewriter = Rewriter::behind(Digest::ZERO);
    let mut digest = Digest::ZERO;
    let mut units = bundle.units();
    while let Some(unit) = units.advance()? {
        match unit {
            Unit::Segment(header) => drop(rewriter.segment(&header)),
            Unit::Footer(header) => drop(rewriter.footer(&header)?),
            Unit::Commit(header) => {
                let mut entries = units.entries(&header)?;
                entries.iter_mut().for_each(|entry| put_back(entry, salts, &mut revealed));
                entries.iter().for_each(&mut see);
                drop(rewriter.commit(&header, &entries)?);
                digest = rewriter.link();
            }
        }
    }
    let manifest = bundle.manifest();
    if let (Scope::Whole, true, Some(salt)) = (manifest.scope, revealed.replaced == revealed.revealed, salts.head) {
        if commit(salt, &digest.0) != manifest.journal_head.digest {
            let (path, bundle) = (salts.path.clone(), bundle.path().to_owned());
            return Err(BundleError::OtherSalts { path, bundle });
        }
        revealed.digest = Some(Head { position: manifest.tip.position, digest });
    }
    Ok(revealed)
}

fn put_back(entry: &mut Entry, salts: &Salts, revealed: &mut Revealed) {
    visit(entry, &mut |_, text| {
        if is_replaced(text) {
            revealed.replaced += 1;
            if let Some(value) = salts.values.get(text.as_str()) {
                revealed.revealed += 1;
                value.clone_into(text);
            }
        }
    });
}

//! What a manifest claims about its bundle, beyond what its hashes hold together.
//!
//! A root is no proof: whoever writes another manifest computes another root. So each claim that a reader relies on, as
//! whose chain it is and what it holds, is checked against the other claims and against the entries.

use tachograph_engine::domain::{Digest, Entry, EntryBody};

use super::manifest::{Chain, Manifest, Scope};
use super::redaction::is_replaced;
use super::texts::visit;
use super::units::Unit;

/// In what a manifest contradicts itself, if it does.
pub(super) fn contradiction(manifest: &Manifest) -> Option<&'static str> {
    let Manifest { scope, chain, journal_head, tip, previous, entries, .. } = manifest;
    let is_redacted = manifest.is_redacted();
    match (chain, scope) {
        (Chain::Journal, Scope::Run(_)) => Some("one run's entries are not linked by the journal's chain"),
        (Chain::Journal, _) if is_redacted => Some("redacted entries are not linked by the journal's chain"),
        (Chain::Own, Scope::Whole | Scope::Range) if !is_redacted => {
            Some("without redacted values its chain would be the journal's")
        }
        (Chain::Journal, Scope::Range) if *previous == Digest::ZERO => Some("a range follows something"),
        (Chain::Own, _) | (_, Scope::Whole) if *previous != Digest::ZERO => Some("nothing comes before its first unit"),
        _ if *entries == 0 && *scope != Scope::Whole => Some("a part has entries"),
        _ if journal_head.position < tip.position => Some("the journal ended before the last entry in it"),
        (Chain::Journal, _) if journal_head.position == tip.position && journal_head.digest != tip.digest => {
            Some("the journal's digest at its last entry is another")
        }
        (Chain::Own, Scope::Range | Scope::Run(_)) if is_redacted && journal_head.digest != Digest::ZERO => {
            Some("a redacted part tells no digest of the journal")
        }
        _ => None,
    }
}

/// What the units and entries must be, as the manifest claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    units: u64,
    ends_with_commit: bool,
    /// Whether the last entry is about the run that a bundle of one run is about.
    ends_with_run: bool,
    replaced: u64,
}

impl Claims {
    /// Takes in a unit.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn unit(&mut self, manifest: &Manifest, unit: &Unit) -> Result<(), &'static str> {
        let is_commit = matches!(unit, Unit::Commit(_));
        let is_first = self.units == 0;
        self.units += 1;
        self.ends_with_commit = is_commit;
        match (manifest.scope, manifest.chain) {
            (Scope::Whole, _) if is_first && !matches!(unit, Unit::Segment(_)) => {
                Err("a whole journal begins with its first segment")
            }
            (Scope::Range, Chain::Journal) if is_first && !is_commit => Err("a range begins with a commit"),
            (Scope::Range, Chain::Own) | (Scope::Run(_), _) if !is_commit => Err("only commits are in such a part"),
            _ => Ok(()),
        }
    }

    /// Takes in the entries of a commit.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(super) fn entries(&mut self, manifest: &Manifest, entries: &mut [Entry]) -> Result<(), String> {
        if let Scope::Run(run) = manifest.scope {
            for entry in entries.iter() {
                let is_fact = matches!(entry.body, EntryBody::System(_));
                let is_about = entry.run() == Some(run);
                if !is_about && (!is_fact || self.units <= 1) {
                    return Err(format!("entry {} is not about run {run}", entry.position));
                }
                self.ends_with_run = is_about;
            }
        }
        if manifest.is_redacted() {
            let replaced = &mut self.replaced;
            entries.iter_mut().for_each(|entry| visit(entry, &mut |_, text| *replaced += u64::from(is_replaced(text))));
        }
        Ok(())
    }

    /// What is wrong with all of them together, if something is.
    pub(super) fn finish(&self, manifest: &Manifest) -> Option<&'static str> {
        let told = manifest.redacted.iter().fold(0_u64, |sum, redacted| sum.saturating_add(redacted.values));
        match manifest.scope {
            _ if manifest.entries > 0 && !self.ends_with_commit => Some("it does not end with its last entry"),
            Scope::Run(_) if !self.ends_with_run => Some("its last entry is not about its run"),
            _ if told > self.replaced => Some("fewer values are redacted than the manifest says"),
            _ => None,
        }
    }
}

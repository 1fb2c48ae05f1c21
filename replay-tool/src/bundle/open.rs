//! `tacho import`: a data directory out of a bundle.

use std::path::Path;

use tachograph_adapters::bundle::seal::PublicKey;
use tachograph_adapters::bundle::{Chain, import};

use super::bar;
use crate::error::{Error, exit};
use crate::import::ImportedView;
use crate::output::Context;
use crate::table::printable;

/// What a bundle is called where other formats have names.
const FORMAT: &str = "bundle";

/// Makes a data directory out of a bundle of a whole journal.
///
/// # Errors
///
/// [`Error`] if the directory is not empty, or the bundle is damaged, not sealed as demanded, or holds a part of
/// a journal.
pub fn execute(context: &Context, bundle: &Path, sealed_by: Option<PublicKey>) -> Result<u8, Error> {
    let imported = import(bundle, &context.data, sealed_by, bar("importing"))?;
    let data = context.data.display().to_string();
    let mut output = context.stdout();
    if context.is_json() {
        output.json(&ImportedView {
            data,
            from: FORMAT,
            journal: imported.journal.to_string(),
            entries: imported.entries,
            digest: imported.head.digest.to_string(),
        })?;
    } else {
        let (entries, journal, data) = (imported.entries, imported.journal, printable(&data));
        let digest = match imported.chain {
            Chain::Journal => format!("its digest is the journal's: {}", imported.head.digest),
            Chain::Own => format!("values are redacted, and its digest is its own: {}", imported.head.digest),
        };
        output.text(&format!("imported {entries} entries of journal {journal} into {data}; {digest}\n"))?;
    }
    output.flush()?;
    Ok(exit::OK)
}

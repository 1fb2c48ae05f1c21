//! Arguments of `tacho verify`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use tachograph_adapters::bundle::seal::PublicKey;

/// Arguments of `tacho verify`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Reads everything and changes nothing. Exits 0 if the journal is sound; an incomplete last write, as a crash leaves it, \
is reported and counts as sound. Exits 7 if bytes are not as they were written, or if acknowledged entries are missing.

PATH is a data directory or a bundle. Of a bundle it says what is proved: the same bytes that were exported, or also that \
they are the journal's own; a hash or seal proves something only to those who know it from elsewhere.

Examples:
  tacho verify
  tacho verify --data /mnt/evidence/tacho-data --format json
  tacho verify evidence.tacho
  tacho verify evidence.tacho --sealed-by ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c
  tacho verify shared.tacho --reveal shared.salts")]
pub struct VerifyArgs {
    /// A data directory or a bundle [default: what --data names]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// A bundle must be sealed with this key
    #[arg(long, value_name = "PUBLIC_KEY")]
    pub sealed_by: Option<PublicKey>,
    /// Prove redacted values of a bundle by the salts in this file
    #[arg(long, value_name = "SALTS", value_hint = ValueHint::FilePath)]
    pub reveal: Option<PathBuf>,
}

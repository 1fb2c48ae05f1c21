//! `tacho seal-key`: a key to seal with, and the public half of one.

use serde_json::json;
use tachograph_adapters::bundle::seal::SealKey;

use crate::cli::SealKeyArgs;
use crate::error::{Error, exit};
use crate::output::Context;

/// Makes a key if that is asked for, and prints the public key.
///
/// # Errors
///
/// [`Error`] if the file exists already, is no key, or others may read it.
pub fn execute(context: &Context, args: &SealKeyArgs) -> Result<u8, Error> {
    let key = if args.create { SealKey::create(&args.file)? } else { SealKey::open(&args.file)? };
    let public_key = key.public_key().to_string();
    let mut output = context.stdout();
    if context.is_json() {
        output.json(&json!({ "public_key": public_key }))?;
    } else {
        output.text(&format!("{public_key}\n"))?;
    }
    output.flush()?;
    Ok(exit::OK)
}

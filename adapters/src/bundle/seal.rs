//! Who made a bundle: an ed25519 signature over its root.
//!
//! A key file has two lines: what it is, and the secret in hexadecimal. It is for its owner alone: a file that others may
//! read is not used.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use tachograph_engine::domain::Digest;
use tachograph_engine::ports::JournalError;

use super::error::BundleError;
use super::target::sync_parent;

/// Bytes of a seal: the public key, and the signature.
pub(super) const BYTES: usize = 96;
/// What is signed begins with this, so that the key's signature of something else is no seal.
const SIGNED: &[u8] = b"tachograph bundle seal 1\0";
const FIRST_LINE: &str = "tachograph-seal-key-1";
const KEY_BYTES: usize = 32;
/// More than any key file has.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;

/// The hash that stands for every byte of a bundle: over its header and its manifest, which has the hashes of its blocks.
pub(super) fn root(header: &[u8], manifest: &[u8]) -> Digest {
    Digest(*blake3::Hasher::new().update(header).update(manifest).finalize().as_bytes())
}

/// The public half of a key, by which others know who sealed a bundle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes =
            from_hex(text).ok_or("expected a public key: 64 hexadecimal digits, as `tacho seal-key` prints them")?;
        VerifyingKey::from_bytes(&bytes).map_err(|_| "this is not a public key of ed25519")?;
        Ok(Self(bytes))
    }
}

/// 32 bytes out of 64 hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<[u8; KEY_BYTES]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; KEY_BYTES];
    if pairs.len() != KEY_BYTES || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// Fills an array from the system's source of randomness.
pub(super) fn random() -> Result<[u8; KEY_BYTES], BundleError> {
    let mut bytes = [0; KEY_BYTES];
    let mut filled = 0;
    while filled < KEY_BYTES {
        let got = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        match got {
            Ok(got) => filled += got,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(JournalError::io("read", "the system's randomness", error.into()).into()),
        }
    }
    Ok(bytes)
}

/// A key that seals.
pub struct SealKey(SigningKey);

impl SealKey {
    /// Makes a key, and a file for it that did not exist, with mode 0600.
    ///
    /// # Errors
    ///
    /// [`BundleError::Occupied`] if there is a file, [`BundleError::Journal`] if it cannot be written. A crash leaves no
    /// file, or perhaps an incomplete one, which [`open`](Self::open) refuses.
    pub fn create(path: &Path) -> Result<Self, BundleError> {
        let key = Self(SigningKey::from_bytes(&random()?));
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(BundleError::Occupied { path: path.to_owned() });
            }
            opened => opened.map_err(|error| JournalError::io("create", path, error))?,
        };
        let text = format!("{FIRST_LINE}\n{}\n", Digest(key.0.to_bytes()));
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| JournalError::io("write", path, error))?;
        sync_parent(path)?;
        Ok(key)
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`BundleError::Secret`] if it is none, or if others may read it; [`BundleError::Journal`].
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let failed = |error| JournalError::io("open", path, error);
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode();
        let unusable = |why: &str| BundleError::Secret { path: path.to_owned(), why: why.to_owned() };
        if mode & 0o077 != 0 {
            return Err(unusable("others may use this key; make it a file of mode 0600"));
        }
        let mut text = String::new();
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let secret = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_prefix('\n')).map(str::trim_end);
        match secret.and_then(from_hex) {
            Some(secret) => Ok(Self(SigningKey::from_bytes(&secret))),
            None => Err(unusable("it is not a key to seal with")),
        }
    }

    /// What others are given to know its seals by.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn seal(&self, root: Digest) -> Seal {
        let signature = self.0.sign(&[SIGNED, &root.0].concat());
        Seal { public_key: self.public_key(), signature: signature.to_bytes() }
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.public_key())
    }
}

/// A signature over a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) public_key: PublicKey,
    signature: [u8; 64],
}

impl Seal {
    pub(super) fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..KEY_BYTES].copy_from_slice(&self.public_key.0);
        bytes[KEY_BYTES..].copy_from_slice(&self.signature);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; BYTES]) -> Self {
        let (mut public_key, mut signature) = ([0; KEY_BYTES], [0; 64]);
        public_key.copy_from_slice(&bytes[..KEY_BYTES]);
        signature.copy_from_slice(&bytes[KEY_BYTES..]);
        Self { public_key: PublicKey(public_key), signature }
    }

    /// Whether its key made it over this root.
    pub(super) fn is_over(&self, root: Digest) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.public_key.0) else { return false };
        // Strict: no second signature can be made out of a first one, and no weak key fits every message.
        key.verify_strict(&[SIGNED, &root.0].concat(), &Signature::from_bytes(&self.signature)).is_ok()
    }
}

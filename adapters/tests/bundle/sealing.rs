//! Who made a bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tachograph_adapters::bundle::seal::{PublicKey, SealKey};
use tachograph_adapters::bundle::{BundleError, BundleReader, Request, Selection, import, verify};
use tempfile::TempDir;

use crate::support::{exported, fixture, request};

/// Always the same key.
pub(crate) fn key(path: &Path) -> SealKey {
    fs::write(path, format!("tachograph-seal-key-1\n{}\n", "07".repeat(32))).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    SealKey::open(path).unwrap()
}

#[test]
fn a_seal_names_its_key_and_only_one_over_this_bundle_counts() {
    let dir = TempDir::new().unwrap();
    let seal = key(&dir.path().join("key"));
    let public = seal.public_key();
    let (sealed, plain) = (dir.path().join("sealed"), dir.path().join("plain"));
    exported(&fixture(), &sealed, &Request { seal: Some(seal), ..request(Selection::WHOLE) });
    let later =
        Request { exported_at: tachograph_engine::domain::Timestamp::from_micros(5), ..request(Selection::WHOLE) };
    exported(&fixture(), &plain, &later);
    assert_eq!(verify(&sealed, |_| ()).unwrap().sealed_by, Some(public));
    assert_eq!(verify(&plain, |_| ()).unwrap().sealed_by, None);
    assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
    // The seal of one bundle under another: everything fits but what was signed.
    let (with, mut without) = (fs::read(&sealed).unwrap(), fs::read(&plain).unwrap());
    let trailer = without.split_off(without.len() - 64);
    without.extend_from_slice(&with[with.len() - 64 - 96..with.len() - 64]);
    let mut trailer = trailer;
    trailer[48..52].copy_from_slice(&96_u32.to_le_bytes());
    let crc = crc32c::crc32c(&trailer[..60]);
    trailer[60..].copy_from_slice(&crc.to_le_bytes());
    without.extend_from_slice(&trailer);
    let forged = dir.path().join("forged");
    fs::write(&forged, without).unwrap();
    let refused = BundleReader::open(&forged).unwrap_err().to_string();
    assert!(refused.contains("the seal is not a signature over this bundle"), "{refused}");
}

#[test]
fn a_key_is_for_its_owner_alone_and_is_never_replaced() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    let made = SealKey::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SealKey::open(&path).unwrap().public_key(), made.public_key());
    assert!(matches!(SealKey::create(&path), Err(BundleError::Occupied { .. })));
    let other = SealKey::create(&dir.path().join("other")).unwrap();
    assert_ne!(other.public_key(), made.public_key());
    let text = fs::read_to_string(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(SealKey::open(&path), Err(BundleError::Secret { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in ["", "tachograph-seal-key-1\n07\n", &text.replace("key-1", "key-2"), &text[..text.len() - 2]] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(SealKey::open(&path), Err(BundleError::Secret { .. })), "{wrong:?}");
    }
    for wrong in ["", "07", "zz", &"g".repeat(64), &"7".repeat(63)] {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong:?}");
    }
}

#[test]
fn only_what_is_sealed_as_demanded_is_imported() {
    let dir = TempDir::new().unwrap();
    let seal = key(&dir.path().join("key"));
    let (right, wrong) = (seal.public_key(), SealKey::create(&dir.path().join("other")).unwrap().public_key());
    let (sealed, plain) = (dir.path().join("sealed"), dir.path().join("plain"));
    exported(&fixture(), &sealed, &Request { seal: Some(seal), ..request(Selection::WHOLE) });
    exported(&fixture(), &plain, &request(Selection::WHOLE));
    let data = dir.path().join("data");
    for (bundle, demanded) in [(&sealed, wrong), (&plain, right)] {
        let refused = import(bundle, &data, Some(demanded), |_| ()).unwrap_err();
        assert!(matches!(refused, BundleError::WrongSeal { .. }) && !data.exists(), "{refused}");
    }
    import(&sealed, &data, Some(right), |_| ()).unwrap();
}

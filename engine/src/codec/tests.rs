//! Whether bytes survive: round trips, golden bytes, and everything that is not what was written.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{
    CodecError, DECODED_BYTES_MAX, decode_entry, decode_records, encode_entry, encode_records, is_early_refusal,
    is_fact,
};
use super::{samples, strategies};
use crate::domain::testing::{claim, command, ids};
use crate::domain::{
    Action, Committed, Diagnostics, Entry, EntryBody, Event, Failure, FailureKind, Ordinal, Position, Refusal, Refused,
    RefusedCommand, RunnerId, Timestamp, Version, limits,
};

/// Always the same cases, as many as `TACHO_CASES` says.
#[expect(clippy::disallowed_methods, reason = "a test may be asked for more cases")]
fn runner() -> TestRunner {
    let cases = std::env::var("TACHO_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(512);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn encoded(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_entry(entry, &mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn any_entry_survives_its_bytes() {
    let survives = |entry: Entry| {
        assert_eq!(decode_entry(&encoded(&entry)), Ok(entry));
        Ok(())
    };
    runner().run(&strategies::entry(), survives).unwrap();
}

#[test]
fn any_records_survive_their_bytes() {
    let survives = |records: Vec<_>| {
        assert_eq!(decode_records(&encode_records(&records)), Ok(records));
        Ok(())
    };
    runner().run(&vec(strategies::record(), 0..4), survives).unwrap();
}

#[test]
fn facts_and_early_refusals_are_told_by_their_beginnings() {
    let told = |entry: Entry| {
        let (bytes, fact) = (encoded(&entry), matches!(entry.body, EntryBody::System(_)));
        assert_eq!(is_fact(&bytes), Ok(fact), "{entry:?}");
        let early = matches!(entry.body, EntryBody::Refused(_)) && entry.previous.is_none();
        assert_eq!(is_early_refusal(&bytes), Ok(early), "{entry:?}");
        Ok(())
    };
    runner().run(&strategies::entry(), told).unwrap();
    for (name, entry) in samples::entries() {
        told(entry).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(is_fact(&[0; 10]), Err(CodecError::Truncated { what: "entry" }));
}

#[test]
fn encoding_appends_and_leaves_what_was_there() {
    let (_, entry) = samples::entries().remove(0);
    let mut bytes = b"before".to_vec();
    encode_entry(&entry, &mut bytes);
    assert_eq!(bytes.strip_prefix(b"before"), Some(encoded(&entry).as_slice()));
}

/// The golden bytes are part of the format: a difference is a new format, never a new golden file.
#[test]
fn every_variant_has_its_golden_bytes() {
    let entries = samples::entries().into_iter().map(|(name, entry)| format!("{name}: {}\n", hex(&encoded(&entry))));
    let records = samples::records()
        .into_iter()
        .map(|(name, record)| format!("record {name}: {}\n", hex(&encode_records(&[record]))));
    let actual: String = entries.chain(records).collect();
    let golden = include_str!("golden.txt");
    for (actual, golden) in actual.lines().zip(golden.lines()) {
        assert_eq!(actual, golden);
    }
    assert_eq!(actual.lines().count(), golden.lines().count(), "all of it now:\n{actual}");
}

/// bincode counts variants and does not look at the numbers beside them, so they must say the same.
#[test]
fn the_number_beside_a_variant_is_its_place() {
    let sources = [
        include_str!("command.rs"),
        include_str!("entry.rs"),
        include_str!("event.rs"),
        include_str!("outcome.rs"),
        include_str!("record.rs"),
        include_str!("refusal.rs"),
        include_str!("scalar.rs"),
        include_str!("spec.rs"),
    ];
    let mut variants = 0;
    for source in sources {
        let mut last = None;
        for after in source.split(" = ").skip(1) {
            let digits = after.len() - after.trim_start_matches(|char: char| char.is_ascii_digit()).len();
            let Ok(number) = after[..digits].parse::<u32>() else { continue };
            assert!(number == 0 || last == Some(number - 1), "{number} follows {last:?}");
            last = Some(number);
            variants += 1;
        }
    }
    assert!(variants > 100, "only {variants} numbers were found");
}

#[test]
fn golden_bytes_are_read_back() {
    for (name, entry) in samples::entries() {
        assert_eq!(decode_entry(&encoded(&entry)), Ok(entry), "{name}");
    }
    for (name, record) in samples::records() {
        assert_eq!(decode_records(&encode_records(std::slice::from_ref(&record))), Ok(vec![record]), "{name}");
    }
}

#[test]
fn every_truncation_is_noticed() {
    for (name, entry) in samples::entries() {
        let bytes = encoded(&entry);
        for length in 0..bytes.len() {
            assert!(decode_entry(&bytes[..length]).is_err(), "{name} cut to {length} of {} bytes", bytes.len());
        }
    }
    let records: Vec<_> = samples::records().into_iter().map(|(_, record)| record).collect();
    let bytes = encode_records(&records);
    for length in 0..bytes.len() {
        assert!(decode_records(&bytes[..length]).is_err(), "records cut to {length} of {} bytes", bytes.len());
    }
}

/// A flipped bit may well make another valid entry, which is what checksums are for; it never makes the same one, and
/// it never does harm.
#[test]
fn every_flipped_bit_is_an_error_or_another_entry() {
    for (name, entry) in samples::entries() {
        let mut bytes = encoded(&entry);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode_entry(&bytes) {
                assert_ne!(other, entry, "{name} with bit {bit} flipped");
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn any_bytes_are_an_error_or_an_entry_that_survives() {
    let harmless = |bytes: Vec<u8>| {
        if let Ok(entry) = decode_entry(&bytes) {
            assert_eq!(decode_entry(&encoded(&entry)), Ok(entry));
        }
        if let Ok(records) = decode_records(&bytes) {
            assert_eq!(decode_records(&encode_records(&records)), Ok(records));
        }
        Ok(())
    };
    runner().run(&vec(any::<u8>(), 0..400), harmless).unwrap();
}

#[test]
fn any_damage_is_an_error_or_an_entry_that_survives() {
    let harmless = |(entry, damage): (Entry, Vec<(usize, u8)>)| {
        let mut bytes = encoded(&entry);
        let length = bytes.len();
        damage.into_iter().for_each(|(at, byte)| bytes[at % length] = byte);
        if let Ok(other) = decode_entry(&bytes) {
            assert_eq!(decode_entry(&encoded(&other)), Ok(other));
        }
        Ok(())
    };
    runner().run(&(strategies::entry(), vec((any::<usize>(), any::<u8>()), 1..4)), harmless).unwrap();
}

#[test]
fn a_byte_too_many_is_noticed() {
    let (_, entry) = samples::entries().remove(0);
    let mut bytes = encoded(&entry);
    bytes.push(0);
    assert_eq!(decode_entry(&bytes), Err(CodecError::TrailingBytes { what: "entry", bytes: 1 }));
    let mut bytes = encode_records(&[]);
    bytes.extend([0, 0]);
    assert_eq!(decode_records(&bytes), Err(CodecError::TrailingBytes { what: "records", bytes: 2 }));
}

#[test]
fn a_corrupt_length_allocates_nothing() {
    // The runner's id of the first `out_of_bounds` sample, with its length of 6 replaced by 4 GiB.
    let (_, entry) = samples::entries().into_iter().find(|(name, _)| name == "actor runner").unwrap();
    let bytes = encoded(&entry);
    let at = bytes.windows(7).position(|window| window == b"\x06node-1").unwrap();
    let mut corrupt = bytes[..at].to_vec();
    corrupt.extend([252, 0, 0, 0, 240]);
    corrupt.extend(&bytes[at + 1..]);
    assert_eq!(decode_entry(&corrupt), Err(CodecError::TooLarge { what: "entry" }));
    // As many records as there can be, and not one of them.
    let mut corrupt = vec![253];
    corrupt.extend(u64::MAX.to_le_bytes());
    assert_eq!(decode_records(&corrupt), Err(CodecError::Truncated { what: "record" }));
}

#[test]
fn a_variant_without_a_meaning_is_named() {
    let (_, entry) = samples::entries().into_iter().find(|(name, _)| name == "committed destroy").unwrap();
    let mut bytes = encoded(&entry);
    // The last field but two: event count, the event's variant, its text and flag.
    let at = bytes.len() - (1 + 1 + 4 + 1);
    assert_eq!(bytes[at], 5, "the number of Destroyed");
    bytes[at] = 200;
    match decode_entry(&bytes) {
        Err(CodecError::Malformed { what: "entry", why }) => {
            assert!(why.contains("200") && why.contains("Event"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_time_that_does_not_exist_is_not_moved() {
    let (_, entry) = samples::entries().remove(0);
    let entry = Entry { recorded_at: Timestamp::MAX, ..entry };
    let mut bytes = encoded(&entry);
    let zigzag = |micros: i64| ((micros << 1) ^ (micros >> 63)) as u64;
    let max = zigzag(Timestamp::MAX.as_micros()).to_le_bytes();
    let at = bytes.windows(8).position(|window| window == max).unwrap();
    bytes[at..at + 8].copy_from_slice(&zigzag(Timestamp::MAX.as_micros() + 1).to_le_bytes());
    assert!(matches!(decode_entry(&bytes), Err(CodecError::Malformed { what: "entry", .. })));
}

#[test]
fn a_create_shares_the_spec_of_its_event() {
    let (name, entry) = samples::entries().remove(0);
    assert_eq!(name, "committed create");
    let decoded = decode_entry(&encoded(&entry)).unwrap();
    let EntryBody::Committed(Committed { command, events, .. }) = decoded.body else { panic!("{name}") };
    let (Action::Create { spec: asked }, [Event::Created { spec: recorded, .. }]) = (command.action, &events[..])
    else {
        panic!("{name}")
    };
    assert!(Arc::ptr_eq(&asked, recorded));
}

#[test]
fn a_create_that_refers_to_no_event_is_an_error() {
    let (_, entry) = samples::entries().remove(0);
    let bytes = encoded(&entry);
    let EntryBody::Committed(committed) = entry.body.clone() else { panic!() };
    // Without its event, the create carries the spec itself…
    let alone = Entry { body: EntryBody::Committed(Committed { events: Vec::new(), ..committed }), ..entry };
    assert_eq!(decode_entry(&encoded(&alone)), Ok(alone.clone()));
    // …and one that refers to it nevertheless is refused: variant 14, version 1, no events.
    let at = bytes.windows(3).position(|window| window == [14, 1, 1]).unwrap();
    let mut orphan = bytes[..at + 2].to_vec();
    orphan.push(0);
    assert!(matches!(decode_entry(&orphan), Err(CodecError::Malformed { what: "entry", .. })));
}

#[test]
fn the_largest_entry_that_can_be_decided_is_far_below_the_limit() {
    let text = || "x".repeat(limits::MESSAGE_BYTES_MAX);
    let key = |n: usize| format!("{n:0width$}", width = limits::LABEL_KEY_BYTES_MAX);
    let failure = Failure {
        kind: FailureKind::Other("x".repeat(limits::NAME_BYTES_MAX)),
        message: text(),
        diagnostics: Diagnostics {
            alive: vec![text(); limits::DIAGNOSTICS_MAX],
            last_output: vec![text(); limits::DIAGNOSTICS_MAX],
            likely_cause: Some(text()),
            facts: (0..limits::DIAGNOSTICS_MAX).map(|n| (key(n), text())).collect(),
        },
    };
    let holder = "r".repeat(limits::ACTOR_ID_BYTES_MAX);
    let command =
        command(ids::run(1), Action::Fail { claim: claim(ids::run(1), 1, &holder), failure: failure.clone() });
    assert_eq!(limits::check(&command), Ok(()));
    let recorded = Box::new(crate::domain::Outcome::Failed(failure.clone()));
    let failed =
        Event::Failed { attempt: ids::attempt(1), ordinal: Ordinal(1), runner: RunnerId::new(holder), failure };
    let bodies = [
        EntryBody::Refused(Refused {
            command: RefusedCommand::Whole(Box::new(command.clone())),
            refusal: Refusal::ConflictingTerminal { recorded },
            count: u64::MAX,
        }),
        EntryBody::Committed(Committed { command, version: Version(2), events: vec![failed] }),
    ];
    for body in bodies {
        let entry = Entry {
            id: ids::entry(1),
            position: Position(u64::MAX),
            recorded_at: Timestamp::MAX,
            previous: Some(Position(u64::MAX)),
            body,
        };
        let bytes = encoded(&entry);
        assert!(bytes.len() < DECODED_BYTES_MAX / 4, "{} bytes", bytes.len());
        assert_eq!(decode_entry(&bytes), Ok(entry));
    }
}

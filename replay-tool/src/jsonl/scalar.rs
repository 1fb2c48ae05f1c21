//! Ids, times, digests, counts and names, each in one form only.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};
use tachograph_engine::domain::{
    ActionName, ActorKind, Digest, Finding, Ordinal, Position, RunnerId, StartCause, StatusName, Stream, Version,
    Witness,
};

/// What is written as its text: ids and times.
pub(super) mod text {
    use super::*;

    pub(in crate::jsonl) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(in crate::jsonl) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display> + Display,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        let value: T = text.parse().map_err(D::Error::custom)?;
        // Another spelling of the same, or digits that would be rounded away, cannot be written back as they were.
        if value.to_string() == text { Ok(value) } else { Err(D::Error::custom(format!("expected {value}"))) }
    }

    pub(in crate::jsonl) mod option {
        use super::*;

        pub(in crate::jsonl) fn serialize<T: Display, S: Serializer>(
            value: &Option<T>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => to.collect_str(value),
                None => to.serialize_none(),
            }
        }

        pub(in crate::jsonl) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
        where
            T: FromStr<Err: Display> + Display,
            D: Deserializer<'de>,
        {
            /// So that an absent value is told from one that is wrong.
            #[derive(Deserialize)]
            struct Present<T: FromStr<Err: Display> + Display>(#[serde(with = "super::super::text")] T);
            Ok(Option::<Present<T>>::deserialize(from)?.map(|Present(value)| value))
        }
    }
}

/// Texts that are shared in memory.
pub(super) mod shared {
    use super::*;

    pub(in crate::jsonl) fn serialize<T: AsText, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.as_text())
    }

    pub(in crate::jsonl) fn deserialize<'de, T: AsText, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from).map(T::of)
    }

    pub(in crate::jsonl) trait AsText {
        fn as_text(&self) -> &str;
        fn of(text: String) -> Self;
    }

    impl AsText for Arc<str> {
        fn as_text(&self) -> &str {
            self
        }

        fn of(text: String) -> Self {
            text.into()
        }
    }

    impl AsText for RunnerId {
        fn as_text(&self) -> &str {
            self.as_str()
        }

        fn of(text: String) -> Self {
            Self::new(text)
        }
    }
}

/// Texts by key, of which every key stands there once.
pub(super) fn unique<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Texts;

    impl<'de> Visitor<'de> for Texts {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            let mut texts = BTreeMap::new();
            while let Some((key, value)) = fields.next_entry::<String, String>()? {
                if texts.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("{key:?} stands there twice")));
                }
                texts.insert(key, value);
            }
            Ok(texts)
        }
    }

    from.deserialize_map(Texts)
}

/// 64 hexadecimal digits.
pub(super) mod hex {
    use super::*;

    pub(in crate::jsonl) fn serialize<S: Serializer>(value: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(in crate::jsonl) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom("expected 64 lower-case hexadecimal digits"))
    }

    fn parse(text: &str) -> Option<Digest> {
        let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.as_bytes().iter().all(digits) {
            return None;
        }
        let mut digest = Digest::ZERO;
        for (byte, pair) in digest.0.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(digest)
    }
}

/// What counts.
pub(super) mod count {
    use super::*;

    pub(in crate::jsonl) fn serialize<T: Count, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.number())
    }

    pub(in crate::jsonl) fn deserialize<'de, T: Count, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let number = u64::deserialize(from)?;
        T::of(number).ok_or_else(|| D::Error::custom(format!("{number} is too great")))
    }

    pub(in crate::jsonl) mod option {
        use super::*;

        pub(in crate::jsonl) fn serialize<T: Count, S: Serializer>(
            value: &Option<T>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => to.serialize_u64(value.number()),
                None => to.serialize_none(),
            }
        }

        pub(in crate::jsonl) fn deserialize<'de, T: Count, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<T>, D::Error> {
            let number = Option::<u64>::deserialize(from)?;
            number.map(|number| T::of(number).ok_or_else(|| D::Error::custom("the number is too great"))).transpose()
        }
    }

    pub(in crate::jsonl) trait Count: Sized {
        fn number(&self) -> u64;
        fn of(number: u64) -> Option<Self>;
    }

    macro_rules! counts {
        ($($name:ident)*) => {$(
            impl Count for $name {
                fn number(&self) -> u64 {
                    self.0.into()
                }

                fn of(number: u64) -> Option<Self> {
                    number.try_into().ok().map(Self)
                }
            }
        )*};
    }

    counts!(Position Version Ordinal);
}

/// Names out of a fixed set, as they are shown elsewhere.
pub(super) mod name {
    use super::*;

    pub(in crate::jsonl) fn serialize<T: Name, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.text())
    }

    pub(in crate::jsonl) fn deserialize<'de, T: Name, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        let expected = || D::Error::custom(format!("{:?} is none of {}", super::super::cut(&text), T::texts()));
        T::of(&text).ok_or_else(expected)
    }

    pub(in crate::jsonl) mod list {
        use super::*;

        pub(in crate::jsonl) fn serialize<T: Name, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq(values.iter().map(Name::text))
        }

        pub(in crate::jsonl) fn deserialize<'de, T: Name, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
            #[derive(Deserialize)]
            struct One<T: Name>(#[serde(with = "super::super::name")] T);
            Ok(Vec::<One<T>>::deserialize(from)?.into_iter().map(|One(value)| value).collect())
        }
    }

    pub(in crate::jsonl) trait Name: Sized {
        fn text(&self) -> &'static str;
        fn of(text: &str) -> Option<Self>;
        fn texts() -> String;
    }

    macro_rules! names {
        ($($domain:ident { $($variant:ident)* })*) => {$(
            impl Name for $domain {
                fn text(&self) -> &'static str {
                    match self {
                        $(Self::$variant => Self::$variant.name(),)*
                    }
                }

                fn of(text: &str) -> Option<Self> {
                    [$(Self::$variant),*].into_iter().find(|one| one.name() == text)
                }

                fn texts() -> String {
                    [$(Self::$variant.name()),*].join(", ")
                }
            }
        )*};
    }

    names! {
        ActorKind { Runner Supervisor Operator Timer Recovery }
        ActionName {
            Create Start Wait Exit Fail Destroy ScheduleSnapshot CancelSnapshot DispatchSnapshot CompleteSnapshot
            FailSnapshot DisconnectRunner AmendExit Reconcile
        }
        Finding { Adopted Lost Orphan }
        StartCause { Fresh Resume Restart Takeover }
        StatusName { Created Started Waiting Exited Failed Destroyed }
        Stream { Stdout Stderr }
        Witness { Waited ExitFile Synthesised }
    }
}

//! `RunId` and `Digest`: numbers that a log shows as hexadecimal digits of one length.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! hexadecimal {
    ($(#[$doc:meta])* $name:ident, $number:ty, $digits:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $number);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; $digits];
                for (index, digit) in text.iter_mut().rev().enumerate() {
                    let nibble = (self.0 >> (4 * index)) & 0xf;
                    *digit = b"0123456789abcdef"[usize::try_from(nibble).unwrap_or_default()];
                }
                serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Digits;

                impl Visitor<'_> for Digits {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!($digits, " hexadecimal digits"))
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        let is_whole = text.len() == $digits
                            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                        is_whole
                            .then(|| <$number>::from_str_radix(text, 16).ok())
                            .flatten()
                            .map($name)
                            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
                    }
                }

                deserializer.deserialize_str(Digits)
            }
        }
    };
}

hexadecimal! {
    /// Which run wrote a line: eight hexadecimal digits.
    RunId, u32, 8
}

hexadecimal! {
    /// A digest of a question: sixteen hexadecimal digits.
    Digest, u64, 16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_the_trip_through_json(run: u32, digest: u64) {
            let text = serde_json::to_string(&(RunId(run), Digest(digest))).expect("plain data");
            prop_assert_eq!(&text, &format!("[\"{}\",\"{}\"]", RunId(run), Digest(digest)));
            let back: (RunId, Digest) = serde_json::from_str(&text).expect("its own output");
            prop_assert_eq!(back, (RunId(run), Digest(digest)));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "\"\"",
            "\"0123456\"",
            "\"+1234567\"",
            "\"012345678\"",
            "\"0123456g\"",
            "7",
        ] {
            assert!(serde_json::from_str::<RunId>(text).is_err(), "{text}");
        }
    }
}

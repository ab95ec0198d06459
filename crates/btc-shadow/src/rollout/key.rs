//! Which keys Rust answers for: a bucket for each key, and the keys that a program names.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use btc_iface::rust_bitcoin::hashes::{Hash, HashEngine, sha256};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many buckets there are: a hundred for each percent.
pub(crate) const BUCKETS: u16 = 10_000;

/// What keys are mixed with before they are hashed: 48 bits, twelve hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    const BITS: u32 = 48;
    const DIGITS: usize = 12;

    /// One that no other state has.
    pub(crate) fn random() -> Self {
        Self::of(RandomState::new().build_hasher().finish())
    }

    /// The lower 48 bits of a number.
    pub(crate) const fn of(number: u64) -> Self {
        Self(number & ((1 << Self::BITS) - 1))
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    fn bytes(self) -> [u8; 6] {
        let [_, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// The bucket of a key, from 0 to 9,999: the first eight bytes of the SHA-256 of the salt's
    /// six bytes and the key, as a big-endian number, modulo 10,000. Rust answers for the buckets
    /// below a hundred times the share in percent, so that a higher share only adds keys.
    pub fn bucket(self, key: &str) -> u16 {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.bytes());
        engine.input(key.as_bytes());
        finish(engine)
    }

    /// As [`bucket`](Self::bucket) of the key with its ASCII letters in lower case, since an input
    /// means the same in either.
    pub(crate) fn bucket_of_input(self, input: &str) -> u16 {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.bytes());
        for chunk in input.as_bytes().chunks(64) {
            let mut lower = [0; 64];
            for (to, from) in lower.iter_mut().zip(chunk) {
                *to = from.to_ascii_lowercase();
            }
            engine.input(&lower[..chunk.len()]);
        }
        finish(engine)
    }
}

fn finish(engine: sha256::HashEngine) -> u16 {
    let digest = sha256::Hash::from_engine(engine);
    let first = digest.as_byte_array().first_chunk();
    let number = u64::from_be_bytes(*first.unwrap_or(&[0; 8])) % u64::from(BUCKETS);
    u16::try_from(number).unwrap_or_default()
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0digits$x}", self.0, digits = Self::DIGITS)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_whole =
            text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_whole
            .then(|| u64::from_str_radix(&text, 16).ok())
            .flatten()
            .map(Self::of)
            .ok_or_else(|| D::Error::custom("the salt is not twelve hexadecimal digits"))
    }
}

thread_local! {
    /// The key that the program has named for this thread's calls.
    static NAMED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Names the key of all calls that `run` makes on this thread.
pub(crate) fn with_key<T>(key: &str, run: impl FnOnce() -> T) -> T {
    /// Brings the outer key back, also when `run` panics.
    struct Restore(Option<String>);

    impl Drop for Restore {
        fn drop(&mut self) {
            NAMED.set(self.0.take());
        }
    }

    let _restore = Restore(NAMED.replace(Some(key.to_owned())));
    run()
}

/// What `read` makes of the key that is named for this thread's calls, if there is one.
pub(crate) fn named<T>(read: impl FnOnce(&str) -> T) -> Option<T> {
    NAMED.with_borrow(|key| key.as_deref().map(read))
}

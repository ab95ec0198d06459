//! Answers as Bitcoin Core writes them: amounts with eight decimals, errors with a code.

use bitcoin::hex::DisplayHex;
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// An amount in BTC, written from satoshi without a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Btc(pub(super) u64);

impl Serialize for Btc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}.{:08}", self.0 / 100_000_000, self.0 % 100_000_000);
        RawValue::from_string(text)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

/// A JSON object whose members are written in the order given.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    pub(super) fn with(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let raw = serde_json::value::to_raw_value(&value)
            .expect("answers have texts as keys and no fallible parts");
        self.0.push((name.into(), raw));
        self
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// An answer, as JSON text.
pub(super) type Answer = Result<Box<RawValue>, RpcError>;

/// An answer of anything that can be written.
#[expect(
    clippy::unnecessary_wraps,
    reason = "every method answers with an answer or an error"
)]
pub(super) fn answer(value: impl Serialize) -> Answer {
    Ok(serde_json::value::to_raw_value(&value)
        .expect("answers have texts as keys and no fallible parts"))
}

/// An error with Bitcoin Core's code (its `src/rpc/protocol.h`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: String,
}

impl RpcError {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Bitcoin Core's error codes.
pub(super) mod code {
    pub(in crate::sim) const MISC: i32 = -1;
    pub(in crate::sim) const TYPE: i32 = -3;
    pub(in crate::sim) const NOT_FOUND: i32 = -5;
    pub(in crate::sim) const INVALID_PARAMETER: i32 = -8;
    pub(in crate::sim) const DESERIALIZATION: i32 = -22;
    pub(in crate::sim) const TRANSACTION: i32 = -25;
    pub(in crate::sim) const REJECTED: i32 = -26;
    pub(in crate::sim) const ALREADY_IN_CHAIN: i32 = -27;
    pub(in crate::sim) const WARM_UP: i32 = -28;
    pub(in crate::sim) const METHOD_NOT_FOUND: i32 = -32601;
    pub(in crate::sim) const PARSE: i32 = -32700;
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.to_lower_hex_string()
}

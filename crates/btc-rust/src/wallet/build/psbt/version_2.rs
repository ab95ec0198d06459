//! PSBTs of version 2 (BIP370), turned into the same PSBT of version 0.
//!
//! Both versions are maps of keys and values, and most of these mean the same in both. Version 2
//! has no unsigned transaction: what it consists of is spread over the maps. It is put together
//! here, and everything else is handed on as it is, for rust-bitcoin to read.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bitcoin::consensus::{Decodable, Encodable, encode};
use bitcoin::psbt::raw;
use bitcoin::{
    Amount, OutPoint, Psbt, ScriptBuf, Sequence, TxIn, TxOut, Txid, VarInt, Witness, absolute,
    transaction,
};

use super::MAGIC;

/// The keys that one of the versions alone has, by their type; none of them has further key data.
mod global {
    pub(super) const UNSIGNED_TX: u64 = 0x00;
    pub(super) const TX_VERSION: u64 = 0x02;
    pub(super) const FALLBACK_LOCKTIME: u64 = 0x03;
    pub(super) const INPUT_COUNT: u64 = 0x04;
    pub(super) const OUTPUT_COUNT: u64 = 0x05;
    pub(super) const TX_MODIFIABLE: u64 = 0x06;
    pub(super) const VERSION: u64 = 0xfb;
}

mod input {
    pub(super) const PREVIOUS_TXID: u64 = 0x0e;
    pub(super) const OUTPUT_INDEX: u64 = 0x0f;
    pub(super) const SEQUENCE: u64 = 0x10;
    pub(super) const REQUIRED_TIME_LOCKTIME: u64 = 0x11;
    pub(super) const REQUIRED_HEIGHT_LOCKTIME: u64 = 0x12;
}

mod output {
    pub(super) const AMOUNT: u64 = 0x03;
    pub(super) const SCRIPT: u64 = 0x04;
}

/// Why a PSBT of version 2 is none.
type Said = &'static str;

const CUT_OFF: Said = "it ends in the middle";
pub(super) const TOO_LONG: Said = "there is something behind its end";
const WRONG_SIZE: Said = "a field of version 2 has the wrong size";

/// The version that a PSBT in bytes says it has; 0 if it does not say.
///
/// # Errors
/// It is cut off, or its first map is none.
pub(super) fn version_of(bytes: &[u8]) -> Result<u32, Said> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(CUT_OFF)?;
    let mut map = Map::take(&mut rest)?;
    Ok(map.number_field(global::VERSION)?.unwrap_or(0))
}

/// The same PSBT in version 0.
///
/// # Errors
/// What BIP370 asks for is missing or not so; the inputs' lock times exclude each other; there is
/// something behind the end.
pub(super) fn to_version_0(bytes: &[u8]) -> Result<Vec<u8>, Said> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(CUT_OFF)?;
    let mut head = Map::take(&mut rest)?;
    if head.field(global::VERSION).is_none() || head.field(global::UNSIGNED_TX).is_some() {
        return Err("version 2 has no unsigned transaction");
    }
    let version = head.number_field(global::TX_VERSION)?;
    let version = version.ok_or("it has no transaction version")?;
    let fallback = head.number_field(global::FALLBACK_LOCKTIME)?.unwrap_or(0);
    let inputs = head.count(global::INPUT_COUNT)?;
    let outputs = head.count(global::OUTPUT_COUNT)?;
    // What may still change ends here: version 0 cannot say it.
    if head
        .field(global::TX_MODIFIABLE)
        .is_some_and(|it| it.len() != 1)
    {
        return Err(WRONG_SIZE);
    }

    let (mut spends, mut locks, mut maps) = (Vec::new(), Vec::new(), Vec::new());
    // The counts are the sender's word; the maps are what there is.
    for _ in 0..inputs {
        let mut map = Map::take(&mut rest)?;
        let (spend, lock) = spend(&mut map)?;
        spends.push(spend);
        locks.push(lock);
        maps.push(map);
    }
    let mut pays = Vec::new();
    for _ in 0..outputs {
        let mut map = Map::take(&mut rest)?;
        pays.push(pay(&mut map)?);
        maps.push(map);
    }
    if !rest.is_empty() {
        return Err(TOO_LONG);
    }
    let mut transaction = Vec::new();
    // Field by field: no inputs at all would look like the mark of witnesses.
    put(
        &transaction::Version(version.cast_signed()),
        &mut transaction,
    );
    put(&spends, &mut transaction);
    put(&pays, &mut transaction);
    put(&lock_time(&locks, fallback)?, &mut transaction);

    let mut written = MAGIC.to_vec();
    put(&VarInt(1), &mut written);
    put(&VarInt(global::UNSIGNED_TX), &mut written);
    put(&transaction, &mut written);
    head.write(&mut written);
    for map in maps {
        map.write(&mut written);
    }
    Ok(written)
}

/// Whether a PSBT of version 0 has a field that version 2 alone may have, which rust-bitcoin takes
/// for one that it does not know.
pub(super) fn has_fields_of_version_2(psbt: &Psbt) -> bool {
    let is_any = |unknown: &BTreeMap<raw::Key, Vec<u8>>, kinds: RangeInclusive<u64>| {
        let mut keys = unknown.keys();
        keys.any(|key| kinds.contains(&u64::from(key.type_value)))
    };
    let of_input = input::PREVIOUS_TXID..=input::REQUIRED_HEIGHT_LOCKTIME;
    let of_output = output::AMOUNT..=output::SCRIPT;
    is_any(&psbt.unknown, global::TX_VERSION..=global::TX_MODIFIABLE)
        || psbt
            .inputs
            .iter()
            .any(|it| is_any(&it.unknown, of_input.clone()))
        || psbt
            .outputs
            .iter()
            .any(|it| is_any(&it.unknown, of_output.clone()))
}

/// What an input spends, and the lock times it requires: by time and by height.
type Locks = (Option<u32>, Option<u32>);

fn spend(map: &mut Map<'_>) -> Result<(TxIn, Locks), Said> {
    let txid = map.field(input::PREVIOUS_TXID);
    let txid = txid.ok_or("an input does not say which transaction it spends")?;
    let txid: Txid = encode::deserialize(txid).map_err(|_| WRONG_SIZE)?;
    let vout = map.number_field(input::OUTPUT_INDEX)?;
    let vout = vout.ok_or("an input does not say which output it spends")?;
    let sequence = map.number_field(input::SEQUENCE)?;
    let time = map.number_field(input::REQUIRED_TIME_LOCKTIME)?;
    let height = map.number_field(input::REQUIRED_HEIGHT_LOCKTIME)?;
    if time.is_some_and(|it| it < absolute::LOCK_TIME_THRESHOLD)
        || height.is_some_and(|it| it == 0 || it >= absolute::LOCK_TIME_THRESHOLD)
    {
        return Err("an input requires a lock time of the wrong kind");
    }
    let spend = TxIn {
        previous_output: OutPoint::new(txid, vout),
        script_sig: ScriptBuf::new(),
        sequence: sequence.map_or(Sequence::MAX, Sequence),
        witness: Witness::new(),
    };
    Ok((spend, (time, height)))
}

fn pay(map: &mut Map<'_>) -> Result<TxOut, Said> {
    let value = map.field(output::AMOUNT);
    let value = value.ok_or("an output has no amount")?;
    let value = value.try_into().map_err(|_| WRONG_SIZE)?;
    let value = u64::try_from(i64::from_le_bytes(value));
    let value = value.map_err(|_| "an output has an amount below 0")?;
    let script = map.field(output::SCRIPT);
    Ok(TxOut {
        value: Amount::from_sat(value),
        script_pubkey: script.ok_or("an output has no script")?.to_vec().into(),
    })
}

/// The lock time that all inputs can live with: the latest they require, by height if both kinds
/// would do.
fn lock_time(locks: &[Locks], fallback: u32) -> Result<u32, Said> {
    let required = || {
        locks
            .iter()
            .filter(|(time, height)| time.is_some() || height.is_some())
    };
    let latest = |of: fn(&Locks) -> Option<u32>| -> Option<u32> {
        let all: Option<Vec<u32>> = required().map(of).collect();
        all.and_then(|all| all.into_iter().max())
    };
    if required().next().is_none() {
        return Ok(fallback);
    }
    latest(|it| it.1)
        .or_else(|| latest(|it| it.0))
        .ok_or("its inputs require lock times that exclude each other")
}

/// One map: keys, with their type, and values.
struct Map<'a> {
    pairs: Vec<Pair<'a>>,
}

struct Pair<'a> {
    kind: u64,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Map<'a> {
    fn take(rest: &mut &'a [u8]) -> Result<Self, Said> {
        let mut pairs: Vec<Pair<'a>> = Vec::new();
        loop {
            let key = take_bytes(rest)?;
            if key.is_empty() {
                return Ok(Self { pairs });
            }
            let mut left = key;
            let kind = take_number(&mut left)?;
            let value = take_bytes(rest)?;
            pairs.push(Pair { kind, key, value });
        }
    }

    /// Takes out the value of a key without further data; what it appears twice in stays, for
    /// rust-bitcoin to refuse the duplicate.
    fn field(&mut self, kind: u64) -> Option<&'a [u8]> {
        let is_bare = |pair: &Pair<'_>| pair.kind == kind && pair.key.len() == VarInt(kind).size();
        let place = self.pairs.iter().position(is_bare)?;
        Some(self.pairs.remove(place).value)
    }

    fn number_field(&mut self, kind: u64) -> Result<Option<u32>, Said> {
        let value = self.field(kind).map(<[u8; 4]>::try_from).transpose();
        Ok(value.map_err(|_| WRONG_SIZE)?.map(u32::from_le_bytes))
    }

    fn count(&mut self, kind: u64) -> Result<u64, Said> {
        let mut value = self
            .field(kind)
            .ok_or("it does not say how many inputs and outputs it has")?;
        let count = take_number(&mut value)?;
        if value.is_empty() {
            Ok(count)
        } else {
            Err(WRONG_SIZE)
        }
    }

    fn write(&self, to: &mut Vec<u8>) {
        for pair in &self.pairs {
            put(&pair.key.to_vec(), to);
            put(&pair.value.to_vec(), to);
        }
        to.push(0);
    }
}

fn take_number(rest: &mut &[u8]) -> Result<u64, Said> {
    VarInt::consensus_decode(rest)
        .map(|it| it.0)
        .map_err(|_| CUT_OFF)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Said> {
    let length = usize::try_from(take_number(rest)?).map_err(|_| CUT_OFF)?;
    let (bytes, behind) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
    *rest = behind;
    Ok(bytes)
}

fn put(value: &impl Encodable, to: &mut Vec<u8>) {
    value
        .consensus_encode(to)
        .expect("a Vec takes whatever is written");
}

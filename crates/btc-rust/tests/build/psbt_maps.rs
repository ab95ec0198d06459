//! A PSBT taken apart into its maps, in either version, and put together again.

use std::collections::BTreeMap;

use bitcoin::consensus::encode::{self, serialize};
use bitcoin::{Psbt, Transaction};

/// Keys and values, in the order of the keys.
pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) const MAGIC: &[u8] = b"psbt\xff";

/// A PSBT as its maps: the global one, those of the inputs and those of the outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) global: Map,
    pub(crate) inputs: Vec<Map>,
    pub(crate) outputs: Vec<Map>,
}

fn take_bytes(rest: &mut &[u8]) -> Vec<u8> {
    let (bytes, used) = encode::deserialize_partial(rest).expect("a sound PSBT");
    *rest = &rest[used..];
    bytes
}

fn take_map(rest: &mut &[u8]) -> Map {
    let mut map = Map::new();
    loop {
        let key = take_bytes(rest);
        if key.is_empty() {
            return map;
        }
        let value = take_bytes(rest);
        assert!(map.insert(key, value).is_none(), "no key twice");
    }
}

impl Maps {
    /// The maps of a sound PSBT, in version 2.
    pub(crate) fn version_2(psbt: &Psbt) -> Self {
        let bytes = psbt.serialize();
        let mut rest = &bytes[MAGIC.len()..];
        let mut global = take_map(&mut rest);
        let transaction = global.remove(&vec![0]).expect("version 0 has it");
        let transaction: Transaction = encode::deserialize(&transaction).expect("a transaction");
        let mut inputs: Vec<Map> = Vec::new();
        for spend in &transaction.input {
            let mut map = take_map(&mut rest);
            let outpoint = spend.previous_output;
            map.insert(vec![0x0e], serialize(&outpoint.txid));
            map.insert(vec![0x0f], serialize(&outpoint.vout));
            map.insert(vec![0x10], serialize(&spend.sequence));
            inputs.push(map);
        }
        let mut outputs: Vec<Map> = Vec::new();
        for pay in &transaction.output {
            let mut map = take_map(&mut rest);
            map.insert(vec![0x03], serialize(&pay.value));
            map.insert(vec![0x04], pay.script_pubkey.to_bytes());
            outputs.push(map);
        }
        assert!(rest.is_empty());
        global.insert(vec![0x02], serialize(&transaction.version));
        global.insert(vec![0x03], serialize(&transaction.lock_time));
        global.insert(vec![0x04], vec![inputs.len().try_into().expect("few")]);
        global.insert(vec![0x05], vec![outputs.len().try_into().expect("few")]);
        global.insert(vec![0xfb], serialize(&2_u32));
        Self {
            global,
            inputs,
            outputs,
        }
    }

    /// The maps of a sound PSBT as they are.
    pub(crate) fn version_0(psbt: &Psbt) -> Self {
        let bytes = psbt.serialize();
        let mut rest = &bytes[MAGIC.len()..];
        Self {
            global: take_map(&mut rest),
            inputs: psbt.inputs.iter().map(|_| take_map(&mut rest)).collect(),
            outputs: psbt.outputs.iter().map(|_| take_map(&mut rest)).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let maps = [&self.global].into_iter();
        for map in maps.chain(&self.inputs).chain(&self.outputs) {
            for (key, value) in map {
                bytes.extend(serialize(key));
                bytes.extend(serialize(value));
            }
            bytes.push(0);
        }
        bytes
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

//! The scan of blocks that Core and the peer-to-peer network share: what makes a block relevant.

use std::collections::HashSet;

use bitcoin::bip158::BlockFilter;
use bitcoin::consensus::{Decodable, encode};
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, OutPoint, Script, ScriptBuf, Transaction, Txid, VarInt};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::Follower;
use crate::convert::MAX_BYTES;

/// A serialised block header.
const HEADER_BYTES: usize = 80;
/// A txid and an output number.
const OUTPOINT_BYTES: usize = 36;
/// More scripts than a block can hold.
const MAX_FILTER_ELEMENTS: u64 = 4_000_000;

/// What a wallet looks for in blocks. It only grows during a scan, and says by its extent how far
/// it had grown when a block was examined.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    list: Vec<ScriptBuf>,
    scripts: HashSet<ScriptBuf>,
    outpoints: HashSet<OutPoint>,
}

/// How much was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    scripts: usize,
    outpoints: usize,
}

impl Interest {
    /// Everything this follower looks for now.
    pub(crate) fn of(follower: &dyn Follower) -> Self {
        let mut interest = Self {
            outpoints: follower.owned().into_iter().collect(),
            ..Self::default()
        };
        interest.watch(follower.watched());
        interest
    }

    /// Takes over scripts that are new at the end of the list.
    fn watch(&mut self, watched: &[ScriptBuf]) {
        let new = watched.get(self.list.len()..).unwrap_or_default();
        self.scripts.extend(new.iter().cloned());
        self.list.extend_from_slice(new);
    }

    /// Takes over what the follower has learned from this block.
    pub(crate) fn learn(&mut self, follower: &dyn Follower, block: &Block) {
        self.watch(follower.watched());
        for transaction in &block.txdata {
            self.note(transaction);
        }
    }

    /// Whether the transaction pays one of the scripts or spends one of the outputs; what it pays
    /// is looked for from now on.
    pub(crate) fn concerns(&mut self, transaction: &Transaction) -> bool {
        let mut inputs = transaction.input.iter();
        let spends = inputs.any(|input| self.outpoints.contains(&input.previous_output));
        self.note(transaction) || spends
    }

    fn note(&mut self, transaction: &Transaction) -> bool {
        let mut txid = None;
        for (vout, output) in (0..).zip(&transaction.output) {
            if self.scripts.contains(&output.script_pubkey) {
                let txid = *txid.get_or_insert_with(|| transaction.compute_txid());
                self.outpoints.insert(OutPoint { txid, vout });
            }
        }
        txid.is_some()
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent {
            scripts: self.list.len(),
            outpoints: self.outpoints.len(),
        }
    }

    /// Whether the filter may hold one of the scripts; with `since`, of those that came later.
    ///
    /// # Errors
    /// `InvalidResponse`: not a filter.
    pub(crate) fn matches(
        &self,
        filter: &[u8],
        hash: &BlockHash,
        since: Option<Extent>,
    ) -> BitcoinResult<bool> {
        let from = since.map_or(0, |extent| extent.scripts);
        let scripts = self.list.get(from..).unwrap_or_default();
        // rust-bitcoin takes a missing count for an empty filter, and multiplies it unchecked.
        let count = VarInt::consensus_decode(&mut &filter[..])
            .map_err(|cause| broken("filter").with_source(cause))?;
        if count.0 > MAX_FILTER_ELEMENTS {
            return Err(broken("filter"));
        }
        BlockFilter::new(filter)
            .match_any(hash, scripts.iter().map(|script| script.as_bytes()))
            .map_err(|cause| broken("filter").with_source(cause))
    }

    /// Whether the block's bytes pay one of the scripts or spend one of the outputs. Nothing is
    /// hashed or allocated, so that a block that does not matter costs little.
    ///
    /// # Errors
    /// `InvalidResponse`: not a block.
    pub(crate) fn touches(&self, block: &[u8]) -> BitcoinResult<bool> {
        if block.len() > MAX_BYTES {
            return Err(broken("block"));
        }
        self.walk(block).ok_or_else(|| broken("block"))
    }

    fn walk(&self, block: &[u8]) -> Option<bool> {
        let mut rest = Bytes(block);
        rest.take(HEADER_BYTES)?;
        for _ in 0..rest.count()? {
            rest.take(4)?;
            // BIP144: no inputs and a flag stand for witnesses.
            let has_witness = rest.0.starts_with(&[0, 1]);
            if has_witness {
                rest.take(2)?;
            }
            let inputs = rest.count()?;
            for _ in 0..inputs {
                let spent = rest.take(OUTPOINT_BYTES)?;
                if self.outpoints.contains(&outpoint(spent)?) {
                    return Some(true);
                }
                rest.skip_sized()?;
                rest.take(4)?;
            }
            for _ in 0..rest.count()? {
                rest.take(8)?;
                let length = rest.count()?;
                let script = rest.take(usize::try_from(length).ok()?)?;
                if self.scripts.contains(Script::from_bytes(script)) {
                    return Some(true);
                }
            }
            if has_witness {
                for _ in 0..inputs {
                    for _ in 0..rest.count()? {
                        rest.skip_sized()?;
                    }
                }
            }
            rest.take(4)?;
        }
        rest.0.is_empty().then_some(false)
    }
}

/// Decodes a block and checks that it is the one with this hash, transactions included.
///
/// # Errors
/// `InvalidResponse`: it is not.
pub(crate) fn decode_block(bytes: &[u8], hash: &BlockHash) -> BitcoinResult<Block> {
    let block: Block =
        encode::deserialize(bytes).map_err(|cause| broken("block").with_source(cause))?;
    if block.block_hash() != *hash || !block.check_merkle_root() {
        return Err(broken("block").with_context("hash", hash));
    }
    Ok(block)
}

/// Checks that the bytes begin with the header that has this hash.
///
/// # Errors
/// `InvalidResponse`: they do not.
pub(crate) fn check_header(bytes: &[u8], hash: &BlockHash) -> BitcoinResult<()> {
    let header = bytes.get(..HEADER_BYTES);
    if header.is_some_and(|header| BlockHash::hash(header) == *hash) {
        return Ok(());
    }
    Err(broken("block").with_context("hash", hash))
}

fn broken(what: &str) -> BitcoinError {
    let message = format!("the {what} received is broken or not the one asked for; ask again");
    BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
}

fn outpoint(bytes: &[u8]) -> Option<OutPoint> {
    let (txid, vout) = bytes.split_first_chunk::<32>()?;
    Some(OutPoint {
        txid: Txid::from_byte_array(*txid),
        vout: u32::from_le_bytes(vout.try_into().ok()?),
    })
}

/// What is left to read.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A compact size.
    fn count(&mut self) -> Option<u64> {
        let first = self.take(1)?[0];
        let width = match first {
            0xfd => 2,
            0xfe => 4,
            0xff => 8,
            _ => return Some(u64::from(first)),
        };
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn skip_sized(&mut self) -> Option<()> {
        let length = self.count()?;
        self.take(usize::try_from(length).ok()?).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::encode::serialize;
    use bitcoin::{
        Amount, Sequence, TxIn, TxMerkleNode, TxOut, Witness, absolute, block, transaction,
    };
    use proptest::prelude::*;

    use super::*;

    fn transaction(seed: u8, inputs: u8, outputs: u8, has_witness: bool) -> Transaction {
        let input = |n| TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([seed; 32]), u32::from(n)),
            script_sig: ScriptBuf::from_bytes(vec![n; usize::from(n)]),
            sequence: Sequence::MAX,
            witness: if has_witness && n != 1 {
                Witness::from_slice(&[vec![seed; 71], vec![2; 300], vec![]])
            } else {
                Witness::new()
            },
        };
        let output = |n| TxOut {
            value: Amount::from_sat(u64::from(n)),
            script_pubkey: ScriptBuf::from_bytes(vec![seed, n, 3]),
        };
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: (0..inputs).map(input).collect(),
            output: (0..outputs).map(output).collect(),
        }
    }

    fn block() -> Block {
        let mut txdata = vec![transaction(1, 1, 1, false), transaction(2, 3, 2, true)];
        txdata.push(transaction(3, 2, 255, false));
        txdata.push(transaction(4, 254, 3, true));
        let mut block = Block {
            header: block::Header {
                version: block::Version::TWO,
                prev_blockhash: BlockHash::all_zeros(),
                merkle_root: TxMerkleNode::all_zeros(),
                time: 0,
                bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
                nonce: 0,
            },
            txdata,
        };
        block.header.merkle_root = block.compute_merkle_root().expect("transactions");
        block
    }

    #[test]
    fn every_output_and_every_input_is_seen_in_the_bytes() {
        let block = block();
        let bytes = serialize(&block);
        assert!(!Interest::default().touches(&bytes).expect("a block"));
        for transaction in &block.txdata {
            for output in &transaction.output {
                let mut interest = Interest::default();
                interest.watch(std::slice::from_ref(&output.script_pubkey));
                assert!(interest.touches(&bytes).expect("a block"));
            }
            for input in &transaction.input {
                let mut interest = Interest::default();
                interest.outpoints.insert(input.previous_output);
                assert!(interest.touches(&bytes).expect("a block"));
                interest.outpoints = [OutPoint::new(input.previous_output.txid, 999)].into();
                assert!(!interest.touches(&bytes).expect("a block"));
            }
        }
        for length in (0..bytes.len()).step_by(61) {
            assert!(
                Interest::default().touches(&bytes[..length]).is_err(),
                "{length}"
            );
        }
        let hash = block.block_hash();
        assert!(decode_block(&bytes, &hash).is_ok() && check_header(&bytes, &hash).is_ok());
        let more = [bytes.as_slice(), &[0]].concat();
        assert!(Interest::default().touches(&more).is_err());
        assert!(decode_block(&more, &hash).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn broken_bytes_end_in_an_error_or_are_a_block(
            at in 80_usize..12_000,
            byte: u8,
            noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = serialize(&block());
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            // What is walked through is what rust-bitcoin decodes, but for witness flags that
            // announce no witness.
            let is_decoded = encode::deserialize::<Block>(&bytes).is_ok();
            let is_walked = Interest::default().touches(&bytes).is_ok();
            prop_assert!(is_walked || !is_decoded);
            let _ = Interest::default().touches(&noise);
            let mut interest = Interest::default();
            interest.watch(&[ScriptBuf::new(), ScriptBuf::from_bytes(vec![1])]);
            let _ = interest.matches(&noise, &BlockHash::all_zeros(), None);
        }
    }
}

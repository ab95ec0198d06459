//! The border to rust-bitcoin: consensus bytes to the interface's plain data, and back.

use bitcoin::consensus::{Decodable, encode};
use bitcoin::hashes::{Hash, HashEngine};
use bitcoin::merkle_tree;
use bitcoin::{
    Amount, BlockHash, Sequence, Transaction, TxIn, TxOut, Txid, VarInt, Wtxid, absolute, block,
    transaction,
};
use btc_iface::{BitcoinTransaction, TransactionInput, TransactionOutput};

/// The largest serialised transaction or block that consensus allows, in bytes.
pub(crate) const MAX_BYTES: usize = 4_000_000;

/// The smallest possible transaction: version, no input, no output, lock time.
const MIN_TRANSACTION_BYTES: usize = 10;

/// Why bytes are not the transaction or block they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not follow the consensus serialisation.
    #[error("not a consensus-serialised {what}")]
    Malformed {
        /// `transaction` or `block`.
        what: &'static str,
        /// What rust-bitcoin says.
        source: encode::Error,
    },
    /// Bytes are left over.
    #[error("{count} bytes follow the {what}")]
    TrailingBytes {
        /// `transaction` or `block`.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// More bytes than a block may have.
    #[error("{size} bytes are more than the 4,000,000 that consensus allows")]
    TooLarge {
        /// How many.
        size: usize,
    },
    /// The header hashes to something else than what was asked for.
    #[error("the block's header hashes to {received}, not to {expected}")]
    WrongBlock {
        /// The hash asked for.
        expected: BlockHash,
        /// The hash received.
        received: BlockHash,
    },
    /// The transactions are not those the header commits to.
    #[error("the block's transactions do not belong to the merkle root in its header")]
    WrongMerkleRoot,
    /// The last transactions are repeated, which the merkle root does not show.
    #[error("the block holds a transaction twice")]
    RepeatedTransaction,
}

/// Decodes one transaction. Each byte is read once for the fields and once for each hash.
///
/// # Errors
/// Anything but exactly one transaction in its one canonical serialisation.
pub fn decode_transaction(bytes: &[u8]) -> Result<BitcoinTransaction, DecodeError> {
    let what = "transaction";
    check_size(bytes)?;
    let mut rest = bytes;
    let transaction =
        next_transaction(&mut rest).map_err(|source| DecodeError::Malformed { what, source })?;
    check_end(what, rest)?;
    Ok(transaction)
}

/// Decodes a block and checks that it is the one with this hash, transactions included.
///
/// # Errors
/// As [`decode_transaction`]; also a header with another hash or a foreign merkle root.
pub fn decode_block(
    bytes: &[u8],
    expected: BlockHash,
) -> Result<Vec<BitcoinTransaction>, DecodeError> {
    let what = "block";
    check_size(bytes)?;
    let malformed = |source| DecodeError::Malformed { what, source };
    let mut rest = bytes;
    let header = block::Header::consensus_decode(&mut rest).map_err(malformed)?;
    let received = header.block_hash();
    if received != expected {
        return Err(DecodeError::WrongBlock { expected, received });
    }
    let count = VarInt::consensus_decode(&mut rest).map_err(malformed)?.0;
    // The count is the sender's word: no more room than the bytes can fill.
    let room = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(rest.len() / MIN_TRANSACTION_BYTES);
    let mut transactions = Vec::with_capacity(room);
    for _ in 0..count {
        let mut transaction = next_transaction(&mut rest).map_err(malformed)?;
        transaction.block_hash = Some(expected);
        transactions.push(transaction);
    }
    check_end(what, rest)?;
    let hashes = transactions
        .iter()
        .map(|transaction| transaction.txid.to_raw_hash());
    let merkle_root = merkle_tree::calculate_root(hashes);
    if merkle_root != Some(header.merkle_root.to_raw_hash()) {
        return Err(DecodeError::WrongMerkleRoot);
    }
    // Repeating the last transactions can leave the root as it is (CVE-2012-2459).
    if let [others @ .., last] = &transactions[..]
        && others.iter().any(|other| other.txid == last.txid)
    {
        return Err(DecodeError::RepeatedTransaction);
    }
    Ok(transactions)
}

/// Serialises a transaction from its fields, or says which identifier does not belong to them.
pub fn encode_transaction(transaction: &BitcoinTransaction) -> Result<Vec<u8>, WrongIdentifier> {
    let assembled = Transaction {
        version: transaction::Version(transaction.version),
        lock_time: absolute::LockTime::from_consensus(transaction.lock_time),
        input: transaction
            .inputs
            .iter()
            .map(|input| TxIn {
                previous_output: input.previous_output,
                script_sig: input.script_sig.clone(),
                sequence: Sequence(input.sequence),
                witness: input.witness.clone(),
            })
            .collect(),
        output: transaction
            .outputs
            .iter()
            .map(|output| TxOut {
                value: Amount::from_sat(output.value_sat),
                script_pubkey: output.script_pubkey.clone(),
            })
            .collect(),
    };
    let txid = assembled.compute_txid();
    if txid != transaction.txid {
        return Err(WrongIdentifier {
            name: "txid",
            actual: txid.to_string(),
        });
    }
    let wtxid = assembled.compute_wtxid();
    if wtxid != transaction.wtxid {
        return Err(WrongIdentifier {
            name: "wtxid",
            actual: wtxid.to_string(),
        });
    }
    Ok(encode::serialize(&assembled))
}

/// An identifier that does not belong to a transaction's fields.
#[derive(Debug, thiserror::Error)]
#[error("the {name} does not belong to the transaction's fields, which give {actual}")]
pub struct WrongIdentifier {
    name: &'static str,
    actual: String,
}

fn check_size(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() > MAX_BYTES {
        return Err(DecodeError::TooLarge { size: bytes.len() });
    }
    Ok(())
}

fn check_end(what: &'static str, rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(DecodeError::TrailingBytes {
        what,
        count: rest.len(),
    })
}

/// Reads the transaction at the front of `rest` and moves `rest` behind it.
fn next_transaction(rest: &mut &[u8]) -> Result<BitcoinTransaction, encode::Error> {
    let before = *rest;
    let decoded = Transaction::consensus_decode_from_finite_reader(rest)?;
    let raw = &before[..before.len() - rest.len()];
    let base_size = decoded.base_size();
    let wtxid = Wtxid::from_raw_hash(bitcoin::hashes::sha256d::Hash::hash(raw));
    let txid = txid_of(raw, base_size, wtxid);
    let fits = "raw is at most 4,000,000 bytes long, and the weight at most four times that";
    let size = u32::try_from(raw.len()).expect(fits);
    let weight = u32::try_from(base_size * 3 + raw.len()).expect(fits);
    Ok(BitcoinTransaction {
        txid,
        wtxid,
        version: decoded.version.0,
        lock_time: decoded.lock_time.to_consensus_u32(),
        // The input and output types have the layout of rust-bitcoin's: the vectors are reused.
        inputs: decoded
            .input
            .into_iter()
            .map(|input| TransactionInput {
                previous_output: input.previous_output,
                script_sig: input.script_sig,
                sequence: input.sequence.0,
                witness: input.witness,
            })
            .collect(),
        outputs: decoded
            .output
            .into_iter()
            .map(|output| TransactionOutput {
                value_sat: output.value.to_sat(),
                script_pubkey: output.script_pubkey,
            })
            .collect(),
        size,
        weight,
        fee_sat: None,
        block_hash: None,
        block_height: None,
    })
}

/// The txid straight from the serialised bytes: with a witness (BIP144), all of them but marker,
/// flag and witnesses. Decoding has established that the serialisation is canonical.
fn txid_of(raw: &[u8], base_size: usize, wtxid: Wtxid) -> Txid {
    const VERSION_BYTES: usize = 4;
    const MARKER_AND_FLAG_BYTES: usize = 2;
    const LOCK_TIME_BYTES: usize = 4;
    if raw.len() == base_size {
        return Txid::from_raw_hash(wtxid.to_raw_hash());
    }
    let body = VERSION_BYTES + MARKER_AND_FLAG_BYTES;
    let body_bytes = base_size - VERSION_BYTES - LOCK_TIME_BYTES;
    let mut engine = Txid::engine();
    engine.input(&raw[..VERSION_BYTES]);
    engine.input(&raw[body..body + body_bytes]);
    engine.input(&raw[raw.len() - LOCK_TIME_BYTES..]);
    Txid::from_engine(engine)
}

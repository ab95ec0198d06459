//! Handing a transaction to peers, and finding out whether they keep it.
//!
//! A peer never says why it does not keep a transaction, and may have relayed it before it says
//! that it has none. So the word of one peer is no refusal: the outcome is `Rejected` only when at
//! least two peers were handed the transaction, all that were asked could be, and none has it.
//! Else what did not succeed is unknown, unless no peer could be reached at all.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::errors::failed;
use super::failure::Failure;
use super::peers::Peers;

/// When one peer has the transaction, how long is waited until the others have it, too.
const GRACE: Duration = Duration::from_secs(5);
/// How many peers that do not keep a transaction are a refusal.
const MIN_REFUSALS: usize = 2;

/// What became of a transaction at one peer.
enum Fate {
    Kept,
    /// It was handed over, and the peer says that it does not have it.
    NotKept,
    /// It may have been handed over.
    Unclear,
    /// It was not handed over.
    Unreached(BitcoinError),
}

/// Hands the transaction to all of these peers, since one alone may keep it to itself.
pub(super) fn hand_over(
    peers: &Arc<Peers>,
    addresses: &[String],
    transaction: &Transaction,
) -> BitcoinResult<Txid> {
    let (answer, answers) = mpsc::channel();
    let transaction = Arc::new(transaction.clone());
    for address in addresses {
        let (peers, address) = (Arc::clone(peers), address.clone());
        let (answer, transaction) = (answer.clone(), Arc::clone(&transaction));
        thread::spawn(move || {
            // The receiver may have enough.
            let _ = answer.send(offer(&peers, &address, &transaction));
        });
    }
    drop(answer);
    let mut kept_at = None;
    let (mut refusals, mut is_unclear, mut unreached) = (0, false, None);
    loop {
        let told = match kept_at {
            None => answers.recv().ok(),
            Some(at) => {
                let left = GRACE.saturating_sub(Instant::duration_since(&Instant::now(), at));
                answers.recv_timeout(left).ok()
            }
        };
        match told {
            None => break,
            Some(Fate::Kept) => kept_at = kept_at.or_else(|| Some(Instant::now())),
            Some(Fate::NotKept) => refusals += 1,
            Some(Fate::Unclear) => is_unclear = true,
            Some(Fate::Unreached(error)) => unreached = Some(error),
        }
    }
    match unreached {
        _ if kept_at.is_some() => Ok(transaction.compute_txid()),
        Some(error) if refusals == 0 && !is_unclear => {
            Err(error.during(Operation::BroadcastTransaction))
        }
        None if refusals >= MIN_REFUSALS && !is_unclear => Err(refused(&transaction)),
        _ => Err(unknown(&transaction)),
    }
}

fn offer(peers: &Peers, address: &str, transaction: &Transaction) -> Fate {
    let txid = transaction.compute_txid();
    let has = || -> Result<bool, Failure> {
        // A new connection each time: a peer hands out what it had when the connection began.
        Ok(peers.open(address)?.lacking(&[txid])?.is_empty())
    };
    match has() {
        Ok(true) => return Fate::Kept,
        Ok(false) => {}
        Err(failure) => {
            let failure = peers.blame(address, failure);
            return Fate::Unreached(failed(address, &failure));
        }
    }
    let mut open = match peers.open(address) {
        Ok(open) => open,
        Err(failure) => return Fate::Unreached(failed(address, &failure)),
    };
    match open.hand_over(transaction).and_then(|()| has()) {
        Ok(true) => Fate::Kept,
        Ok(false) => Fate::NotKept,
        Err(_) => Fate::Unclear,
    }
}

fn refused(transaction: &Transaction) -> BitcoinError {
    let message = "the peers took the transaction and did not keep it, without a reason; check \
                   its inputs, signatures and fee";
    BitcoinError::new(
        ErrorKind::Rejected,
        Operation::BroadcastTransaction,
        message,
    )
    .with_context("txid", transaction.compute_txid())
}

fn unknown(transaction: &Transaction) -> BitcoinError {
    let message = "no peer has confirmed that it has the transaction; the outcome is unknown, \
                   look for it before sending it again";
    BitcoinError::new(ErrorKind::Timeout, Operation::BroadcastTransaction, message)
        .with_context("txid", transaction.compute_txid())
}

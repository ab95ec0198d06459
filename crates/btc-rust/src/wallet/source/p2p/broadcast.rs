//! Handing a transaction to configured peers, and finding out whether they keep it.

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::errors::failed;
use super::failure::Failure;
use super::peers::Peers;

/// Hands the transaction to one of these peers after the other until one has it; to all of them
/// when the user did not name them, since one alone may keep it to itself.
pub(super) fn hand_over(
    peers: &Peers,
    addresses: &[String],
    transaction: &Transaction,
) -> BitcoinResult<Txid> {
    let txid = transaction.compute_txid();
    let has = |address: &str| -> Result<bool, Failure> {
        // A new connection each time: a peer hands out what it had when the connection began.
        Ok(peers.open(address)?.lacking(&[txid])?.is_empty())
    };
    let mut unreached = None;
    let (mut is_taken, mut is_refused, mut is_unknown) = (false, false, false);
    for address in addresses {
        match has(address) {
            Ok(true) => is_taken = true,
            Ok(false) => {
                let handed = peers
                    .open(address)
                    .and_then(|mut open| open.hand_over(transaction));
                match handed.and_then(|()| has(address)) {
                    Ok(true) => is_taken = true,
                    Ok(false) => is_refused = true,
                    Err(_) => is_unknown = true,
                }
            }
            Err(failure) => unreached = Some(failed(address, failure)),
        }
        if is_taken && !peers.are_found() {
            break;
        }
    }
    match unreached {
        _ if is_taken => Ok(txid),
        _ if is_unknown => Err(unknown(transaction)),
        Some(error) if !is_refused => Err(error.during(Operation::BroadcastTransaction)),
        _ => Err(refused(transaction)),
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

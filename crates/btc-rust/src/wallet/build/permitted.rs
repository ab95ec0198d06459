//! Which coins a request may spend, and the version of a transaction that spends them.

use std::collections::{BTreeSet, HashMap, HashSet};

use bitcoin::{OutPoint, Txid};
use btc_iface::{BitcoinResult, CoinState, SnapshotCoin, TransactionRequest};

use super::pending::{Below, MAX_TRUC_CHILD_WEIGHT_WU, Pending, TRUC_VERSION};
use super::request::{Candidate, Hold};
use super::select::Choice;
use super::weight::MAX_STANDARD_WEIGHT_WU;
use super::wrong;

/// The coins that must be spent, and those that may be.
pub(super) struct Permitted {
    pub(super) required: Vec<SnapshotCoin>,
    /// The unconfirmed transactions that required coins come from.
    pub(super) unconfirmed: BTreeSet<Txid>,
    pub(super) confirmed: Vec<Choice>,
    pub(super) pending: Vec<SnapshotCoin>,
}

/// The version of a transaction that spends coins of these unconfirmed transactions, and the most
/// that it may weigh in WU.
///
/// # Errors
/// `InvalidInput`: one of them is of version 3, and nodes take no such child of it.
pub(super) fn version_of(
    unconfirmed: &BTreeSet<Txid>,
    pending: &Pending<'_>,
) -> BitcoinResult<(i32, u64)> {
    let is_truc = |txid: &&Txid| {
        pending
            .get(**txid)
            .is_some_and(|it| it.version == TRUC_VERSION)
    };
    let Some(txid) = unconfirmed.iter().find(is_truc) else {
        return Ok((2, MAX_STANDARD_WEIGHT_WU));
    };
    let reason = if unconfirmed.len() > 1 {
        "its coins are not mixed with those of other unconfirmed transactions"
    } else if pending.has_child(*txid) {
        "it has a child already, and nodes take one"
    } else if pending.with(&Below::default(), *txid).ancestors() > 1 {
        "it is a child already, and nodes take no child of that"
    } else {
        return Ok((TRUC_VERSION, MAX_TRUC_CHILD_WEIGHT_WU));
    };
    let message = format!(
        "a coin comes from an unconfirmed transaction of version 3 (BIP431): {reason}; wait until \
         it is confirmed, or choose other coins"
    );
    Err(wrong(message).with_context("txid", txid))
}

/// Sorts the coins by what the request says of them.
///
/// # Errors
/// `InvalidInput`: a named coin that may not be spent.
pub(super) fn permitted(
    coins: &[Candidate],
    request: &TransactionRequest,
) -> BitcoinResult<Permitted> {
    if request.only_coins && request.coins.is_empty() {
        return Err(wrong(
            "only the named coins, and none is named; name one at least",
        ));
    }
    let avoid: HashSet<&OutPoint> = request.avoid.iter().collect();
    let mut named: HashSet<&OutPoint> = HashSet::new();
    let mut permitted = Permitted {
        required: Vec::with_capacity(request.coins.len()),
        unconfirmed: BTreeSet::new(),
        confirmed: Vec::new(),
        pending: Vec::new(),
    };
    if !request.coins.is_empty() {
        let known: HashMap<&OutPoint, &Candidate> =
            coins.iter().map(|it| (&it.coin.outpoint, it)).collect();
        for outpoint in &request.coins {
            let fail = |what: &str| Err(wrong(what).with_context("outpoint", outpoint));
            let Some(candidate) = known.get(outpoint) else {
                return fail("not an unspent coin of the wallet; name one of its own");
            };
            if candidate.hold == Some(Hold::Reserved) {
                return fail(
                    "the coin is another transaction's; if that one is not sent yet, release the coin \
                     (btc utxo unlock), if it is missing, see btc rebroadcast, cancel and abandon",
                );
            }
            if candidate.state == CoinState::Immature {
                return fail(
                    "the coin is a coinbase output with fewer than 100 confirmations; wait for them",
                );
            }
            if avoid.contains(outpoint) {
                return fail("the coin is named to be spent and to be avoided; drop one");
            }
            if !named.insert(outpoint) {
                return fail("the coin is named twice; name it once");
            }
            permitted.required.push(candidate.coin);
            if candidate.state != CoinState::Confirmed {
                permitted.unconfirmed.insert(outpoint.txid);
            }
        }
    }
    if request.only_coins {
        return Ok(permitted);
    }
    for it in coins {
        let outpoint = &it.coin.outpoint;
        if it.hold.is_some() || avoid.contains(outpoint) || named.contains(outpoint) {
            continue;
        }
        match it.state {
            CoinState::Confirmed => permitted.confirmed.push(Choice {
                coin: it.coin,
                height: it.height,
            }),
            CoinState::TrustedPending => permitted.pending.push(it.coin),
            _ => {}
        }
    }
    Ok(permitted)
}

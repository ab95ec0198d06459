//! Own payments on the moving chain: forgotten by the node, sent again, given up and replaced; and
//! what both sides say of each.

use std::collections::BTreeSet;

use btc::bitcoin::consensus::encode;
use btc::bitcoin::{Amount, ScriptBuf, Txid};
use btc::rust::wallet::reservations::{Reservations, now_ms};
use btc::shadow::compare::Difference;
use btc::shadow::parity::Random;
use btc::{
    BitcoinError, BitcoinInterface, BitcoinResult, BitcoinTransaction, BroadcastVerdict, ErrorKind,
    FeeRate, PaymentState, WalletInterface, WalletSnapshot, WalletTwin,
};
use btc_regtest::{Chain, Node};
use serde_json::{Value, json};

use super::super::{Pair, Tally};
use super::{Counts, difference, next_address, send, spend};
use crate::exit::{Code, Failure};

/// What the node is told, so that its mempool can be made to forget.
pub(in super::super) const FORGETFUL: [&str; 2] = ["-persistmempool=0", "-mempoolexpiry=1"];
/// More than that hour, in seconds.
const AN_HOUR_LATER: u64 = 3_700;

const OPEN: [PaymentState; 2] = [PaymentState::InMempool, PaymentState::Missing];

/// The node forgets its mempool: it restarts, or all of it has become too old.
pub(super) fn forget(
    chain: &mut Chain<'_>,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<&'static str, Failure> {
    let node = chain.node();
    if random.once_in(4) {
        node.restart()?;
        counts.restarts += 1;
        return Ok("a restart");
    }
    let script = ScriptBuf::new_op_return([7; 4]);
    // What is too old goes when something comes.
    let other = chain.spend_to(&script, Amount::ZERO)?;
    let later = now_ms() / 1_000 + AN_HOUR_LATER;
    let _: Value = node.call("setmocktime", &[json!(later)])?;
    let sent = send(node, &other);
    let _: Value = node.call("setmocktime", &[json!(0)])?;
    sent?;
    counts.forgotten += 1;
    Ok("a mempool that forgot")
}

/// Sees to it that there is an open payment if there can be one; often with a descendant.
pub(super) fn make_open(
    chain: &mut Chain<'_>,
    pair: &Pair,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<(), Failure> {
    if in_states(pair, &OPEN)?.is_empty() {
        let outputs = (0..2)
            .map(|_| Ok((next_address(pair, random)?, Amount::from_sat(500_000))))
            .collect::<BitcoinResult<Vec<_>>>()?;
        chain.pay(&outputs, 3)?;
        chain.mine(1)?;
        spend(pair, random, tally)?;
        if random.once_in(2) {
            child(pair, random, tally)?;
        }
    }
    Ok(())
}

/// Sees to it that a payment is missing if one can be.
pub(super) fn make_missing(
    chain: &mut Chain<'_>,
    pair: &Pair,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<(), Failure> {
    make_open(chain, pair, random, tally)?;
    if in_states(pair, &[PaymentState::Missing])?.is_empty() {
        forget(chain, random, &mut tally.live)?;
    }
    Ok(())
}

/// Missing payments are sent again: by a user, or by either side when their time has come.
pub(super) fn again(
    pair: &Pair,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<&'static str, Failure> {
    let missing = in_states(pair, &[PaymentState::Missing])?;
    if missing.is_empty() {
        return Ok("nothing to send again");
    }
    if random.once_in(3) {
        pair.wallet.rebroadcast(None)?;
    } else {
        let mut reservations = Reservations::open(&pair.dir)?;
        let booking = reservations.begin(now_ms())?;
        for txid in &missing {
            booking.set_next_broadcast(*txid, now_ms())?;
        }
        booking.commit()?;
        if random.once_in(2) {
            pair.rust.get_balance()?;
        } else {
            pair.python.get_balance()?;
        }
    }
    let left = in_states(pair, &[PaymentState::Missing])?.len();
    counts.sent_again += u64::try_from(missing.len().saturating_sub(left)).unwrap_or_default();
    Ok("sending again")
}

/// A user gives a missing payment up.
pub(super) fn give_up(
    pair: &Pair,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<&'static str, Failure> {
    let Some(txid) = one_of(random, &in_states(pair, &[PaymentState::Missing])?) else {
        return Ok("nothing to give up");
    };
    pair.wallet.abandon(txid)?;
    counts.given_up += 1;
    Ok("giving up")
}

/// A child of a payment, which is a descendant for later replacements.
pub(super) fn child(
    pair: &Pair,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<&'static str, Failure> {
    let Some(txid) = one_of(random, &in_states(pair, &[PaymentState::InMempool])?) else {
        return Ok("nothing to help");
    };
    let rate = FeeRate::from_sat_per_vb(random.between(2, 60));
    match pair.wallet.accelerate(txid, rate) {
        Ok(psbt) => {
            let child = complete(pair, psbt)?;
            hand_over(pair, random, tally, &child, true)?;
            tally.live.children += 1;
            Ok("a child")
        }
        Err(error) => refused(error, "a refused child"),
    }
}

/// A payment is replaced by one that pays more, or back to the wallet.
pub(super) fn replace(
    node: &Node,
    pair: &Pair,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<&'static str, Failure> {
    let Some(txid) = one_of(random, &in_states(pair, &OPEN)?) else {
        return Ok("nothing to replace");
    };
    let is_there = in_states(pair, &[PaymentState::InMempool])?.contains(&txid);
    let is_cancel = random.once_in(3);
    let rate = FeeRate::from_sat_per_vb(random.between(5, 80));
    let attempt = |drops: &[Txid]| {
        if is_cancel {
            return pair.wallet.cancel(txid, None, drops);
        }
        match pair.wallet.bump_fee(txid, rate, drops) {
            Err(error) => match context(&error, "min_fee_rate_sat_per_kvb") {
                Some(least) => {
                    let least = FeeRate::from_sat_per_kvb(least.parse().unwrap_or_default());
                    pair.wallet.bump_fee(txid, least, drops)
                }
                None => Err(error),
            },
            built => built,
        }
    };
    let lost = lost_with(node, pair, txid, is_there)?;
    let mut built = attempt(&[]);
    let named = built
        .as_ref()
        .err()
        .and_then(|it| context(it, "descendants"));
    if let Some(names) = named {
        let drops: BTreeSet<Txid> = names.split(',').filter_map(|it| it.parse().ok()).collect();
        if is_there && !lost.is_subset(&drops) {
            let found = difference("descendants", format!("{drops:?}"), format!("{lost:?}"));
            tally.add("a replacement", vec![found]);
        }
        tally.live.descendants += 1;
        if random.once_in(2) {
            built = attempt(&drops.into_iter().collect::<Vec<_>>());
            tally.live.drops += u64::from(built.is_ok());
        }
    } else if built.is_ok() && !lost.is_empty() {
        let found = difference("descendants", "none".to_owned(), format!("{lost:?}"));
        tally.add("a replacement", vec![found]);
    }
    let psbt = match built {
        Ok(psbt) => psbt,
        Err(error) => return refused(error, "a refused replacement"),
    };
    let replacement = complete(pair, psbt)?;
    hand_over(pair, random, tally, &replacement, is_there)?;
    if is_cancel {
        tally.live.cancels += 1;
        return Ok("a cancellation");
    }
    tally.live.bumps += 1;
    Ok("a bump")
}

/// Either side hands over what both say may be; where `must_go`, the node takes it, too.
fn hand_over(
    pair: &Pair,
    random: &mut Random,
    tally: &mut Tally,
    transaction: &BitcoinTransaction,
    must_go: bool,
) -> Result<(), Failure> {
    let bytes = btc::rust::encode_transaction(transaction)
        .map_err(|cause| Failure::Other(Code::Failed, cause.to_string()))?;
    tally.add("before handing over", compare_words(pair, &bytes)?);
    // Sometimes it stays built.
    if random.once_in(8) {
        return Ok(());
    }
    let side = if random.once_in(2) {
        &pair.rust
    } else {
        &pair.python
    };
    match side.broadcast_transaction(transaction) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Rejected && !must_go => Ok(()),
        Err(error) if error.kind() == ErrorKind::Rejected => {
            let found = difference("broadcast", "built".to_owned(), error.to_string());
            tally.add("handing over", vec![found]);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// What both sides would build on, and what they say of each payment that is not settled.
pub(super) fn compare(pair: &Pair, counts: &mut Counts) -> BitcoinResult<Vec<Difference>> {
    let [rust, python] = [pair.rust.snapshot()?, pair.python.snapshot()?].map(sorted);
    let mut found = Vec::new();
    if rust != python {
        let show = |it: &WalletSnapshot| serde_json::to_string(it).unwrap_or_default();
        found.push(difference("snapshot", show(&rust), show(&python)));
    }
    let mut reservations = Reservations::open(&pair.dir)?;
    let booking = reservations.begin(now_ms())?;
    let payments = booking.payments(i64::MAX)?;
    let all = payments
        .keys()
        .map(|txid| booking.payment_transaction(*txid));
    let all: Vec<_> = all.collect::<BitcoinResult<_>>()?;
    // The sides need the file.
    drop(booking);
    for transaction in all.into_iter().flatten() {
        counts.judged += 1;
        found.extend(compare_words(pair, &encode::serialize(&transaction))?);
    }
    Ok(found)
}

fn compare_words(pair: &Pair, bytes: &[u8]) -> BitcoinResult<Vec<Difference>> {
    let sides = [&pair.rust, &pair.python];
    let [rust, python] = sides.map(|side| side.check_broadcast(bytes));
    let (rust, python) = (rust?, python?);
    let is_refused = rust.verdict == BroadcastVerdict::Refused;
    // The reason begins with its name, and the sides end it in their own words.
    let name = |reason: &Option<String>| {
        let reason = reason.as_deref().unwrap_or_default();
        reason
            .split([':', ','])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let is_same = rust.txid == python.txid
        && rust.verdict == python.verdict
        && (!is_refused || name(&rust.reason) == name(&python.reason));
    let differs = || difference("payment", format!("{rust:?}"), format!("{python:?}"));
    Ok((!is_same).then(differs).into_iter().collect())
}

fn sorted(mut snapshot: WalletSnapshot) -> WalletSnapshot {
    snapshot.coins.sort_by_key(|coin| coin.outpoint);
    snapshot
}

/// The wallet's payments that the node drops with this one.
fn lost_with(
    node: &Node,
    pair: &Pair,
    txid: Txid,
    is_there: bool,
) -> Result<BTreeSet<Txid>, Failure> {
    if !is_there {
        return Ok(BTreeSet::new());
    }
    let below: BTreeSet<Txid> = node.call("getmempooldescendants", &[json!(txid)])?;
    let own: BTreeSet<Txid> = in_states(pair, &OPEN)?.into_iter().collect();
    Ok(below.intersection(&own).copied().collect())
}

/// The payments of the wallet in these states, by the chain as it is now.
fn in_states(pair: &Pair, states: &[PaymentState]) -> BitcoinResult<Vec<Txid>> {
    pair.wallet.follow()?;
    let history = pair.wallet.history()?;
    let found = history
        .iter()
        .filter(|entry| entry.sent_sat > 0 && states.contains(&entry.state));
    Ok(found.map(|entry| entry.txid).collect())
}

fn one_of(random: &mut Random, txids: &[Txid]) -> Option<Txid> {
    let count = u64::try_from(txids.len()).ok().filter(|count| *count > 0)?;
    let number = usize::try_from(random.word() % count).ok()?;
    txids.get(number).copied()
}

fn complete(pair: &Pair, mut psbt: btc::bitcoin::Psbt) -> BitcoinResult<BitcoinTransaction> {
    pair.wallet.sign_psbt(&mut psbt)?;
    pair.wallet.finalize_psbt(&mut psbt)?;
    pair.wallet.extract_psbt(&psbt, true)
}

/// What a user asks for may be refused: too few coins, nothing to pay for, replaced already.
fn refused(error: BitcoinError, what: &'static str) -> Result<&'static str, Failure> {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Rejected => Ok(what),
        _ => Err(error.into()),
    }
}

fn context(error: &BitcoinError, name: &str) -> Option<String> {
    let mut all = error.context().iter();
    let found = all.find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}

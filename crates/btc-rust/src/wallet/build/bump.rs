//! Replacing an unconfirmed transaction by one that pays more (BIP125).

use std::collections::HashSet;

use bitcoin::{OutPoint, Transaction, TxOut};
use btc_iface::{BitcoinError, BitcoinResult, Chain, CoinState, FeeRate, SnapshotCoin};

use super::cover::{Needs, Rest, Split, Taken};
use super::deterministic::{check_distinct, deterministic_order};
use super::draft::{Change, ChangePlace, Draft, lock_time_at, output, unsigned};
use super::pending::{Below, MAX_TRUC_CHILD_WEIGHT_WU, MAX_TRUC_WEIGHT_WU, Pending, TRUC_VERSION};
use super::relay::{MAX_EVICTED, MempoolEntry, RelayRules, Rules};
use super::request::{Funds, check_rate};
use super::select::is_economic;
use super::weight::MAX_STANDARD_WEIGHT_WU;
use super::{internal, wrong};
use crate::wallet::keys::Keyring;

/// The highest sequence number that signals replacement (BIP125).
const MAX_REPLACEABLE_SEQUENCE: u32 = 0xffff_fffd;

/// An unconfirmed transaction of the wallet.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// As it was sent.
    pub transaction: &'a Transaction,
    /// The coin of each of its inputs, in their order.
    pub inputs: &'a [SnapshotCoin],
    /// Its change, when it has some: what may be lowered or dropped.
    pub change: Option<Change>,
    /// Its descendants in the mempool. They go when it is replaced.
    pub descendants: &'a [MempoolEntry],
    /// What spends its coins in its stead while it is not in the mempool, and what descends from
    /// that: they go as well.
    pub rivals: &'a [MempoolEntry],
}

/// What a replacement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Pays the same, from change that is lowered or coins that are added.
    RaiseFee,
    /// Pays its only recipient less; there is no change, and no coin is added.
    LowerRecipient,
    /// Pays everything back to the wallet.
    Cancel,
}

/// What a replacement shall pay, and how nodes judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What it does.
    pub purpose: Purpose,
    /// The fee rate; `None` for the least that nodes take.
    pub fee_rate: Option<FeeRate>,
    /// What nodes ask for.
    pub relay: RelayRules,
    /// Accept a rate above the highest.
    pub allow_high_fee: bool,
}

/// Drafts the replacement of `original`. `funds.pending` has its unconfirmed ancestors.
///
/// # Behavior
/// - The inputs and the order stay. Recipients stay too; change is lowered, or dropped when it
///   would be dust; where that is not enough, confirmed coins of `funds` that nobody holds are
///   added, the largest first, and `funds.change` is where change goes that was not there before.
/// - A transaction that pays nobody else keeps an output, and so does one that is cancelled.
/// - It pays what the original and its descendants paid and the incremental rate for its own size
///   at least, at a higher rate than the original, and improves what miners earn whatever part of
///   it they take (BIP125, rules 3 and 4; Bitcoin Core since version 31). It pays the same for the
///   original's rivals: some nodes have the one, some the others.
/// - The deficit of unconfirmed ancestors at the rate is paid too.
///
/// # Errors
/// `InvalidInput`: the original cannot be replaced, or not all its inputs are the wallet's; a fee
/// rate of 0 or above `funds.max_rate`, or one that is too low, with `min_fee_rate_sat_per_kvb` in
/// the context; there is no recipient to pay less. `Rejected`: not enough coins, with `missing_sat`
/// in the context; too heavy.
pub fn bump(
    keyring: &Keyring,
    original: &Original<'_>,
    funds: &Funds<'_>,
    terms: Terms,
) -> BitcoinResult<Draft> {
    if let Some(fee_rate) = terms.fee_rate {
        check_rate(fee_rate, funds.max_rate, terms.allow_high_fee)?;
    }
    check_replaceable(original, terms.relay)?;
    let old_fee_sat = old_fee_sat(original)?;
    check_change(keyring, original)?;
    let pending = Pending::new(funds.pending);
    let builder = Builder {
        rules: Rules::new(
            original.transaction,
            old_fee_sat,
            original.descendants,
            original.rivals,
            terms.relay,
        ),
        further: further(original, funds, terms.purpose),
        outputs: Outputs::new(original, funds.change, terms.purpose)?,
        max_weight_wu: max_weight_wu(original, &pending),
        original,
        pending: &pending,
    };
    let fee_rate = match terms.fee_rate {
        Some(fee_rate) => fee_rate,
        None => builder.least_rate(FeeRate::default())?,
    };
    check_rate(fee_rate, funds.max_rate, terms.allow_high_fee)?;
    let Some((taken, split)) = builder.try_at(fee_rate)? else {
        return Err(too_low(fee_rate, builder.least_rate(fee_rate)?));
    };
    check_distinct(&taken.coins)?;
    let (outputs, change) = builder.outputs.with(keyring, split.rest_sat)?;
    let outpoints = taken.coins.iter().map(|coin| coin.outpoint);
    let mut replacement = unsigned(outpoints, outputs, lock_time_at(funds.tip_height)?);
    replacement.version = original.transaction.version;
    Ok(Draft {
        transaction: replacement,
        inputs: taken.coins,
        change,
        fee_sat: split.fee_sat,
        weight: split.weight_wu,
    })
}

/// The replacement at any rate.
struct Builder<'a> {
    original: &'a Original<'a>,
    pending: &'a Pending<'a>,
    outputs: Outputs,
    further: Vec<SnapshotCoin>,
    max_weight_wu: u64,
    rules: Rules,
}

impl Builder<'_> {
    /// The coins and the fee at this rate; nothing when nodes ask for more.
    ///
    /// # Errors
    /// `Rejected`: the coins do not pay this rate.
    fn try_at(&self, fee_rate: FeeRate) -> BitcoinResult<Option<(Taken, Split)>> {
        let further = self.further.iter().copied();
        let optional: Vec<_> = further.filter(|coin| is_economic(coin, fee_rate)).collect();
        let needs = self.needs(fee_rate);
        let taken = needs.take(self.original.inputs, &optional)?;
        let split = needs.split(&taken)?;
        let is_taken = self.rules.are_met(split.fee_sat, split.weight_wu);
        Ok(is_taken.then_some((taken, split)))
    }

    /// The least rate above this one, at which nodes ask for more, that they take.
    ///
    /// # Errors
    /// `Rejected`: the coins do not pay any such rate.
    fn least_rate(&self, above: FeeRate) -> BitcoinResult<FeeRate> {
        // What the coins do not pay for is not too low.
        let is_too_low = |sat_per_kvb: u64| {
            let tried = self.try_at(FeeRate::from_sat_per_kvb(sat_per_kvb));
            matches!(tried, Ok(None))
        };
        let (mut low, mut high) = (above.sat_per_kvb(), above.sat_per_kvb().saturating_add(1));
        let mut step = 1_u64;
        while is_too_low(high) && high < u64::MAX {
            low = high;
            step = step.saturating_mul(2);
            high = high.saturating_add(step);
        }
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            if is_too_low(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let least = FeeRate::from_sat_per_kvb(high);
        if self.try_at(least).is_ok() {
            return Ok(least);
        }
        // How much is missing shows at the rate that would do with all the coins.
        let all = [self.original.inputs, &self.further].concat();
        let weight_wu = self.needs(least).all_of(&all).weight_wu();
        let wanted = self.rules.least_rate(weight_wu);
        let lacking = self.try_at(wanted.max(least)).map(|_| ());
        let error = lacking
            .err()
            .unwrap_or_else(|| internal("a rate that the coins do pay"));
        Err(error.with_context("min_fee_rate_sat_per_kvb", wanted.sat_per_kvb()))
    }

    fn needs(&self, fee_rate: FeeRate) -> Needs<'_> {
        let outputs = &self.outputs;
        Needs::new(&outputs.paid, fee_rate, outputs.rest, self.pending)
            .keeping_rest(outputs.keeps_rest)
            .of_version(self.original.transaction.version.0, self.max_weight_wu)
    }
}

/// The outputs of a replacement: those that are paid, and the one that gets what is left.
struct Outputs {
    paid: Vec<TxOut>,
    rest: Rest,
    keeps_rest: bool,
    to: RestTo,
}

enum RestTo {
    Change(ChangePlace, usize),
    Recipient(TxOut, usize),
}

impl Outputs {
    fn new(original: &Original<'_>, change: ChangePlace, purpose: Purpose) -> BitcoinResult<Self> {
        let mut paid = original.transaction.output.clone();
        let old = original.change;
        if purpose == Purpose::LowerRecipient {
            let place = only_recipient(original)?;
            let recipient = paid.remove(place);
            return Ok(Self {
                rest: Rest::to(&recipient.script_pubkey),
                paid,
                keeps_rest: true,
                to: RestTo::Recipient(recipient, place),
            });
        }
        if let Some(old) = old {
            paid.remove(old.vout as usize);
        }
        if purpose == Purpose::Cancel {
            paid.clear();
        }
        let vout = old.map_or(usize::MAX, |it| it.vout as usize);
        let place = old.map_or(change, |it| ChangePlace {
            address_type: it.address_type,
            index: it.index,
        });
        Ok(Self {
            rest: Rest::change(place.address_type),
            keeps_rest: paid.is_empty(),
            to: RestTo::Change(place, vout.min(paid.len())),
            paid,
        })
    }

    /// All outputs, and which of them is change, when so much is left.
    fn with(
        self,
        keyring: &Keyring,
        rest_sat: Option<u64>,
    ) -> BitcoinResult<(Vec<TxOut>, Option<Change>)> {
        let mut outputs = self.paid;
        let Some(value_sat) = rest_sat else {
            return Ok((outputs, None));
        };
        match self.to {
            RestTo::Change(place, vout) => {
                outputs.insert(vout, place.output(keyring, value_sat)?);
                Ok((outputs, Some(place.at(vout, value_sat))))
            }
            RestTo::Recipient(recipient, place) => {
                outputs.insert(place, output(recipient.script_pubkey, value_sat));
                Ok((outputs, None))
            }
        }
    }
}

/// The place of the only output that is neither change nor data.
fn only_recipient(original: &Original<'_>) -> BitcoinResult<usize> {
    if original.change.is_some() {
        return Err(wrong(
            "the transaction has change, which pays for a higher fee; leave the recipient as it is",
        ));
    }
    let outputs = original.transaction.output.iter().enumerate();
    let mut recipients = outputs.filter(|(_, it)| !it.script_pubkey.is_op_return());
    match (recipients.next(), recipients.next()) {
        (Some((place, _)), None) => Ok(place),
        _ => Err(wrong(
            "the transaction has several recipients; a higher fee can be taken from a single one \
             only",
        )),
    }
}

/// What may be added: confirmed coins only (BIP125, rule 2), which no descendant's output is.
fn further(original: &Original<'_>, funds: &Funds<'_>, purpose: Purpose) -> Vec<SnapshotCoin> {
    if purpose == Purpose::LowerRecipient {
        return Vec::new();
    }
    let spent: HashSet<OutPoint> = original.inputs.iter().map(|it| it.outpoint).collect();
    let free = funds.coins.iter();
    let free = free.filter(|it| it.state == CoinState::Confirmed && it.hold.is_none());
    let mut coins: Vec<SnapshotCoin> = free
        .map(|it| it.coin)
        .filter(|coin| !spent.contains(&coin.outpoint))
        .collect();
    coins.sort_unstable_by(deterministic_order);
    coins
}

/// The heaviest that nodes relay of the original's version.
fn max_weight_wu(original: &Original<'_>, pending: &Pending<'_>) -> u64 {
    if original.transaction.version.0 != TRUC_VERSION {
        return MAX_STANDARD_WEIGHT_WU;
    }
    let below = original.inputs.iter().fold(Below::default(), |below, it| {
        pending.with(&below, it.outpoint.txid)
    });
    if below.ancestors() == 0 {
        MAX_TRUC_WEIGHT_WU
    } else {
        MAX_TRUC_CHILD_WEIGHT_WU
    }
}

/// Whether nodes replace the original at all.
fn check_replaceable(original: &Original<'_>, relay: RelayRules) -> BitcoinResult<()> {
    let transaction = original.transaction;
    let mut sequences = transaction.input.iter().map(|input| input.sequence.0);
    let signals =
        transaction.version.0 == TRUC_VERSION || sequences.any(|it| it <= MAX_REPLACEABLE_SEQUENCE);
    if !relay.full_rbf && !signals {
        return Err(wrong(
            "the transaction does not signal that it may be replaced, and the node asks for that \
             (mempoolfullrbf=0); accelerate it with a child (`btc bump --child`)",
        ));
    }
    let evicted = (original.descendants.len() + 1).max(original.rivals.len());
    if evicted > MAX_EVICTED {
        return Err(wrong(format!(
            "{evicted} transactions would go with it, and nodes let go of {MAX_EVICTED} at most; \
             accelerate it with a child (`btc bump --child`)"
        )));
    }
    let spent = transaction.input.iter().map(|input| input.previous_output);
    if !spent.eq(original.inputs.iter().map(|coin| coin.outpoint)) {
        return Err(wrong(
            "not all inputs of the transaction are the wallet's; replace it where it was made",
        ));
    }
    Ok(())
}

fn old_fee_sat(original: &Original<'_>) -> BitcoinResult<u64> {
    let mut worth = original.inputs.iter();
    let worth = worth.try_fold(0_u64, |sum, coin| sum.checked_add(coin.value_sat));
    let mut outputs = original.transaction.output.iter();
    worth
        .and_then(|worth| outputs.try_fold(worth, |left, it| left.checked_sub(it.value.to_sat())))
        .ok_or_else(|| internal("the coins of the transaction are not worth what it pays"))
}

fn check_change(keyring: &Keyring, original: &Original<'_>) -> BitcoinResult<()> {
    let Some(change) = original.change else {
        return Ok(());
    };
    let script = keyring
        .script((change.address_type, Chain::Change), change.index)
        .map_err(|error| error.during(btc_iface::Operation::CreateTransaction))?;
    let output = original.transaction.output.get(change.vout as usize);
    if output.is_some_and(|it| it.script_pubkey == script) {
        return Ok(());
    }
    Err(internal("the transaction has no such change"))
}

fn too_low(rate: FeeRate, min_rate: FeeRate) -> BitcoinError {
    let message = format!(
        "nodes do not take a replacement at {rate} for this transaction; pay {min_rate} at least"
    );
    wrong(message).with_context("min_fee_rate_sat_per_kvb", min_rate.sat_per_kvb())
}

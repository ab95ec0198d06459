//! Drafts for everything a request may ask: several recipients, data, chosen coins, drains.

use std::collections::{HashMap, HashSet};

use bitcoin::script::PushBytesBuf;
use bitcoin::secp256k1::rand::RngCore;
use bitcoin::{OutPoint, ScriptBuf, TxOut};
use btc_iface::{
    BitcoinResult, Coin, CoinSelection, CoinState, FeeRate, SnapshotCoin, TransactionRequest,
};

use super::cover::{Needs, Rest, Split};
use super::deterministic::{check_distinct, deterministic_order};
use super::draft::{Change, ChangePlace, Draft, lock_time_at, output, unsigned};
use super::outputs::{parse_address, parse_outputs, sum_sat};
use super::select::{Choice, Target, choose, is_economic, shuffle};
use super::wrong;
use crate::wallet::keys::Keyring;

/// The largest fee rate that needs no `allow_high_fee`, unless another one is configured.
pub const MAX_FEE_RATE: FeeRate = FeeRate::from_sat_per_vb(1_000);

/// The most bytes of data in an output that all nodes relay.
pub const MAX_DATA_BYTES: usize = 80;

/// A coin of the wallet, with what decides whether it may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The coin.
    pub coin: SnapshotCoin,
    /// Where it stands.
    pub state: CoinState,
    /// The height of its block, when it is confirmed.
    pub height: Option<u32>,
    /// Why it is not chosen by itself, if it is not.
    pub hold: Option<Hold>,
}

/// Why a coin is not chosen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// The user locked it; naming it is consent.
    Locked,
    /// Another transaction has it.
    Reserved,
}

impl From<&Coin> for Candidate {
    fn from(coin: &Coin) -> Self {
        Self {
            coin: SnapshotCoin {
                outpoint: coin.outpoint,
                value_sat: coin.value_sat,
                address_type: coin.address_type,
                chain: coin.chain,
                index: coin.index,
            },
            state: coin.state,
            height: coin.block.map(|block| block.height),
            hold: coin.reserved_for.as_deref().map(|reason| match reason {
                "locked" => Hold::Locked,
                _ => Hold::Reserved,
            }),
        }
    }
}

/// Drafts the transaction that `request` asks for, from the coins of the wallet.
///
/// # Behavior
/// - [`CoinSelection::LargestFirst`] follows "Building" in `docs/wallet.md`, after the coins that
///   the request names. The others leave out coins that are not worth their fee, fall back to
///   the largest first when they find nothing, and shuffle inputs and outputs.
/// - Confirmed and trusted pending coins that nobody holds are chosen by themselves; untrusted
///   pending and locked ones when they are named.
/// - `drain_to` without recipients spends the named coins, or without any all that would be
///   chosen by themselves and are worth their fee; with recipients it gets what is left.
/// - The fee is that of the whole transaction's weight at the rate, rounded up, and what is not
///   worth an output.
///
/// # Errors
/// `InvalidInput`: nothing to do; a fee rate of 0; a wrong address, dust, more than 21,000,000
/// BTC or 80 bytes of data; a rate above 1,000 sat/vB, or a fee above 10 % of what is sent (of
/// what is spent, in drains and where nothing is sent), without `allow_high_fee`; a named coin
/// that is not the wallet's, reserved, immature, named twice or avoided. `Rejected`: not enough
/// coins, with `missing_sat` in the context; too heavy for nodes to relay. `Unsupported`: no
/// account of the change type.
pub fn draft_request(
    keyring: &Keyring,
    coins: &[Candidate],
    tip_height: u32,
    change: ChangePlace,
    request: &TransactionRequest,
    default_selection: CoinSelection,
    rng: &mut impl RngCore,
) -> BitcoinResult<Draft> {
    let plan = Plan::read(keyring, request)?;
    let lock_time = lock_time_at(tip_height)?;
    let (required, optional) = permitted(coins, request)?;
    let selection = request.selection.unwrap_or(default_selection);

    let (mut inputs, split) = if plan.is_drain {
        let mut all = required;
        if all.is_empty() {
            all.extend(optional.iter().map(|it| it.coin));
            all.retain(|coin| is_economic(coin, plan.fee_rate));
        }
        all.sort_unstable_by(deterministic_order);
        let split = plan.needs.drain(&all, plan.rest(change))?;
        (all, split)
    } else {
        plan.select(selection, required, optional, change, rng)?
    };
    check_distinct(&inputs)?;
    plan.check_fee(&split, request)?;

    let mut outputs: Vec<(TxOut, bool)> = plan.outputs.into_iter().map(|it| (it, false)).collect();
    if let Some(value_sat) = split.rest_sat {
        outputs.push(match plan.drain_script {
            Some(script) => (output(script, value_sat), false),
            None => (change.output(keyring, value_sat)?, true),
        });
    }
    if selection != CoinSelection::LargestFirst {
        shuffle(&mut inputs, rng);
        shuffle(&mut outputs, rng);
    }
    let place = outputs.iter().position(|(_, is_change)| *is_change);
    let change: Option<Change> = place
        .zip(split.rest_sat)
        .map(|(place, value_sat)| change.at(place, value_sat));
    let outputs = outputs.into_iter().map(|(it, _)| it).collect();
    let outpoints = inputs.iter().map(|coin| coin.outpoint);
    Ok(Draft {
        transaction: unsigned(outpoints, outputs, lock_time),
        inputs,
        change,
        fee_sat: split.fee_sat,
        weight: split.weight_wu,
    })
}

/// The request, read and checked.
struct Plan {
    /// The recipients and the data.
    outputs: Vec<TxOut>,
    drain_script: Option<ScriptBuf>,
    /// Everything goes to `drain_script`.
    is_drain: bool,
    fee_rate: FeeRate,
    needs: Needs,
}

impl Plan {
    fn read(keyring: &Keyring, request: &TransactionRequest) -> BitcoinResult<Self> {
        let nobody = request.recipients.is_empty();
        if nobody && request.data.is_none() && request.drain_to.is_none() {
            return Err(wrong("nothing to do; name a recipient, data or drain_to"));
        }
        let fee_rate = request.fee_rate;
        check_rate(fee_rate, request.allow_high_fee)?;
        let pairs = request.recipients.iter();
        let pairs = pairs.map(|it| (it.address.as_str(), it.value_sat));
        let mut outputs = parse_outputs(keyring.network(), pairs)?;
        if let Some(data) = &request.data {
            outputs.push(output(data_script(data)?, 0));
        }
        let drain_script = match &request.drain_to {
            Some(address) => Some(parse_address(keyring.network(), address)?),
            None => None,
        };
        Ok(Self {
            needs: Needs::new(&outputs, fee_rate),
            outputs,
            is_drain: nobody && drain_script.is_some(),
            drain_script,
            fee_rate,
        })
    }

    /// Where what is left goes.
    fn rest(&self, change: ChangePlace) -> Rest {
        match &self.drain_script {
            Some(script) => Rest::to(script),
            None => Rest::change(change.address_type),
        }
    }

    fn select(
        &self,
        selection: CoinSelection,
        mut required: Vec<SnapshotCoin>,
        mut optional: Vec<Choice>,
        change: ChangePlace,
        rng: &mut impl RngCore,
    ) -> BitcoinResult<(Vec<SnapshotCoin>, Split)> {
        required.sort_unstable_by(deterministic_order);
        if selection != CoinSelection::LargestFirst {
            optional.retain(|it| is_economic(&it.coin, self.fee_rate));
        }
        optional.sort_unstable_by(|a, b| deterministic_order(&a.coin, &b.coin));
        let largest: Vec<_> = optional.iter().map(|it| it.coin).collect();
        let rest = self.rest(change);
        let finish = |chosen: &[SnapshotCoin]| -> BitcoinResult<_> {
            let taken = self.needs.take(&required, chosen)?;
            let split = self.needs.split(&taken, rest)?;
            Ok(([&required, &chosen[..taken.count]].concat(), split))
        };
        if selection != CoinSelection::LargestFirst
            && let Some(amount_sat) = self.needs.everything(&required, &largest)
        {
            let target = Target {
                amount_sat,
                fee_rate: self.fee_rate,
                change_bytes: rest.script_bytes(),
            };
            let chosen = choose(selection, &required, &optional, target, rng);
            if let Some(Ok(found)) = chosen.map(|chosen| finish(&chosen)) {
                return Ok(found);
            }
        }
        finish(&largest)
    }

    /// Refuses a fee out of proportion, unless the request allows it.
    fn check_fee(&self, split: &Split, request: &TransactionRequest) -> BitcoinResult<()> {
        let sent_sat = sum_sat(&self.outputs);
        let inputs_sat = sent_sat + split.rest_sat.unwrap_or(0) + split.fee_sat;
        let (base_sat, what) = if self.drain_script.is_some() || sent_sat == 0 {
            (inputs_sat, "spent")
        } else {
            (sent_sat, "sent")
        };
        let is_high = u128::from(split.fee_sat) * 10 > u128::from(base_sat);
        if is_high && !request.allow_high_fee {
            let fee_sat = split.fee_sat;
            let message = format!(
                "a fee of {fee_sat} sat is more than 10 % of the {base_sat} sat that are {what}; \
                 lower the fee rate, or allow a high fee (--allow-high-fee)"
            );
            return Err(wrong(message)
                .with_context("fee_sat", fee_sat)
                .with_context("weight", split.weight_wu));
        }
        Ok(())
    }
}

/// Refuses a rate of 0, and one that is likely an amount or a rate in another unit.
pub(super) fn check_rate(fee_rate: FeeRate, allow_high_fee: bool) -> BitcoinResult<()> {
    if fee_rate == FeeRate::default() {
        return Err(wrong("a fee rate of 0 sat/vB; give more"));
    }
    if fee_rate > MAX_FEE_RATE && !allow_high_fee {
        let message = format!(
            "a fee rate of {fee_rate} is above {MAX_FEE_RATE}; check its unit, \
             or allow a high fee (--allow-high-fee)"
        );
        return Err(wrong(message));
    }
    Ok(())
}

fn data_script(data: &[u8]) -> BitcoinResult<ScriptBuf> {
    let push = Some(data)
        .filter(|data| data.len() <= MAX_DATA_BYTES)
        .and_then(|data| PushBytesBuf::try_from(data.to_vec()).ok())
        .ok_or_else(|| {
            let count = data.len();
            wrong(format!("{count} bytes of data; {MAX_DATA_BYTES} at most"))
        })?;
    Ok(ScriptBuf::new_op_return(push))
}

/// The coins that must be spent, and those that may be.
fn permitted(
    coins: &[Candidate],
    request: &TransactionRequest,
) -> BitcoinResult<(Vec<SnapshotCoin>, Vec<Choice>)> {
    if request.only_coins && request.coins.is_empty() {
        return Err(wrong(
            "only the named coins, and none is named; name one at least",
        ));
    }
    let avoid: HashSet<&OutPoint> = request.avoid.iter().collect();
    let mut named: HashSet<&OutPoint> = HashSet::new();
    let mut required = Vec::with_capacity(request.coins.len());
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
                    "the coin is reserved for another transaction; release it first (btc utxo unlock)",
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
            required.push(candidate.coin);
        }
    }
    let mut optional = Vec::new();
    if !request.only_coins {
        let free = coins.iter().filter(|it| {
            it.hold.is_none()
                && matches!(it.state, CoinState::Confirmed | CoinState::TrustedPending)
                && !avoid.contains(&it.coin.outpoint)
                && !named.contains(&it.coin.outpoint)
        });
        optional.extend(free.map(|it| Choice {
            coin: it.coin,
            height: it.height,
        }));
    }
    Ok((required, optional))
}

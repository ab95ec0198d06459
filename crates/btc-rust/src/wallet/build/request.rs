//! Drafts for everything a request may ask: several recipients, data, chosen coins, drains.

use bitcoin::script::PushBytesBuf;
use bitcoin::secp256k1::rand::RngCore;
use bitcoin::transaction::Version;
use bitcoin::{ScriptBuf, TxOut};
use btc_iface::{
    BitcoinResult, Coin, CoinSelection, CoinState, FeeRate, PendingTransaction, SnapshotCoin,
    TransactionRequest,
};

use super::cover::{Needs, Rest, Split, Taken};
use super::deterministic::{check_distinct, deterministic_order};
use super::draft::{Change, ChangePlace, Draft, lock_time_at, output, unsigned};
use super::outputs::{parse_address, parse_outputs, sum_sat};
use super::pending::Pending;
use super::permitted::{Permitted, permitted, version_of};
use super::select::{Target, choose, is_economic, shuffle};
use super::wrong;
use crate::wallet::keys::Keyring;

/// The highest fee rate, unless another one is configured (`MAX_FEE_RATE`).
pub const DEFAULT_MAX_FEE_RATE: FeeRate = FeeRate::from_sat_per_vb(1_000);

/// The most bytes of data in an output that all nodes relay.
pub const MAX_DATA_BYTES: usize = 80;

/// What a wallet builds on.
#[derive(Debug, Clone, Copy)]
pub struct Funds<'a> {
    /// Its coins.
    pub coins: &'a [Candidate],
    /// The unconfirmed transactions that coins come from, with their unconfirmed ancestors, as far
    /// as they are known.
    pub pending: &'a [PendingTransaction],
    /// The height of the tip of the chain.
    pub tip_height: u32,
    /// Where change goes, if there is any.
    pub change: ChangePlace,
    /// The highest fee rate that needs no consent.
    pub max_rate: FeeRate,
}

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
/// - Confirmed and trusted pending coins that nobody holds are chosen by themselves, pending ones
///   only where the confirmed ones do not pay and by the rules of "Building"; untrusted pending
///   and locked ones when they are named.
/// - `drain_to` without recipients spends the named coins, or without any all that would be
///   chosen by themselves and are worth their fee; with recipients it gets what is left.
/// - The fee is that of the whole transaction's weight at the rate, rounded up, what the pending
///   transactions that the coins come from lack at that rate, and what is not worth an output.
/// - A request that names a coin of an unconfirmed transaction of version 3 makes a transaction of
///   version 3, with confirmed coins beside it (BIP431).
///
/// # Errors
/// `InvalidInput`: nothing to do; a fee rate of 0; a wrong address, dust, more than 21,000,000
/// BTC or 80 bytes of data; a rate above `max_rate`, or a fee above 10 % of what is sent (of
/// what is spent, in drains and where nothing is sent), without `allow_high_fee`; a named coin
/// that is not the wallet's, reserved, immature, named twice or avoided, or that nodes take no
/// child of. `Rejected`: not enough coins, with `missing_sat` in the context; too heavy for nodes
/// to relay. `Unsupported`: no account of the change type.
pub fn draft_request(
    keyring: &Keyring,
    funds: &Funds<'_>,
    request: &TransactionRequest,
    default_selection: CoinSelection,
    rng: &mut impl RngCore,
) -> BitcoinResult<Draft> {
    let plan = Plan::read(keyring, request, funds.max_rate)?;
    let lock_time = lock_time_at(funds.tip_height)?;
    let permitted = permitted(funds.coins, request)?;
    let pending = Pending::new(funds.pending);
    let (version, max_weight_wu) = version_of(&permitted.unconfirmed, &pending)?;
    let needs = Needs::new(
        &plan.outputs,
        plan.fee_rate,
        plan.rest(funds.change),
        &pending,
    );
    let needs = needs.of_version(version, max_weight_wu);
    needs.check_limits(&permitted.required)?;
    let selection = request.selection.unwrap_or(default_selection);

    let (mut inputs, split) = if plan.is_drain {
        plan.drain(needs.keeping_rest(true), permitted)?
    } else {
        plan.select(selection, &needs, permitted, rng)?
    };
    check_distinct(&inputs)?;
    plan.check_fee(&split, request)?;

    let mut outputs: Vec<(TxOut, bool)> = plan.outputs.into_iter().map(|it| (it, false)).collect();
    if let Some(value_sat) = split.rest_sat {
        outputs.push(match plan.drain_script {
            Some(script) => (output(script, value_sat), false),
            None => (funds.change.output(keyring, value_sat)?, true),
        });
    }
    if selection != CoinSelection::LargestFirst {
        shuffle(&mut inputs, rng);
        shuffle(&mut outputs, rng);
    }
    let place = outputs.iter().position(|(_, is_change)| *is_change);
    let change: Option<Change> = place
        .zip(split.rest_sat)
        .map(|(place, value_sat)| funds.change.at(place, value_sat));
    let outputs = outputs.into_iter().map(|(it, _)| it).collect();
    let outpoints = inputs.iter().map(|coin| coin.outpoint);
    let mut transaction = unsigned(outpoints, outputs, lock_time);
    transaction.version = Version(version);
    Ok(Draft {
        transaction,
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
}

impl Plan {
    fn read(
        keyring: &Keyring,
        request: &TransactionRequest,
        max_rate: FeeRate,
    ) -> BitcoinResult<Self> {
        let nobody = request.recipients.is_empty();
        if nobody && request.data.is_none() && request.drain_to.is_none() {
            return Err(wrong("nothing to do; name a recipient, data or drain_to"));
        }
        let fee_rate = request.fee_rate;
        check_rate(fee_rate, max_rate, request.allow_high_fee)?;
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

    /// The named coins, or without any all that are worth it.
    fn drain(
        &self,
        needs: Needs<'_>,
        permitted: Permitted,
    ) -> BitcoinResult<(Vec<SnapshotCoin>, Split)> {
        let mut required = permitted.required;
        let mut optional = Vec::new();
        if required.is_empty() {
            let confirmed = permitted.confirmed.iter().map(|it| it.coin);
            required.extend(confirmed.filter(|coin| is_economic(coin, self.fee_rate)));
            optional = permitted.pending;
        }
        required.sort_unstable_by(deterministic_order);
        optional.sort_unstable_by(deterministic_order);
        let taken = needs.take_all(&required, &optional)?;
        let split = needs.split(&taken)?;
        Ok((taken.coins, split))
    }

    fn select(
        &self,
        selection: CoinSelection,
        needs: &Needs<'_>,
        permitted: Permitted,
        rng: &mut impl RngCore,
    ) -> BitcoinResult<(Vec<SnapshotCoin>, Split)> {
        let Permitted {
            mut required,
            mut confirmed,
            mut pending,
            ..
        } = permitted;
        required.sort_unstable_by(deterministic_order);
        if selection != CoinSelection::LargestFirst {
            confirmed.retain(|it| is_economic(&it.coin, self.fee_rate));
        }
        confirmed.sort_unstable_by(|a, b| deterministic_order(&a.coin, &b.coin));
        pending.sort_unstable_by(deterministic_order);
        let largest: Vec<_> = confirmed.iter().map(|it| it.coin).collect();
        let taken = needs.take(&required, &[&largest[..], &pending].concat());
        let finish = |taken: Taken| -> BitcoinResult<_> {
            let split = needs.split(&taken)?;
            Ok((taken.coins, split))
        };
        if selection == CoinSelection::LargestFirst {
            return finish(taken?);
        }
        // Pending coins are needed where the confirmed ones do not pay; then those are fixed.
        let named = required.len();
        let needed = taken.iter().flat_map(|taken| &taken.coins[named..]);
        required.extend(needed.filter(|coin| needs.is_pending(coin)));
        if let Some(amount_sat) = needs.everything(&required, &largest) {
            let target = Target {
                amount_sat,
                fee_rate: self.fee_rate,
                change_bytes: needs.rest_script_bytes(),
            };
            let chosen = choose(selection, &required, &confirmed, target, rng);
            let chosen = chosen.map(|chosen| needs.take(&required, &chosen).and_then(finish));
            if let Some(Ok(found)) = chosen {
                return Ok(found);
            }
        }
        finish(taken?)
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
pub(super) fn check_rate(
    fee_rate: FeeRate,
    max_rate: FeeRate,
    allow_high_fee: bool,
) -> BitcoinResult<()> {
    if fee_rate == FeeRate::default() {
        return Err(wrong("a fee rate of 0 sat/vB; give more"));
    }
    if fee_rate > max_rate && !allow_high_fee {
        let message = format!(
            "a fee rate of {fee_rate} is above MAX_FEE_RATE ({max_rate}); check its unit, raise \
             MAX_FEE_RATE, or allow a high fee (--allow-high-fee)"
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

//! How one transaction of each kind is made, and which coins that takes.

use bitcoin::absolute::LockTime;
use bitcoin::script::ScriptBuf;
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{Amount, Sequence, Txid};

use super::Chain;
use super::draft::{Built, Draft, Out};
use super::keys::push;
use super::kind::Kind;
use super::lock::{Coin, Lock};
use super::plan::Plan;
use crate::NodeError;

/// Above the dust limit of an anchor (240 sat).
const ANCHOR_VALUE: Amount = Amount::from_sat(1_000);
/// What each link of a chain of descendants pays.
const DESCENDANT_VALUE: Amount = Amount::from_sat(20_000);
/// A moment before any block of ours, as a lock time.
const PAST_SECS: u32 = 1_600_000_000;
/// A huge transaction pays no more than this, in sat/vB.
const MAX_BULK_FEE_RATE: u64 = 5;
/// More would push the transaction over the standard 400,000 WU.
const MAX_ENVELOPE_BYTES: u32 = 390_000;
/// The age of one step of a relative lock time (BIP68).
const AGE_STEP_SECS: u64 = 512;
/// Sizes around the borders of push encodings, and of what older nodes relay.
const DATA_SIZES: [usize; 12] = [20, 0, 1, 40, 75, 76, 80, 83, 255, 256, 520, 1_000];

/// What one recipe yields.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// To be sent in this order.
    pub(crate) built: Vec<Built>,
    /// The transaction among them that another one replaces.
    pub(crate) replaced: Option<Txid>,
}

/// The coins that a kind spends.
pub(crate) fn needs(kind: Kind, plan: &Plan) -> Vec<(Lock, u32)> {
    match kind {
        Kind::AnchorSpend => vec![(Lock::Anchor, 1), (Lock::P2wpkh, 1)],
        Kind::SighashType => SIGHASH_LOCKS.map(|lock| (lock, 1)).to_vec(),
        Kind::ManyInputs => {
            let mut all = Vec::new();
            for lock in Lock::COMMON.iter().cycle().take(plan.many_inputs as usize) {
                all.push((*lock, 1));
            }
            all
        }
        Kind::BigWitness => vec![(envelope(plan), 1)],
        _ => vec![(kind.lock().unwrap_or(Lock::P2wpkh), 1)],
    }
}

const SIGHASH_LOCKS: [Lock; 3] = [Lock::P2wpkh, Lock::P2pkh, Lock::P2trKey];

fn envelope(plan: &Plan) -> Lock {
    Lock::Envelope(plan.envelope_bytes.min(MAX_ENVELOPE_BYTES))
}

impl Chain<'_> {
    /// Makes a transaction of a kind that the mempool accepts; `turn` varies what may vary.
    pub(crate) fn make(
        &mut self,
        kind: Kind,
        plan: &Plan,
        turn: u32,
        fee_rate: u64,
    ) -> Result<Made, NodeError> {
        let mut coins = Vec::new();
        for (lock, count) in needs(kind, plan) {
            for _ in 0..count {
                coins.push(self.take(lock)?);
            }
        }
        match kind {
            Kind::Replacement => return self.replacement(coins, fee_rate),
            Kind::Descendant => return self.descendants(coins, plan.descendants, fee_rate),
            _ => {}
        }
        let mut draft = self.pay_and_change(coins, fee_rate);
        self.shape(&mut draft, kind, plan, turn);
        let built = vec![draft.finish(&self.keys, kind.label())?];
        Ok(Made {
            built,
            replaced: None,
        })
    }

    /// A payment of a part of the coins' value to one of the common locks.
    fn pay_and_change(&mut self, coins: Vec<Coin>, fee_rate: u64) -> Draft {
        let available: u64 = coins.iter().map(|coin| coin.value.to_sat()).sum();
        let turn = self.next_key;
        let lock = Lock::COMMON[turn as usize % Lock::COMMON.len()];
        let percent = u64::from(10 + turn % 40);
        let payment = self.out(lock, Amount::from_sat(available / 100 * percent));
        self.draft(coins, vec![payment], fee_rate)
    }

    /// Turns a plain payment into an example of its kind.
    fn shape(&mut self, draft: &mut Draft, kind: Kind, plan: &Plan, turn: u32) {
        const HASH_TYPES: [EcdsaSighashType; 5] = [
            EcdsaSighashType::Single,
            EcdsaSighashType::None,
            EcdsaSighashType::AllPlusAnyoneCanPay,
            EcdsaSighashType::SinglePlusAnyoneCanPay,
            EcdsaSighashType::NonePlusAnyoneCanPay,
        ];
        let pick = turn as usize;
        match kind {
            Kind::AnchorCreate => {
                let anchor = self.out(Lock::Anchor, ANCHOR_VALUE);
                draft.outputs.push(anchor);
            }
            Kind::OpReturn => {
                let size = DATA_SIZES[pick % DATA_SIZES.len()];
                let digest = self.keys.digest("data", turn, 0);
                let data: Vec<u8> = digest.iter().copied().cycle().take(size).collect();
                draft
                    .outputs
                    .push(Out::foreign(data_script(data), Amount::ZERO));
            }
            Kind::FutureWitness => {
                let output = self.out(Lock::Future, Amount::from_sat(50_000));
                draft.outputs.push(output);
            }
            Kind::ManyOutputs => {
                for number in 0..plan.many_outputs {
                    let lock = Lock::COMMON[number as usize % Lock::COMMON.len()];
                    let mut output = self.out(lock, Amount::from_sat(2_000 + u64::from(number)));
                    // Too small for the factory's later payments.
                    output.own = None;
                    draft.outputs.push(output);
                }
                draft.fee_rate = draft.fee_rate.min(MAX_BULK_FEE_RATE);
            }
            Kind::BigWitness => draft.fee_rate = draft.fee_rate.min(MAX_BULK_FEE_RATE),
            Kind::Final => draft.sequence = Sequence::MAX,
            Kind::HeightLock => {
                draft.lock_time = LockTime::from_consensus(self.height);
                draft.sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
            }
            Kind::TimeLock => {
                draft.lock_time = LockTime::from_consensus(PAST_SECS + turn);
                draft.sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
            }
            Kind::RelativeHeightLock => draft.sequence = Sequence::from_height(1),
            Kind::RelativeTimeLock => {
                // On a chain whose blocks are seconds apart, no coin is old enough for one step.
                let old = self
                    .clock
                    .is_some_and(|clock| clock.step() >= AGE_STEP_SECS);
                draft.sequence = Sequence::from_512_second_intervals(u16::from(old));
            }
            Kind::Version1 => draft.version = 1,
            Kind::Version3 => draft.version = 3,
            Kind::SighashType => {
                let output = self.out(Lock::P2trKey, Amount::from_sat(20_000));
                draft.outputs.push(output);
                draft.manner.hash_type = HASH_TYPES[pick % HASH_TYPES.len()];
            }
            _ => {}
        }
    }

    /// A payment, and the same payment to someone else at a higher rate.
    fn replacement(&mut self, coins: Vec<Coin>, fee_rate: u64) -> Result<Made, NodeError> {
        let label = Kind::Replacement.label();
        let original = self.pay_and_change(coins.clone(), fee_rate);
        let mut original = original.finish(&self.keys, label)?;
        let winner = self
            // More in total too, even where its size is smaller.
            .pay_and_change(coins, 2 * fee_rate + 10)
            .finish(&self.keys, label)?;
        original.coins.clear();
        Ok(Made {
            replaced: Some(original.txid),
            built: vec![original, winner],
        })
    }

    /// Each spends the change of the one before.
    fn descendants(
        &mut self,
        mut coins: Vec<Coin>,
        length: u32,
        fee_rate: u64,
    ) -> Result<Made, NodeError> {
        let mut built: Vec<Built> = Vec::new();
        for _ in 0..length.max(1) {
            // Little, so that the change lasts for the longest chain.
            let payment = self.out(Lock::P2trKey, DESCENDANT_VALUE);
            let draft = self.draft(coins, vec![payment], fee_rate);
            let mut next = draft.finish(&self.keys, Kind::Descendant.label())?;
            let change = next
                .coins
                .pop()
                .ok_or_else(|| NodeError::build("descendant", "its parent has no change"))?;
            coins = vec![change];
            built.push(next);
        }
        if let Some(last) = built.last_mut() {
            last.coins.append(&mut coins);
        }
        Ok(Made {
            built,
            replaced: None,
        })
    }
}

/// `OP_RETURN` alone for no data, else with one push.
pub(crate) fn data_script(data: Vec<u8>) -> ScriptBuf {
    if data.is_empty() {
        return ScriptBuf::from_bytes(vec![bitcoin::opcodes::all::OP_RETURN.to_u8()]);
    }
    ScriptBuf::new_op_return(push(data))
}

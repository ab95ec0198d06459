//! What coins must cover, how many of them do, and what becomes of the rest.

use bitcoin::TxOut;
use btc_iface::{AddressType, BitcoinError, BitcoinResult, ErrorKind, Operation, SnapshotCoin};

use super::outputs::{change_dust_limit_sat, sum_sat};
use super::weight::{MAX_STANDARD_WEIGHT_WU, Weigher, script_bytes};
use super::{MAX_MONEY_SAT, wrong};

/// What the coins have to pay for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    outputs: Weigher,
    outputs_sat: u64,
    fee_rate: u64,
}

/// The coins that pay for it: how many of the optional ones, and what they come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) count: usize,
    weigher: Weigher,
    sum_sat: u128,
}

/// How what the coins are worth is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// In satoshi; `None` when what is left is not worth an output.
    pub(super) change_sat: Option<u64>,
    pub(super) fee_sat: u64,
    pub(super) weight_wu: u64,
}

impl Needs {
    /// These outputs, at this rate in sat/vB.
    pub(super) fn new(outputs: &[TxOut], fee_rate: u64) -> Self {
        let mut weigher = Weigher::default();
        for it in outputs {
            weigher.add_output(it.script_pubkey.len());
        }
        Self {
            outputs: weigher,
            outputs_sat: sum_sat(outputs),
            fee_rate,
        }
    }

    /// Takes all of `required` and then of `optional`, in order, until they pay for the outputs
    /// and the fee without change.
    ///
    /// # Errors
    /// `Rejected`: all of them do not, with `missing_sat` in the context.
    pub(super) fn take(
        &self,
        required: &[SnapshotCoin],
        optional: &[SnapshotCoin],
    ) -> BitcoinResult<Taken> {
        let mut taken = Taken {
            count: 0,
            weigher: self.outputs,
            sum_sat: 0,
        };
        for coin in required {
            taken.add(coin);
        }
        loop {
            let need_sat = u128::from(self.outputs_sat) + taken.weigher.fee_sat(self.fee_rate);
            if taken.sum_sat >= need_sat {
                return Ok(taken);
            }
            let Some(coin) = optional.get(taken.count) else {
                return Err(missing(need_sat - taken.sum_sat));
            };
            taken.add(coin);
            taken.count += 1;
        }
    }

    /// Divides what the coins are worth: change if it pays for its output and is no dust, or else
    /// all that is left to the fee.
    ///
    /// # Errors
    /// `InvalidInput`: coins worth more than there can be. `Rejected`: too heavy to be relayed.
    pub(super) fn split(&self, taken: &Taken, change_type: AddressType) -> BitcoinResult<Split> {
        let sum_sat = u64::try_from(taken.sum_sat)
            .ok()
            .filter(|sum_sat| *sum_sat <= MAX_MONEY_SAT)
            .ok_or_else(|| {
                wrong("the coins are worth more than the 21,000,000 BTC there can be")
            })?;
        let bytes = script_bytes(change_type);
        let with_change = taken.weigher.with_output(bytes);
        let change_sat = u128::from(sum_sat - self.outputs_sat)
            .checked_sub(with_change.fee_sat(self.fee_rate))
            .and_then(|left_sat| u64::try_from(left_sat).ok())
            .filter(|left_sat| *left_sat >= change_dust_limit_sat(change_type));
        let weigher = change_sat.map_or(taken.weigher, |_| with_change);
        let weight_wu = weigher.weight_wu();
        if weight_wu > MAX_STANDARD_WEIGHT_WU {
            return Err(too_heavy(weight_wu));
        }
        Ok(Split {
            change_sat,
            fee_sat: sum_sat - self.outputs_sat - change_sat.unwrap_or(0),
            weight_wu,
        })
    }
}

impl Taken {
    fn add(&mut self, coin: &SnapshotCoin) {
        self.weigher.add_input(coin.address_type);
        self.sum_sat += u128::from(coin.value_sat);
    }
}

/// `Rejected`, with what is missing in satoshi.
pub(super) fn missing(missing_sat: u128) -> BitcoinError {
    let message = format!("not enough coins: {missing_sat} sat are missing, fee included");
    BitcoinError::new(ErrorKind::Rejected, Operation::CreateTransaction, message)
        .with_context("missing_sat", missing_sat)
}

fn too_heavy(weight_wu: u64) -> BitcoinError {
    let message = format!(
        "the transaction would weigh {weight_wu} WU, and nodes relay {MAX_STANDARD_WEIGHT_WU} at \
         most; pay less at once"
    );
    BitcoinError::new(ErrorKind::Rejected, Operation::CreateTransaction, message)
}

//! What coins must cover, how many of them do, and what becomes of the rest.

use bitcoin::{Script, TxOut};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, ErrorKind, FeeRate, Operation, SnapshotCoin,
};

use super::outputs::{change_dust_limit_sat, dust_limit_sat, sum_sat};
use super::weight::{MAX_STANDARD_WEIGHT_WU, Weigher, script_bytes};
use super::{MAX_MONEY_SAT, wrong};

/// What the coins have to pay for: outputs or, besides the transaction's own, a fee.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    outputs: Weigher,
    outputs_sat: u64,
    fee_rate: FeeRate,
}

/// The coins that pay for it: how many of the optional ones, and what they come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) count: usize,
    weigher: Weigher,
    sum_sat: u128,
}

/// The output that what is left goes to: change, or the address that gets it instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    script_bytes: usize,
    dust_limit_sat: u64,
}

/// How what the coins are worth is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// In satoshi; `None` when what is left is not worth an output.
    pub(super) rest_sat: Option<u64>,
    pub(super) fee_sat: u64,
    pub(super) weight_wu: u64,
}

impl Needs {
    /// These outputs, at this rate.
    pub(super) fn new(outputs: &[TxOut], fee_rate: FeeRate) -> Self {
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

    /// No outputs, but so many satoshi of fee besides that of the transaction.
    ///
    /// # Errors
    /// `Rejected`: more than there can be.
    pub(super) fn fee_only(extra_sat: u128, fee_rate: FeeRate) -> BitcoinResult<Self> {
        let outputs_sat = u64::try_from(extra_sat)
            .ok()
            .filter(|extra_sat| *extra_sat <= MAX_MONEY_SAT)
            .ok_or_else(|| missing(extra_sat))?;
        Ok(Self {
            outputs: Weigher::default(),
            outputs_sat,
            fee_rate,
        })
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
        let mut taken = self.nothing();
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

    /// Divides what the coins are worth: an output for the rest if it pays for itself and is no
    /// dust, or else all that is left to the fee.
    ///
    /// # Errors
    /// `InvalidInput`: coins worth more than there can be. `Rejected`: too heavy to be relayed.
    pub(super) fn split(&self, taken: &Taken, rest: Rest) -> BitcoinResult<Split> {
        let sum_sat = taken.checked_sum_sat()?;
        let with_rest = taken.weigher.with_output(rest.script_bytes);
        let rest_sat = u128::from(sum_sat - self.outputs_sat)
            .checked_sub(with_rest.fee_sat(self.fee_rate))
            .and_then(|left_sat| u64::try_from(left_sat).ok())
            .filter(|left_sat| *left_sat >= rest.dust_limit_sat);
        let weigher = rest_sat.map_or(taken.weigher, |_| with_rest);
        Ok(Split {
            rest_sat,
            fee_sat: sum_sat - self.outputs_sat - rest_sat.unwrap_or(0),
            weight_wu: relayable(weigher.weight_wu())?,
        })
    }

    /// Takes all of `coins` and gives all that is left to `rest`.
    ///
    /// # Errors
    /// As [`take`](Self::take) and [`split`](Self::split); `Rejected` also when what is left is
    /// dust.
    pub(super) fn drain(&self, coins: &[SnapshotCoin], rest: Rest) -> BitcoinResult<Split> {
        let mut taken = self.nothing();
        for coin in coins {
            taken.add(coin);
        }
        let weigher = taken.weigher.with_output(rest.script_bytes);
        let least_sat = u128::from(self.outputs_sat)
            + weigher.fee_sat(self.fee_rate)
            + u128::from(rest.dust_limit_sat);
        if taken.sum_sat < least_sat {
            return Err(missing(least_sat - taken.sum_sat));
        }
        self.split(&taken, rest)
    }

    /// Whether all these coins together pay, and with that the proof that no sum of amounts and
    /// fees of any of them exceeds what can exist. Returns what is to be covered besides the
    /// inputs' own fees, in satoshi: the outputs, and everything else at its largest.
    pub(super) fn everything(
        &self,
        required: &[SnapshotCoin],
        optional: &[SnapshotCoin],
    ) -> Option<u64> {
        let mut all = self.nothing();
        for coin in required.iter().chain(optional) {
            all.add(coin);
        }
        let sum_sat = all.checked_sum_sat().ok()?;
        let frame_sat = all.weigher.frame_fee_sat(self.fee_rate);
        let need_sat = u128::from(self.outputs_sat) + all.weigher.fee_sat(self.fee_rate);
        if u128::from(sum_sat) < need_sat {
            return None;
        }
        u64::try_from(u128::from(self.outputs_sat) + frame_sat).ok()
    }

    /// The outputs without a coin.
    fn nothing(&self) -> Taken {
        Taken {
            count: 0,
            weigher: self.outputs,
            sum_sat: 0,
        }
    }
}

impl Rest {
    /// Change of this type.
    pub(super) const fn change(address_type: AddressType) -> Self {
        Self {
            script_bytes: script_bytes(address_type),
            dust_limit_sat: change_dust_limit_sat(address_type),
        }
    }

    /// The length of its script.
    pub(super) const fn script_bytes(self) -> usize {
        self.script_bytes
    }

    /// An output with this script.
    pub(super) fn to(script_pubkey: &Script) -> Self {
        Self {
            script_bytes: script_pubkey.len(),
            dust_limit_sat: dust_limit_sat(script_pubkey),
        }
    }
}

impl Taken {
    fn add(&mut self, coin: &SnapshotCoin) {
        self.weigher.add_input(coin.address_type);
        self.sum_sat += u128::from(coin.value_sat);
    }

    fn checked_sum_sat(&self) -> BitcoinResult<u64> {
        u64::try_from(self.sum_sat)
            .ok()
            .filter(|sum_sat| *sum_sat <= MAX_MONEY_SAT)
            .ok_or_else(|| wrong("the coins are worth more than the 21,000,000 BTC there can be"))
    }
}

/// `Rejected`, with what is missing in satoshi.
pub(super) fn missing(missing_sat: u128) -> BitcoinError {
    let message = format!("not enough coins: {missing_sat} sat are missing, fee included");
    BitcoinError::new(ErrorKind::Rejected, Operation::CreateTransaction, message)
        .with_context("missing_sat", missing_sat)
}

fn relayable(weight_wu: u64) -> BitcoinResult<u64> {
    if weight_wu <= MAX_STANDARD_WEIGHT_WU {
        return Ok(weight_wu);
    }
    let message = format!(
        "the transaction would weigh {weight_wu} WU, and nodes relay {MAX_STANDARD_WEIGHT_WU} at \
         most; use several transactions"
    );
    Err(BitcoinError::new(
        ErrorKind::Rejected,
        Operation::CreateTransaction,
        message,
    ))
}

//! What coins must cover, which of them do, and what becomes of the rest.

use bitcoin::{Script, TxOut};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, ErrorKind, FeeRate, Operation, SnapshotCoin,
};

use super::outputs::{change_dust_limit_sat, dust_limit_sat, sum_sat};
use super::pending::{Below, MAX_ANCESTORS, MAX_CONNECTED, Pending, TRUC_VERSION};
use super::weight::{MAX_STANDARD_WEIGHT_WU, Weigher, input_fee_sat, script_bytes};
use super::{MAX_MONEY_SAT, wrong};

/// What the coins have to pay for, and what kind of transaction it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs<'a> {
    outputs: Weigher,
    outputs_sat: u64,
    fee_rate: FeeRate,
    rest: Rest,
    keeps_rest: bool,
    pending: &'a Pending<'a>,
    version: i32,
    max_weight_wu: u64,
}

/// The coins that pay for it, in the order in which they were taken.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) coins: Vec<SnapshotCoin>,
    weigher: Weigher,
    sum_sat: u128,
    below: Below,
    deficit_sat: u128,
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

impl<'a> Needs<'a> {
    /// These outputs at this rate, in a transaction of version 2; what is left goes to `rest`, if
    /// it is worth an output.
    pub(super) fn new(
        outputs: &[TxOut],
        fee_rate: FeeRate,
        rest: Rest,
        pending: &'a Pending<'a>,
    ) -> Self {
        let mut weigher = Weigher::default();
        for it in outputs {
            weigher.add_output(it.script_pubkey.len());
        }
        Self {
            outputs: weigher,
            outputs_sat: sum_sat(outputs),
            fee_rate,
            rest,
            keeps_rest: false,
            pending,
            version: 2,
            max_weight_wu: MAX_STANDARD_WEIGHT_WU,
        }
    }

    /// The coins must pay for the output of the rest, too.
    pub(super) fn keeping_rest(self, keeps_rest: bool) -> Self {
        Self { keeps_rest, ..self }
    }

    /// In a transaction of this version, which nodes relay up to this weight.
    pub(super) fn of_version(self, version: i32, max_weight_wu: u64) -> Self {
        Self {
            version,
            max_weight_wu,
            ..self
        }
    }

    /// Takes all of `required` and then of `optional`, in order, until they pay for everything.
    /// A pending coin of `optional` is left out where "Building" in `docs/wallet.md` says so.
    ///
    /// # Errors
    /// `Rejected`: the coins do not pay, with `missing_sat` in the context.
    pub(super) fn take(
        &self,
        required: &[SnapshotCoin],
        optional: &[SnapshotCoin],
    ) -> BitcoinResult<Taken> {
        self.gather(required, optional, false)
    }

    /// The same with every coin of `optional` that is not left out.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(super) fn take_all(
        &self,
        required: &[SnapshotCoin],
        optional: &[SnapshotCoin],
    ) -> BitcoinResult<Taken> {
        self.gather(required, optional, true)
    }

    fn gather(
        &self,
        required: &[SnapshotCoin],
        optional: &[SnapshotCoin],
        takes_all: bool,
    ) -> BitcoinResult<Taken> {
        let mut taken = self.all_of(required);
        let mut optional = optional.iter();
        loop {
            let need_sat = self.need_sat(&taken);
            let is_enough = taken.sum_sat >= need_sat;
            if is_enough && !takes_all {
                return Ok(taken);
            }
            let Some(coin) = optional.next() else {
                return if is_enough {
                    Ok(taken)
                } else {
                    Err(missing(need_sat - taken.sum_sat))
                };
            };
            if !self.is_pending(coin) {
                taken.add(coin);
            } else if let Some((below, deficit_sat)) = self.admitted(&taken, coin) {
                taken.add(coin);
                taken.below = below;
                taken.deficit_sat = deficit_sat;
            }
        }
    }

    /// Whether the coin comes from a transaction that is not confirmed.
    pub(super) fn is_pending(&self, coin: &SnapshotCoin) -> bool {
        self.pending.contains(coin.outpoint.txid)
    }

    /// Divides what the coins are worth: an output for the rest if it pays for itself and is no
    /// dust, or else all that is left to the fee.
    ///
    /// # Errors
    /// `InvalidInput`: coins worth more than there can be. `Rejected`: too heavy to be relayed.
    pub(super) fn split(&self, taken: &Taken) -> BitcoinResult<Split> {
        let sum_sat = taken.checked_sum_sat()?;
        let with_rest = taken.weigher.with_output(self.rest.script_bytes);
        let rest_sat = u128::from(sum_sat - self.outputs_sat)
            .checked_sub(with_rest.fee_sat(self.fee_rate) + taken.deficit_sat)
            .and_then(|left_sat| u64::try_from(left_sat).ok())
            .filter(|left_sat| *left_sat >= self.rest.dust_limit_sat);
        let weigher = rest_sat.map_or(taken.weigher, |_| with_rest);
        Ok(Split {
            rest_sat,
            fee_sat: sum_sat - self.outputs_sat - rest_sat.unwrap_or(0),
            weight_wu: self.relayable(weigher.weight_wu())?,
        })
    }

    /// Whether all these coins together pay, and with that the proof that no sum of amounts and
    /// fees of any of them exceeds what can exist. Returns what is to be covered besides the
    /// inputs' own fees, in satoshi: the outputs, and everything else at its largest.
    pub(super) fn everything(
        &self,
        required: &[SnapshotCoin],
        optional: &[SnapshotCoin],
    ) -> Option<u64> {
        let mut all = self.all_of(required);
        for coin in optional {
            all.add(coin);
        }
        let sum_sat = all.checked_sum_sat().ok()?;
        let frame_sat = all.weigher.frame_fee_sat(self.fee_rate) + all.deficit_sat;
        if u128::from(sum_sat) < self.need_sat(&all) {
            return None;
        }
        u64::try_from(u128::from(self.outputs_sat) + frame_sat).ok()
    }

    /// The length of the script that the rest would have, in bytes.
    pub(super) const fn rest_script_bytes(&self) -> usize {
        self.rest.script_bytes
    }

    fn need_sat(&self, taken: &Taken) -> u128 {
        let (weigher, rest_sat) = if self.keeps_rest {
            let with_rest = taken.weigher.with_output(self.rest.script_bytes);
            (with_rest, self.rest.dust_limit_sat)
        } else {
            (taken.weigher, 0)
        };
        let fee_sat = weigher.fee_sat(self.fee_rate);
        u128::from(self.outputs_sat) + u128::from(rest_sat) + fee_sat + taken.deficit_sat
    }

    fn deficit_sat(&self, below: &Below) -> u128 {
        self.pending.deficit_sat(below, self.fee_rate)
    }

    /// What the transaction would be built on with this pending coin, and the deficit of that;
    /// nothing when the coin stays where it is.
    fn admitted(&self, taken: &Taken, coin: &SnapshotCoin) -> Option<(Below, u128)> {
        let transaction = self.pending.get(coin.outpoint.txid)?;
        let is_truc = self.version == TRUC_VERSION;
        if (transaction.version == TRUC_VERSION) != is_truc {
            return None;
        }
        let below = self.pending.with(&taken.below, coin.outpoint.txid);
        if is_truc && below.ancestors() > 1 {
            return None;
        }
        let mut with_coin = taken.weigher;
        with_coin.add_input(coin.address_type);
        if !self
            .pending
            .is_within_limits(&below, self.size_vb(with_coin))
        {
            return None;
        }
        let deficit_sat = if below == taken.below {
            taken.deficit_sat
        } else {
            self.deficit_sat(&below)
        };
        let fee_sat = input_fee_sat(coin.address_type, self.fee_rate);
        let is_worth_it = u128::from(coin.value_sat) + taken.deficit_sat > fee_sat + deficit_sat;
        is_worth_it.then_some((below, deficit_sat))
    }

    /// Refuses coins on whose unconfirmed ancestors nodes take no more.
    ///
    /// # Errors
    /// `InvalidInput`, with `unconfirmed_ancestors` in the context.
    pub(super) fn check_limits(&self, required: &[SnapshotCoin]) -> BitcoinResult<()> {
        let taken = self.all_of(required);
        let size_vb = self.size_vb(taken.weigher);
        if self.pending.is_within_limits(&taken.below, size_vb) {
            return Ok(());
        }
        let ancestors = taken.below.ancestors();
        let message = format!(
            "the coins come from unconfirmed transactions on which nodes take no more ({ancestors} \
             ancestors; {MAX_ANCESTORS} at most, connected with {MAX_CONNECTED} transactions at \
             most); wait until one confirms, or choose other coins"
        );
        Err(wrong(message).with_context("unconfirmed_ancestors", ancestors))
    }

    /// The size with an output for the rest, in vB.
    fn size_vb(&self, weigher: Weigher) -> u64 {
        let with_rest = weigher.with_output(self.rest.script_bytes);
        with_rest.weight_wu().div_ceil(4)
    }

    /// All these coins.
    pub(super) fn all_of(&self, coins: &[SnapshotCoin]) -> Taken {
        let mut taken = Taken {
            coins: Vec::with_capacity(coins.len()),
            weigher: self.outputs,
            sum_sat: 0,
            below: Below::default(),
            deficit_sat: 0,
        };
        for coin in coins {
            taken.add(coin);
            taken.below = self.pending.with(&taken.below, coin.outpoint.txid);
        }
        taken.deficit_sat = self.deficit_sat(&taken.below);
        taken
    }

    fn relayable(&self, weight_wu: u64) -> BitcoinResult<u64> {
        let most_wu = self.max_weight_wu;
        if weight_wu <= most_wu {
            return Ok(weight_wu);
        }
        let kind = if self.version == TRUC_VERSION {
            " of such a transaction of version 3"
        } else {
            ""
        };
        let message = format!(
            "the transaction would weigh {weight_wu} WU, and nodes relay {most_wu}{kind} at most; \
             use several transactions"
        );
        Err(BitcoinError::new(
            ErrorKind::Rejected,
            Operation::CreateTransaction,
            message,
        ))
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
        self.coins.push(*coin);
        self.weigher.add_input(coin.address_type);
        self.sum_sat += u128::from(coin.value_sat);
    }

    /// The weight without an output for the rest, in WU.
    pub(super) fn weight_wu(&self) -> u64 {
        self.weigher.weight_wu()
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

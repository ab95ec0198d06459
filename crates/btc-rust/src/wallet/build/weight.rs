//! Weights of inputs, outputs and whole transactions, before they are signed, and the fee.

use btc_iface::{AddressType, FeeRate};

/// The heaviest transaction that nodes relay, in WU (Bitcoin Core, `MAX_STANDARD_TX_WEIGHT`).
pub const MAX_STANDARD_WEIGHT_WU: u64 = 400_000;

/// Weight units per byte outside of witnesses (BIP141).
const SCALE: u64 = 4;
/// Version and lock time, four bytes each.
const VERSION_AND_LOCK_TIME_WU: u64 = 8 * SCALE;
/// A transaction with witnesses says so with two bytes that have the witness's weight.
const MARKER_AND_FLAG_WU: u64 = 2;
/// An input without a witness has an empty one in a transaction with witnesses: its count.
const EMPTY_WITNESS_WU: u64 = 1;

/// Weighs a transaction while it is put together; every signature counts as the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weigher {
    inputs: u64,
    inputs_without_witness: u64,
    inputs_wu: u64,
    outputs: u64,
    outputs_wu: u64,
}

impl Weigher {
    /// Adds an input that spends a coin of this type.
    pub fn add_input(&mut self, address_type: AddressType) {
        self.inputs += 1;
        self.inputs_without_witness += u64::from(!has_witness(address_type));
        self.inputs_wu += input_weight_wu(address_type);
    }

    /// Adds an output with a script of so many bytes.
    pub fn add_output(&mut self, script_bytes: usize) {
        self.outputs += 1;
        self.outputs_wu += output_weight_wu(script_bytes);
    }

    /// The same with one more output.
    #[must_use]
    pub fn with_output(mut self, script_bytes: usize) -> Self {
        self.add_output(script_bytes);
        self
    }

    /// The weight of the whole transaction in WU.
    pub fn weight_wu(&self) -> u64 {
        let witness_wu = if self.inputs_without_witness < self.inputs {
            MARKER_AND_FLAG_WU + self.inputs_without_witness * EMPTY_WITNESS_WU
        } else {
            0
        };
        let counts = compact_size_bytes(self.inputs) + compact_size_bytes(self.outputs);
        VERSION_AND_LOCK_TIME_WU + counts * SCALE + self.inputs_wu + self.outputs_wu + witness_wu
    }

    /// The fee of the whole transaction in satoshi. No rate overflows it.
    pub fn fee_sat(&self, fee_rate: FeeRate) -> u128 {
        fee_of_weight_sat(self.weight_wu(), fee_rate)
    }

    /// The fee of everything but the inputs, as if one of them had a witness.
    pub(super) fn frame_fee_sat(&self, fee_rate: FeeRate) -> u128 {
        let counts = compact_size_bytes(self.inputs) + compact_size_bytes(self.outputs);
        let frame_wu =
            VERSION_AND_LOCK_TIME_WU + counts * SCALE + self.outputs_wu + MARKER_AND_FLAG_WU;
        fee_of_weight_sat(frame_wu, fee_rate)
    }
}

/// The fee of so many weight units in satoshi: nodes count whole vB, so each begun one is paid.
pub(super) fn fee_of_weight_sat(weight_wu: u64, fee_rate: FeeRate) -> u128 {
    fee_rate.fee_sat(weight_wu.div_ceil(SCALE))
}

/// The fee of an input of this type in satoshi.
pub(super) fn input_fee_sat(address_type: AddressType, fee_rate: FeeRate) -> u128 {
    fee_of_weight_sat(input_weight_wu(address_type), fee_rate)
}

/// The weight of an input of this type in WU, signed with the largest low-R signature: 71 bytes
/// for ECDSA, 64 for Schnorr.
pub const fn input_weight_wu(address_type: AddressType) -> u64 {
    match address_type {
        AddressType::P2shP2wpkh => 363,
        AddressType::P2wpkh => 271,
        AddressType::P2tr => 230,
        _ => 588,
    }
}

/// The weight of an output in WU with a script of so many bytes.
pub const fn output_weight_wu(script_bytes: usize) -> u64 {
    let script_bytes = script_bytes as u64;
    (8 + compact_size_bytes(script_bytes) + script_bytes) * SCALE
}

/// The length of a script of this type in bytes.
pub(super) const fn script_bytes(address_type: AddressType) -> usize {
    match address_type {
        AddressType::P2shP2wpkh => 23,
        AddressType::P2wpkh => 22,
        AddressType::P2tr => 34,
        _ => 25,
    }
}

const fn has_witness(address_type: AddressType) -> bool {
    !matches!(address_type, AddressType::P2pkh)
}

/// The length of a count in its serialisation.
pub(super) const fn compact_size_bytes(count: u64) -> u64 {
    match count {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_weighs_what_it_is_known_to_weigh() {
        let mut weigher = Weigher::default();
        weigher.add_input(AddressType::P2wpkh);
        weigher.add_output(22);
        // One P2WPKH in, two out: 141 vB at most, the figure everybody uses.
        assert_eq!(weigher.with_output(22).weight_wu(), 561);
        assert_eq!(weigher.weight_wu(), 437);
        assert_eq!(weigher.fee_sat(FeeRate::from_sat_per_vb(1)), 110);
        let most = FeeRate::from_sat_per_kvb(u64::MAX);
        assert_eq!(
            weigher.fee_sat(most),
            (110 * u128::from(u64::MAX)).div_ceil(1_000)
        );
    }

    #[test]
    fn legacy_inputs_pay_for_their_empty_witness_among_others_only() {
        let mut weigher = Weigher::default();
        weigher.add_input(AddressType::P2pkh);
        weigher.add_input(AddressType::P2pkh);
        assert_eq!(weigher.weight_wu(), 32 + 8 + 2 * 588);
        weigher.add_input(AddressType::P2tr);
        assert_eq!(weigher.weight_wu(), 32 + 8 + 2 * 588 + 230 + 2 + 2);
    }

    #[test]
    fn counts_grow_at_253() {
        let mut weigher = Weigher::default();
        for _ in 0..252 {
            weigher.add_output(22);
        }
        assert_eq!(weigher.weight_wu(), 32 + 8 + 252 * 124);
        assert_eq!(weigher.with_output(22).weight_wu(), 32 + 16 + 253 * 124);
    }
}

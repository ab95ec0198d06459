//! Coin selection by name: bdk_wallet's algorithms over this wallet's coins and weights.

use bdk_chain::ChainPosition;
use bdk_chain::{BlockId, ConfirmationBlockTime};
use bdk_wallet::coin_selection::{
    BranchAndBoundCoinSelection, CoinSelectionAlgorithm, CoinSelectionResult, InsufficientFunds,
    OldestFirstCoinSelection, SingleRandomDraw,
};
use bdk_wallet::{KeychainKind, LocalOutput, Utxo, WeightedUtxo};
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::rand::RngCore;
use bitcoin::{Amount, BlockHash, Script, ScriptBuf, TxIn, TxOut, Weight};
use btc_iface::{AddressType, CoinSelection, FeeRate, SnapshotCoin};

use super::weight::{input_fee_sat, input_weight_wu};

/// A coin that may be chosen, with the height of its block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) coin: SnapshotCoin,
    pub(super) height: Option<u32>,
}

/// What is to be covered besides the inputs' own fees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// The outputs and the fee of everything but the inputs, in satoshi.
    pub(super) amount_sat: u64,
    pub(super) fee_rate: FeeRate,
    /// The length of the script that change would have, in bytes.
    pub(super) change_bytes: usize,
}

/// Chooses among `optional`; `required` are spent whatever is chosen. `None` when the algorithm
/// finds nothing, or for [`CoinSelection::LargestFirst`], which is not among these.
///
/// The caller makes sure that all amounts and all fees together are amounts that can exist.
pub(super) fn choose(
    selection: CoinSelection,
    required: &[SnapshotCoin],
    optional: &[Choice],
    target: Target,
    rng: &mut impl RngCore,
) -> Option<Vec<SnapshotCoin>> {
    let run = Run {
        required: (0..)
            .zip(required)
            .map(|(number, coin)| weighted(number, coin, None, KeychainKind::Internal))
            .collect(),
        optional: (0..)
            .zip(optional)
            .map(|(number, it)| weighted(number, &it.coin, it.height, KeychainKind::External))
            .collect(),
        target,
    };
    let chosen = match selection {
        CoinSelection::BranchAndBound => {
            // The value, the length of the script, the script.
            let change_bytes = 8 + 1 + target.change_bytes as u64;
            let algorithm = BranchAndBoundCoinSelection::new(change_bytes, SingleRandomDraw);
            run.with(&algorithm, rng)
        }
        CoinSelection::OldestFirst => run.with(&OldestFirstCoinSelection, rng),
        CoinSelection::SingleRandomDraw => run.with(&SingleRandomDraw, rng),
        _ => return None,
    };
    let numbers = chosen
        .ok()?
        .selected
        .into_iter()
        .filter_map(|utxo| match utxo {
            Utxo::Local(it) if it.keychain == KeychainKind::External => Some(it.derivation_index),
            _ => None,
        });
    let chosen = numbers.filter_map(|number| optional.get(number as usize));
    Some(chosen.map(|it| it.coin).collect())
}

/// Puts a list into an order that nobody can foresee (Fisher and Yates).
pub(super) fn shuffle<T>(list: &mut [T], rng: &mut impl RngCore) {
    for last in (1..list.len()).rev() {
        // The bias of one part in 2^64 by list length is of no use to anybody.
        let random = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
        list.swap(last, usize::try_from(random).unwrap_or(last));
    }
}

struct Run {
    required: Vec<WeightedUtxo>,
    optional: Vec<WeightedUtxo>,
    target: Target,
}

impl Run {
    fn with(
        self,
        algorithm: &impl CoinSelectionAlgorithm,
        rng: &mut impl RngCore,
    ) -> Result<CoinSelectionResult, InsufficientFunds> {
        let too_much = InsufficientFunds {
            needed: Amount::MAX,
            available: Amount::ZERO,
        };
        let per_kwu = self.target.fee_rate.sat_per_kvb().div_ceil(4);
        // Beyond this, bdk_wallet's own arithmetic ends.
        if per_kwu > u64::from(u32::MAX) {
            return Err(too_much);
        }
        let fee_rate = bitcoin::FeeRate::from_sat_per_kwu(per_kwu);
        algorithm.coin_select(
            self.required,
            self.optional,
            fee_rate,
            Amount::from_sat(self.target.amount_sat),
            // Whether there is change is decided by the weight of the whole transaction, later.
            Script::new(),
            rng,
        )
    }
}

/// The coin in bdk_wallet's terms; its number stands where an index would.
fn weighted(
    number: u32,
    coin: &SnapshotCoin,
    height: Option<u32>,
    keychain: KeychainKind,
) -> WeightedUtxo {
    let empty_wu = TxIn::default().segwit_weight().to_wu();
    let chain_position = match height {
        Some(height) => ChainPosition::Confirmed {
            anchor: ConfirmationBlockTime {
                block_id: BlockId {
                    height,
                    hash: BlockHash::all_zeros(),
                },
                confirmation_time: 0,
            },
            transitively: None,
        },
        None => ChainPosition::Unconfirmed {
            first_seen: None,
            last_seen: None,
        },
    };
    WeightedUtxo {
        satisfaction_weight: Weight::from_wu(most_weight_wu(coin.address_type) - empty_wu),
        utxo: Utxo::Local(LocalOutput {
            outpoint: coin.outpoint,
            txout: TxOut {
                value: Amount::from_sat(coin.value_sat),
                script_pubkey: ScriptBuf::new(),
            },
            keychain,
            is_spent: false,
            derivation_index: number,
            chain_position,
        }),
    }
}

/// Whether the coin is worth more than the fee of its input.
pub(super) fn is_economic(coin: &SnapshotCoin, fee_rate: FeeRate) -> bool {
    u128::from(coin.value_sat) > input_fee_sat(coin.address_type, fee_rate)
}

/// The weight of an input in any transaction, with the empty witness that a P2PKH input has among
/// others.
const fn most_weight_wu(address_type: AddressType) -> u64 {
    match address_type {
        AddressType::P2pkh => input_weight_wu(address_type) + 1,
        _ => input_weight_wu(address_type),
    }
}

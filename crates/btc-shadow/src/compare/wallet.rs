//! How the answers of wallets compare: addresses, planned transactions, what a wallet owns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use btc_iface::rust_bitcoin::OutPoint;
use btc_iface::{
    BitcoinAddress, BitcoinTransaction, BlockRef, PlannedTransaction, TransactionInput,
    WalletSnapshot, WalletState,
};

use super::{Compare, Differences, compare_output, compare_unlocking};

impl Compare for BitcoinAddress {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        let here = differences;
        here.field(".address", &self.address, &other.address, Clone::clone);
        here.field(
            ".address_type",
            &self.address_type,
            &other.address_type,
            ToString::to_string,
        );
        here.field(
            ".network",
            &self.network,
            &other.network,
            ToString::to_string,
        );
        here.field(
            ".script_pubkey",
            &self.script_pubkey,
            &other.script_pubkey,
            |s| s.to_hex_string(),
        );
        here.field(".index", &self.index, &other.index, |v| show(v.as_ref()));
    }
}

/// The transaction exactly; the coins that only one side knows; a secondary that is behind. A
/// secondary that is ahead has seen a block that came later, which is no difference by itself.
impl Compare for PlannedTransaction {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        if self == other {
            return;
        }
        compare_built(&self.transaction, &other.transaction, differences);
        if other.tip.height < self.tip.height {
            differences.at(".snapshot.tip", |here| {
                here.add(show_block(&self.tip), show_block(&other.tip), true);
            });
        }
        let ours: BTreeSet<_> = self.unknown_coins.iter().collect();
        let theirs: BTreeSet<_> = other.unknown_coins.iter().collect();
        let word = |is_unknown| if is_unknown { "unknown" } else { "spendable" };
        for coin in ours.symmetric_difference(&theirs) {
            differences.at(format_args!(".snapshot.coins[{coin}]"), |here| {
                here.add(word(ours.contains(coin)), word(theirs.contains(coin)), true);
            });
        }
    }
}

/// Every field of two transactions that were built on the same coins: first what was decided,
/// then what follows from it, so that one wrong amount is not crowded out by many signatures.
fn compare_built(ours: &BitcoinTransaction, theirs: &BitcoinTransaction, here: &mut Differences) {
    if ours == theirs {
        return;
    }
    here.at(".outputs", |here| {
        here.list(&ours.outputs, &theirs.outputs, compare_output);
    });
    here.at(".inputs", |here| {
        here.list(&ours.inputs, &theirs.inputs, compare_spending);
    });
    here.field(
        ".version",
        &ours.version,
        &theirs.version,
        ToString::to_string,
    );
    here.field(
        ".lock_time",
        &ours.lock_time,
        &theirs.lock_time,
        ToString::to_string,
    );
    here.field(".fee_sat", &ours.fee_sat, &theirs.fee_sat, |v| {
        show(v.as_ref())
    });
    here.field(".txid", &ours.txid, &theirs.txid, ToString::to_string);
    for (index, pair) in ours.inputs.iter().zip(&theirs.inputs).enumerate() {
        here.at(format_args!(".inputs[{index}]"), |here| {
            compare_unlocking(here, pair.0, pair.1);
        });
    }
    here.field(".wtxid", &ours.wtxid, &theirs.wtxid, ToString::to_string);
    here.field(".size", &ours.size, &theirs.size, ToString::to_string);
    here.field(".weight", &ours.weight, &theirs.weight, ToString::to_string);
    here.field(".block_hash", &ours.block_hash, &theirs.block_hash, |v| {
        show(v.as_ref())
    });
    here.field(
        ".block_height",
        &ours.block_height,
        &theirs.block_height,
        |v| show(v.as_ref()),
    );
}

fn compare_spending(here: &mut Differences, ours: &TransactionInput, theirs: &TransactionInput) {
    here.field(
        ".previous_output",
        &ours.previous_output,
        &theirs.previous_output,
        ToString::to_string,
    );
    here.field(
        ".sequence",
        &ours.sequence,
        &theirs.sequence,
        ToString::to_string,
    );
}

impl Compare for WalletState {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        let mut field = |path: &str, ours: String, theirs: String| {
            if ours != theirs {
                differences.at(path, |here| here.add(ours, theirs, true));
            }
        };
        field(".tip", show_block(&self.tip), show_block(&other.tip));
        let buckets = |state: &Self| {
            [
                ("confirmed_sat", state.balance.confirmed_sat),
                ("trusted_pending_sat", state.balance.trusted_pending_sat),
                ("untrusted_pending_sat", state.balance.untrusted_pending_sat),
                ("immature_sat", state.balance.immature_sat),
            ]
        };
        for ((name, ours), (_, theirs)) in buckets(self).into_iter().zip(buckets(other)) {
            field(
                &format!(".balance.{name}"),
                ours.to_string(),
                theirs.to_string(),
            );
        }
        let coins =
            |state: &Self| -> BTreeMap<OutPoint, u64> { state.coins.iter().copied().collect() };
        let (ours, theirs) = (coins(self), coins(other));
        let all: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for coin in all {
            let value = |coins: &BTreeMap<OutPoint, u64>| show(coins.get(coin));
            field(&format!(".coins[{coin}]"), value(&ours), value(&theirs));
        }
    }
}

/// What two wallets would build on now. Whoever is behind may lack coins, so that only the tip
/// differs then.
impl Compare for WalletSnapshot {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        if self.tip != other.tip {
            differences.at(".snapshot.tip", |here| {
                here.add(show_block(&self.tip), show_block(&other.tip), true);
            });
            return;
        }
        if self.change_type != other.change_type {
            differences.at(".snapshot.change_type", |here| {
                here.add(self.change_type, other.change_type, true);
            });
        } else if self.change_index != other.change_index {
            differences.at(".snapshot.change_index", |here| {
                here.add(self.change_index, other.change_index, true);
            });
        }
        let coins = |snapshot: &Self| -> BTreeMap<OutPoint, u64> {
            let coins = snapshot.coins.iter();
            coins.map(|coin| (coin.outpoint, coin.value_sat)).collect()
        };
        let (ours, theirs) = (coins(self), coins(other));
        let all: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for coin in all {
            let (ours, theirs) = (ours.get(coin), theirs.get(coin));
            if ours != theirs {
                differences.at(format_args!(".snapshot.coins[{coin}]"), |here| {
                    here.add(show(ours), show(theirs), true);
                });
            }
        }
    }
}

fn show<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn show_block(block: &BlockRef) -> String {
    format!("{} {}", block.height, block.hash)
}

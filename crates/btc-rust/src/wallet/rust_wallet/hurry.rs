//! Raising the fee of what is not confirmed: by replacing it, or by a child that pays for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{OutPoint, Psbt, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, Chain, ErrorKind, FeeRate, Operation, SnapshotCoin};

use super::RustWallet;
use super::interface::not_found;
use super::operations::{candidate, snapshot_coin};
use crate::wallet::build::{self, Ancestor, Change, Draft, NewFee, Original, Parent};
use crate::wallet::ledger::Ledger;
use crate::wallet::reservations::{Booking, now_ms};

/// What every node accepts as the extra pay for relaying a replacement. Bitcoin Core
/// asked for this much before version 30, and for a tenth of it since.
const INCREMENTAL: FeeRate = FeeRate::from_sat_per_vb(1);

impl RustWallet {
    /// Builds what `WalletInterface::bump_fee` would, and reserves nothing.
    ///
    /// # Errors
    /// As there; with `allow_high_fee`, a rate above 1,000 sat/vB is none.
    pub fn preview_bump(
        &self,
        txid: Txid,
        fee_rate: FeeRate,
        allow_high_fee: bool,
    ) -> BitcoinResult<Psbt> {
        let ledger = self.settled_ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(now_ms())?;
        let built = self.draft_replacement(&ledger, &booking, txid, fee_rate, allow_high_fee);
        built.map(|(_, psbt)| psbt)
    }

    /// Builds what `WalletInterface::accelerate` would, and reserves nothing.
    ///
    /// # Errors
    /// As there; with `allow_high_fee`, a rate above 1,000 sat/vB is none.
    pub fn preview_child(
        &self,
        txid: Txid,
        fee_rate: FeeRate,
        allow_high_fee: bool,
    ) -> BitcoinResult<Psbt> {
        let ledger = self.settled_ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(now_ms())?;
        let built = self.draft_child(&ledger, &booking, txid, fee_rate, allow_high_fee);
        built.map(|(_, psbt)| psbt)
    }

    /// `WalletInterface::bump_fee`.
    pub(super) fn replace(
        &self,
        txid: Txid,
        fee_rate: FeeRate,
        _drops: &[Txid],
    ) -> BitcoinResult<Psbt> {
        let mut ledger = self.settled_ledger();
        let (_, psbt) = self.book(&mut ledger, |ledger, _, booking| {
            let (draft, psbt) = self.draft_replacement(ledger, booking, txid, fee_rate, false)?;
            Ok((draft, psbt))
        })?;
        Ok(psbt)
    }

    /// `WalletInterface::accelerate`.
    pub(super) fn pay_for(&self, txid: Txid, fee_rate: FeeRate) -> BitcoinResult<Psbt> {
        let mut ledger = self.settled_ledger();
        let (_, psbt) = self.book(&mut ledger, |ledger, _, booking| {
            let (draft, psbt) = self.draft_child(ledger, booking, txid, fee_rate, false)?;
            Ok((draft, psbt))
        })?;
        Ok(psbt)
    }

    /// `WalletInterface::cancel`.
    pub(super) fn call_back(
        &self,
        _txid: Txid,
        _fee_rate: Option<FeeRate>,
        _drops: &[Txid],
    ) -> BitcoinResult<Psbt> {
        Err(wrong("not yet"))
    }

    fn draft_replacement(
        &self,
        ledger: &Ledger,
        booking: &Booking<'_>,
        txid: Txid,
        fee_rate: FeeRate,
        allow_high_fee: bool,
    ) -> BitcoinResult<(Draft, Psbt)> {
        let transaction = unconfirmed(ledger, txid)?;
        let inputs = transaction
            .input
            .iter()
            .map(|input| own_coin(ledger, input.previous_output))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                wrong("not all inputs are the wallet's; raise the fee with a child instead")
            })?;
        let original = Original {
            transaction: &transaction,
            inputs: &inputs,
            change: change_of(ledger, &transaction),
            descendants_fee_sat: Fees::of(ledger).of_descendants(ledger, txid),
        };
        let fee = NewFee {
            rate: fee_rate,
            incremental: INCREMENTAL,
            allow_high_fee,
        };
        let view = ledger.view();
        // Reserved for the transaction that goes.
        for coin in &inputs {
            booking.release(coin.outpoint)?;
        }
        let reserved = booking.reserved()?;
        let further: Vec<_> = view
            .coins
            .iter()
            .map(|coin| candidate(coin, &view, reserved.get(&coin.outpoint)))
            .collect();
        let place = self.change_place(ledger, booking)?;
        let draft = build::bump(
            self.keyring(),
            &original,
            &further,
            view.tip.height,
            place,
            fee,
        )?;
        let mut psbt = self.to_psbt(ledger, &draft)?;
        self.sign_own(ledger, &mut psbt)?;
        Ok((draft, psbt))
    }

    fn draft_child(
        &self,
        ledger: &Ledger,
        booking: &Booking<'_>,
        txid: Txid,
        fee_rate: FeeRate,
        allow_high_fee: bool,
    ) -> BitcoinResult<(Draft, Psbt)> {
        let transaction = unconfirmed(ledger, txid)?;
        let (fee_sat, ancestors) = self.ancestry(ledger, &transaction)?;
        let view = ledger.view();
        let reserved = booking.reserved()?;
        let coins: Vec<SnapshotCoin> = view
            .coins
            .iter()
            .filter(|coin| coin.outpoint.txid == txid)
            .filter(|coin| !reserved.contains_key(&coin.outpoint))
            .map(snapshot_coin)
            .collect();
        let parent = Parent {
            transaction: &transaction,
            fee_sat,
            ancestors: &ancestors,
            coins: &coins,
        };
        let place = self.change_place(ledger, booking)?;
        let draft = build::accelerate(
            self.keyring(),
            &parent,
            view.tip.height,
            place,
            fee_rate,
            allow_high_fee,
        )?;
        let mut psbt = self.to_psbt(ledger, &draft)?;
        self.sign_own(ledger, &mut psbt)?;
        Ok((draft, psbt))
    }

    /// The fee of an unconfirmed transaction, and its unconfirmed ancestors: from the source,
    /// which sees the whole mempool if it can, or else from the wallet's own transactions.
    fn ancestry(
        &self,
        ledger: &Ledger,
        transaction: &Transaction,
    ) -> BitcoinResult<(u64, Vec<Ancestor>)> {
        let txid = transaction.compute_txid();
        if let Some(known) = self.source.ancestry(txid)? {
            let ancestors = known.ancestors.into_iter();
            let ancestors = ancestors.map(|(weight_wu, fee_sat)| Ancestor { weight_wu, fee_sat });
            return Ok((known.fee_sat, ancestors.collect()));
        }
        let fees = Fees::of(ledger);
        let fee_sat = fees.get(txid).ok_or_else(|| {
            wrong(
                "its fee is not known: not all its inputs are the wallet's, and this chain source \
                 does not tell; use WALLET_SOURCE=core",
            )
        })?;
        Ok((fee_sat, fees.ancestors(ledger, transaction)))
    }
}

/// The fees of the wallet's unconfirmed transactions, where they are known.
struct Fees(HashMap<Txid, u64>);

impl Fees {
    fn of(ledger: &Ledger) -> Self {
        let history = ledger.history();
        let unconfirmed = history.iter().filter(|entry| entry.block.is_none());
        Self(
            unconfirmed
                .filter_map(|entry| Some((entry.txid, entry.fee_sat?)))
                .collect(),
        )
    }

    fn get(&self, txid: Txid) -> Option<u64> {
        self.0.get(&txid).copied()
    }

    /// Those of the wallet's own.
    fn ancestors(&self, ledger: &Ledger, transaction: &Transaction) -> Vec<Ancestor> {
        let mut seen = HashSet::new();
        let mut waiting = parents(transaction);
        let mut found = Vec::new();
        while let Some(txid) = waiting.pop() {
            let Some(fee_sat) = self.get(txid).filter(|_| seen.insert(txid)) else {
                continue;
            };
            if let Some(known) = ledger.transaction(txid) {
                found.push(Ancestor {
                    weight_wu: known.transaction.weight().to_wu(),
                    fee_sat,
                });
                waiting.extend(parents(&known.transaction));
            }
        }
        found
    }

    /// What the wallet's transactions that descend from this one pay together.
    fn of_descendants(&self, ledger: &Ledger, txid: Txid) -> u64 {
        let mut family = HashSet::from([txid]);
        loop {
            let known = family.len();
            for child in self.0.keys() {
                let transaction = ledger.transaction(*child);
                let descends = transaction.is_some_and(|it| {
                    parents(&it.transaction)
                        .iter()
                        .any(|parent| family.contains(parent))
                });
                if descends {
                    family.insert(*child);
                }
            }
            if family.len() == known {
                break;
            }
        }
        family.remove(&txid);
        let fees = family.into_iter().filter_map(|child| self.get(child));
        fees.fold(0, u64::saturating_add)
    }
}

fn parents(transaction: &Transaction) -> Vec<Txid> {
    let inputs = transaction.input.iter();
    inputs.map(|input| input.previous_output.txid).collect()
}

/// A transaction of the wallet's that can still be hurried.
fn unconfirmed(ledger: &Ledger, txid: Txid) -> BitcoinResult<Arc<Transaction>> {
    let known = ledger
        .transaction(txid)
        .ok_or_else(|| not_found("not a transaction of the wallet").with_context("txid", txid))?;
    if known.block.is_some() {
        return Err(wrong("the transaction is confirmed").with_context("txid", txid));
    }
    if !known.is_counted {
        let message =
            "the transaction is no longer in the mempool; broadcast it again, or pay anew";
        return Err(wrong(message).with_context("txid", txid));
    }
    Ok(known.transaction)
}

/// The wallet's output with this name, whether or not it is spent.
fn own_coin(ledger: &Ledger, outpoint: OutPoint) -> Option<SnapshotCoin> {
    let known = ledger.transaction(outpoint.txid)?;
    let output = known.transaction.output.get(outpoint.vout as usize)?;
    let ((address_type, chain), index) = ledger.index_of(&output.script_pubkey)?;
    Some(SnapshotCoin {
        outpoint,
        value_sat: output.value.to_sat(),
        address_type,
        chain,
        index,
    })
}

/// The output that returns money to the wallet.
fn change_of(ledger: &Ledger, transaction: &Transaction) -> Option<Change> {
    (0..).zip(&transaction.output).find_map(|(vout, output)| {
        let ((address_type, chain), index) = ledger.index_of(&output.script_pubkey)?;
        (chain == Chain::Change).then(|| Change {
            vout,
            address_type,
            index,
            value_sat: output.value.to_sat(),
        })
    })
}

fn wrong(message: &str) -> BitcoinError {
    BitcoinError::new(ErrorKind::InvalidInput, Operation::Wallet, message)
}

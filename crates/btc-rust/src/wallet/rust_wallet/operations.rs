//! The wallet's share of the eight operations.

use std::collections::HashMap;

use bitcoin::{OutPoint, Txid};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinResult, BitcoinTransaction, Chain, CoinSelection,
    CoinState, Operation, Recipient, SnapshotCoin, TransactionRequest, WalletSnapshot,
};

use super::{RESERVATION_MS, RustWallet};
use crate::wallet::build::{self, Candidate, Draft, Hold};
use crate::wallet::ledger::{Ledger, Unspent};
use crate::wallet::reservations::{self, Booking, Reservation};
use crate::wallet::source::Follower;

impl RustWallet {
    /// `BitcoinInterface::generate_address`. The chain is followed only if it never was: nobody
    /// knows before which addresses were used.
    ///
    /// # Errors
    /// # Effects
    /// As there.
    pub fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        let operation = Operation::GenerateAddress;
        let keychain = (address_type, Chain::Receive);
        self.keyring()
            .descriptor(keychain)
            .map_err(|error| error.during(operation))?;
        let mut ledger = self.ledger();
        if ledger.is_first_scan() {
            // Nobody knows yet which addresses were used.
            self.follow_with(&mut ledger)
                .map_err(|error| error.during(operation))?;
        }
        let at_least = Self::fresh_index(&ledger, keychain, 0);
        let index = self
            .reservations()
            .take_index(keychain, at_least)
            .map_err(|error| error.during(operation))?;
        ledger.set_next(keychain, index + 1)?;
        drop(ledger);
        self.keyring()
            .address(keychain, index)
            .map_err(|error| error.during(operation))
    }

    /// `BitcoinInterface::get_balance`, after the chain was followed.
    ///
    /// # Errors
    /// As there.
    pub fn get_balance(&self) -> BitcoinResult<u64> {
        let operation = Operation::GetBalance;
        self.follow().map_err(|error| error.during(operation))?;
        Ok(self.ledger().view().balance.spendable_sat())
    }

    /// `BitcoinInterface::create_transaction`, after the chain was followed.
    ///
    /// # Errors
    /// # Effects
    /// As there.
    pub fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        if self.selection == CoinSelection::LargestFirst {
            let built = self.create_with_snapshot(&outputs, fee_rate);
            return built.map(|(transaction, _)| transaction);
        }
        let operation = Operation::CreateTransaction;
        let request = TransactionRequest {
            recipients: outputs
                .into_iter()
                .map(|(address, value_sat)| Recipient { address, value_sat })
                .collect(),
            fee_rate_sat_per_vb: fee_rate,
            // The interface has no way to say yes to a high fee, nor a limit on it.
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        let signer = self.signer().map_err(|error| error.during(operation))?;
        let mut ledger = self.ledger();
        self.follow_with(&mut ledger)
            .map_err(|error| error.during(operation))?;
        let (_, transaction) = self.book(&mut ledger, |ledger, booking| {
            let draft = self.draft_request(ledger, booking, &request)?;
            let transaction = build::sign(&draft, self.keyring(), signer)?;
            let plain = build::to_bitcoin_transaction(&transaction, draft.fee_sat)?;
            Ok((draft, plain.txid, plain))
        })?;
        Ok(transaction)
    }

    /// [`create_transaction`](Self::create_transaction) in the deterministic mode, with the
    /// snapshot it was built on.
    ///
    /// # Errors
    /// # Effects
    /// As there.
    pub fn create_with_snapshot(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
    ) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
        let operation = Operation::CreateTransaction;
        let signer = self.signer().map_err(|error| error.during(operation))?;
        let mut ledger = self.ledger();
        self.follow_with(&mut ledger)
            .map_err(|error| error.during(operation))?;
        let (_, built) = self.book(&mut ledger, |ledger, booking| {
            let snapshot = self.snapshot(ledger, booking)?;
            let draft = build::plan(self.keyring(), &snapshot, outputs, fee_rate)?;
            let transaction = build::sign(&draft, self.keyring(), signer)?;
            let plain = build::to_bitcoin_transaction(&transaction, draft.fee_sat)?;
            Ok((draft, plain.txid, (plain, snapshot)))
        })?;
        Ok(built)
    }

    /// Plans within one transaction of the reservations, reserves what the plan chose, and only
    /// then hands it out.
    pub(super) fn book<T>(
        &self,
        ledger: &mut Ledger,
        plan: impl FnOnce(&Ledger, &Booking<'_>) -> BitcoinResult<(Draft, Txid, T)>,
    ) -> BitcoinResult<(Draft, T)> {
        let now_ms = reservations::now_ms();
        let mut reservations = self.reservations();
        let booking = reservations.begin(now_ms)?;
        let (draft, txid, built) = plan(ledger, &booking)?;
        let coins: Vec<OutPoint> = draft.inputs.iter().map(|coin| coin.outpoint).collect();
        booking.reserve(&coins, now_ms.saturating_add(RESERVATION_MS), txid)?;
        let change_chain = (self.folder.file().change_type, Chain::Change);
        let next = draft.change.map(|change| change.index + 1);
        if let Some(next) = next {
            booking.set_next(change_chain, next)?;
        }
        booking.commit()?;
        drop(reservations);
        if let Some(next) = next {
            ledger.set_next(change_chain, next)?;
        }
        Ok((draft, built))
    }

    /// What a transaction may be built on now.
    pub(super) fn snapshot(
        &self,
        ledger: &Ledger,
        booking: &Booking<'_>,
    ) -> BitcoinResult<WalletSnapshot> {
        let next = booking.next_index((self.folder.file().change_type, Chain::Change))?;
        Ok(self.snapshot_without(ledger, &booking.reserved()?, next))
    }

    /// The coins that can be spent without the reserved ones, and the change index, which is
    /// `next` unless a later one was seen used.
    pub(super) fn snapshot_without(
        &self,
        ledger: &Ledger,
        reserved: &HashMap<OutPoint, Reservation>,
        next: u32,
    ) -> WalletSnapshot {
        let view = ledger.view();
        let coins = view
            .coins
            .iter()
            .filter(|coin| is_spendable(coin) && !reserved.contains_key(&coin.outpoint))
            .map(snapshot_coin)
            .collect();
        let change_type = self.folder.file().change_type;
        WalletSnapshot {
            tip: view.tip,
            coins,
            change_type,
            change_index: Self::fresh_index(ledger, (change_type, Chain::Change), next),
        }
    }
}

/// Whether a coin may be chosen without being named.
pub(super) fn is_spendable(coin: &Unspent) -> bool {
    matches!(coin.state, CoinState::Confirmed | CoinState::TrustedPending)
}

/// The coin as a plan takes it.
pub(super) fn snapshot_coin(coin: &Unspent) -> SnapshotCoin {
    SnapshotCoin {
        outpoint: coin.outpoint,
        value_sat: coin.value_sat,
        address_type: coin.keychain.0,
        chain: coin.keychain.1,
        index: coin.index,
    }
}

/// The coin as a request takes it, with what holds it.
pub(super) fn candidate(coin: &Unspent, held: Option<&Reservation>) -> Candidate {
    Candidate {
        coin: snapshot_coin(coin),
        state: coin.state,
        height: coin.block.map(|block| block.height),
        hold: held.map(|held| {
            if held.is_lock() {
                Hold::Locked
            } else {
                Hold::Reserved
            }
        }),
    }
}

//! The wallet's share of the eight operations.

use std::collections::HashMap;

use bitcoin::OutPoint;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinResult, BitcoinTransaction, Chain, CoinSelection,
    CoinState, FeeRate, Operation, Recipient, SnapshotCoin, TransactionRequest, WalletSnapshot,
};

use super::{RESERVATION_MS, RustWallet};
use crate::wallet::build::{self, Candidate, Draft, Hold};
use crate::wallet::fault;
use crate::wallet::folder::RESTORE_GAP_LIMIT;
use crate::wallet::keys::Keychain;
use crate::wallet::ledger::{Ledger, Unspent, View};
use crate::wallet::reservations::{self, Booking, End, Reservation};
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
        if self.ledger().is_first_scan() {
            // Which addresses were used is not known yet.
            self.follow().map_err(|error| error.during(operation))?;
        }
        let mut ledger = self.ledger();
        let index = {
            let mut reservations = self.reservations();
            let booking = reservations.begin(reservations::now_ms())?;
            let index = Self::fresh_index(&ledger, keychain, booking.next_index(keychain)?);
            #[cfg(feature = "planted")]
            let index = if crate::planted::is(crate::planted::Planted::ReusesIndex) {
                index.saturating_sub(1)
            } else {
                index
            };
            self.check_reach(&ledger, keychain, index)
                .and_then(|()| booking.set_next(keychain, index + 1))
                .map_err(|error| error.during(operation))?;
            booking.commit()?;
            index
        };
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
        let view = self
            .followed_lately()
            .map_err(|error| error.during(operation))?;
        self.keep_payments();
        Ok(view.balance.spendable_sat())
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
            fee_rate: FeeRate::from_sat_per_vb(fee_rate),
            // The interface has no way to say yes to a high fee; its rate is limited.
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        let signer = self.signer().map_err(|error| error.during(operation))?;
        build::check_plain_rate(fee_rate, self.max_fee_rate)?;
        self.followed_lately()
            .map_err(|error| error.during(operation))?;
        self.keep_payments();
        let mut ledger = self.ledger();
        let (_, transaction) = self.book(&mut ledger, |ledger, view, booking| {
            let draft = self.draft_request(ledger, view, booking, &request, &[])?;
            let transaction = build::sign(&draft, self.keyring(), signer)?;
            let plain = build::to_bitcoin_transaction(&transaction, draft.fee_sat)?;
            Ok((draft, plain))
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
        self.followed_lately()
            .map_err(|error| error.during(operation))?;
        self.keep_payments();
        let mut ledger = self.ledger();
        let (_, built) = self.book(&mut ledger, |ledger, view, booking| {
            let snapshot = self.snapshot(ledger, view, booking)?;
            let draft = build::plan(
                self.keyring(),
                &snapshot,
                outputs,
                fee_rate,
                self.max_fee_rate,
            )?;
            let transaction = build::sign(&draft, self.keyring(), signer)?;
            let plain = build::to_bitcoin_transaction(&transaction, draft.fee_sat)?;
            Ok((draft, (plain, snapshot)))
        })?;
        Ok(built)
    }

    /// Plans within one transaction of the reservations, reserves what the plan chose, and only
    /// then hands it out.
    pub(super) fn book<T>(
        &self,
        ledger: &mut Ledger,
        plan: impl FnOnce(&Ledger, &View, &Booking<'_>) -> BitcoinResult<(Draft, T)>,
    ) -> BitcoinResult<(Draft, T)> {
        let now_ms = reservations::now_ms();
        let mut reservations = self.reservations();
        let booking = reservations.begin(now_ms)?;
        let view = self.current_view(ledger, &booking)?;
        let (draft, built) = plan(ledger, &view, &booking)?;
        let token = reservations::token(&draft.transaction);
        let coins: Vec<OutPoint> = draft.inputs.iter().map(|coin| coin.outpoint).collect();
        let end = End::after(now_ms, RESERVATION_MS);
        booking.reserve(&coins, end, token)?;
        if let Some(change) = draft.change {
            booking.reserve_change(change.address_type, change.index, end, token)?;
        }
        booking.commit()?;
        Ok((draft, built))
    }

    /// What a transaction may be built on now.
    pub(super) fn snapshot(
        &self,
        ledger: &Ledger,
        view: &View,
        booking: &Booking<'_>,
    ) -> BitcoinResult<WalletSnapshot> {
        let change_type = self.folder.file().change_type;
        let next = booking.next_index((change_type, Chain::Change))?;
        let promised = booking.reserved_change(change_type)?;
        let change_index = Self::change_index(ledger, change_type, next, promised);
        // Whether or not there will be change: both sides say the same whatever else is wrong.
        self.check_reach(ledger, (change_type, Chain::Change), change_index)?;
        Ok(self.snapshot_without(view, &booking.reserved()?, change_index))
    }

    /// The index of a change output that was neither given out nor seen used. One that was promised
    /// to a transaction which is not handed over goes back when the promise ends.
    pub(super) fn change_index(
        ledger: &Ledger,
        change_type: AddressType,
        next: u32,
        promised: Option<u32>,
    ) -> u32 {
        let after_promised = promised.map_or(0, |index| index.saturating_add(1));
        // The outputs of open payments are in the books, as used.
        Self::fresh_index(ledger, (change_type, Chain::Change), next).max(after_promised)
    }

    /// Refuses a draft with change that a wallet restored from its words would not look at.
    pub(super) fn check_change(&self, ledger: &Ledger, draft: &Draft) -> BitcoinResult<()> {
        let place = |change: build::Change| ((change.address_type, Chain::Change), change.index);
        match draft.change.map(place) {
            Some((keychain, index)) => self.check_reach(ledger, keychain, index),
            None => Ok(()),
        }
    }

    /// Refuses to give out an address that a wallet restored from its words would not look at.
    fn check_reach(&self, ledger: &Ledger, keychain: Keychain, index: u32) -> BitcoinResult<()> {
        let gap_limit = self.folder.file().gap_limit.max(RESTORE_GAP_LIMIT);
        let highest_used = ledger.highest_used(keychain);
        let end = highest_used
            .map_or(0, |used| used + 1)
            .saturating_add(gap_limit);
        if index < end {
            return Ok(());
        }
        let advice = match keychain.1 {
            Chain::Receive => "give out one of those again (btc address list)",
            Chain::Change => {
                "hand over what was built, or wait until its reservations end (10 minutes)"
            }
        };
        let message = format!(
            "{gap_limit} addresses were given out and none of them was paid: a wallet restored \
             from its words would not look further; {advice}"
        );
        Err(fault::invalid(message)
            .with_context("highest_used", highest_used.map_or(-1, i64::from))
            .with_context("gap_limit", gap_limit))
    }

    /// The coins that can be spent without those that are reserved or that a payment holds.
    pub(super) fn snapshot_without(
        &self,
        view: &View,
        reserved: &HashMap<OutPoint, Reservation>,
        change_index: u32,
    ) -> WalletSnapshot {
        let coins = view
            .coins
            .iter()
            .filter(|coin| is_spendable(coin))
            .filter(|coin| !reserved.contains_key(&coin.outpoint))
            .filter(|coin| !view.held.contains_key(&coin.outpoint))
            .map(snapshot_coin)
            .collect();
        WalletSnapshot {
            tip: view.tip,
            coins,
            pending: view.pending.clone(),
            change_type: self.folder.file().change_type,
            change_index,
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

/// The coin as a request takes it, with what holds it: an open payment, or a reservation.
pub(super) fn candidate(coin: &Unspent, view: &View, held: Option<&Reservation>) -> Candidate {
    let reservation = held.map(|held| {
        if held.is_lock() {
            Hold::Locked
        } else {
            Hold::Reserved
        }
    });
    let payment = view.held.get(&coin.outpoint);
    Candidate {
        coin: snapshot_coin(coin),
        state: coin.state,
        height: coin.block.map(|block| block.height),
        hold: payment.map(|_| Hold::Reserved).or(reservation),
    }
}

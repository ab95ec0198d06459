//! The wallet's share of the effect-free twins.

use std::collections::{HashMap, HashSet};

use bitcoin::Txid;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinResult, Chain, Operation, PendingTransaction,
    PlannedTransaction, SnapshotCoin, WalletSnapshot, WalletState,
};

use super::RustWallet;
use super::operations::{is_spendable, snapshot_coin};
use crate::wallet::build;
use crate::wallet::reservations::now_ms;

impl RustWallet {
    /// `WalletTwin::derive_address`.
    ///
    /// # Errors
    /// As there.
    pub fn derive_address(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> BitcoinResult<BitcoinAddress> {
        self.keyring()
            .address((address_type, Chain::Receive), index)
            .map_err(|error| error.during(Operation::GenerateAddress))
    }

    /// `WalletTwin::plan_transaction`, after the chain was followed.
    ///
    /// # Errors
    /// As there.
    pub fn plan_transaction(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        let operation = Operation::CreateTransaction;
        let signer = self.signer().map_err(|error| error.during(operation))?;
        let view = self.followed().map_err(|error| error.during(operation))?;
        let known: HashSet<_> = view
            .coins
            .iter()
            .filter(|coin| is_spendable(coin) && !view.held.contains_key(&coin.outpoint))
            .map(snapshot_coin)
            .collect();
        let ours: HashMap<_, _> = view.pending.iter().map(|it| (it.txid, it)).collect();
        let theirs: HashMap<_, _> = snapshot.pending.iter().map(|it| (it.txid, it)).collect();
        // What an unconfirmed coin comes with, and what that descends from, decides about its choice
        // and the fee.
        let differing = differing(&ours, &theirs);
        let is_known = |coin: &&SnapshotCoin| {
            known.contains(*coin) && !differing.contains(&coin.outpoint.txid)
        };
        let unknown_coins = snapshot
            .coins
            .iter()
            .filter(|coin| !is_known(coin))
            .map(|coin| coin.outpoint)
            .collect();
        let draft = build::plan(
            self.keyring(),
            snapshot,
            outputs,
            fee_rate,
            self.max_fee_rate,
        )?;
        let transaction = build::sign(&draft, self.keyring(), signer)?;
        Ok(PlannedTransaction {
            transaction: build::to_bitcoin_transaction(&transaction, draft.fee_sat)?,
            tip: view.tip,
            unknown_coins,
        })
    }

    /// `WalletTwin::balance_sat`.
    ///
    /// # Errors
    /// As there.
    pub fn balance_now(&self) -> BitcoinResult<u64> {
        let view = self.followed();
        let view = view.map_err(|error| error.during(Operation::GetBalance))?;
        Ok(view.balance.spendable_sat())
    }

    /// `WalletTwin::snapshot`.
    ///
    /// # Errors
    /// As there.
    pub fn current_snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        let operation = Operation::CreateTransaction;
        self.follow().map_err(|error| error.during(operation))?;
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        self.snapshot(&ledger, &view, &booking)
    }

    /// `WalletTwin::wallet_state`.
    ///
    /// # Errors
    /// As there.
    pub fn state(&self) -> BitcoinResult<WalletState> {
        let view = self
            .followed()
            .map_err(|error| error.during(Operation::GetBalance))?;
        let mut coins: Vec<_> = view
            .coins
            .iter()
            .map(|coin| (coin.outpoint, coin.value_sat))
            .collect();
        coins.sort_unstable();
        Ok(WalletState {
            tip: view.tip,
            balance: view.balance,
            coins,
        })
    }
}

type Pending<'a> = HashMap<Txid, &'a PendingTransaction>;

/// The unconfirmed transactions that the two sides see differently, or whose ancestors they do.
fn differing(ours: &Pending<'_>, theirs: &Pending<'_>) -> HashSet<Txid> {
    let all: HashSet<Txid> = ours.keys().chain(theirs.keys()).copied().collect();
    let mut children: HashMap<Txid, Vec<Txid>> = HashMap::new();
    for (txid, pending) in ours.iter().chain(theirs) {
        for parent in &pending.spends {
            children.entry(*parent).or_default().push(*txid);
        }
    }
    let mut found = HashSet::new();
    let mut waiting: Vec<Txid> = all.into_iter().collect();
    waiting.retain(|txid| ours.get(txid) != theirs.get(txid));
    while let Some(txid) = waiting.pop() {
        if found.insert(txid) {
            waiting.extend(children.get(&txid).into_iter().flatten());
        }
    }
    found
}

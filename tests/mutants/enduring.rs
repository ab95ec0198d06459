//! What comes later in a wallet's life: payments that the node loses, chains of payments that wait,
//! coins of another version, a clock that was set, a node that is started again.

use std::collections::HashSet;

use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, Transaction};
use btc::rust::wallet::build::{self, Draft};
use btc::rust::wallet::folder::Folder;
use btc::rust::wallet::keys::Signer;
use btc::rust::wallet::reservations::{RESERVATIONS, now_ms};
use btc::{AddressType, BitcoinTransaction, Network, SnapshotCoin, WalletSnapshot, WalletTwin};
use btc_tests::to_plain;
use rusqlite::Connection;

use crate::paying::{Life, other_payee, payee};
use crate::stage::{Failure, send};
use crate::watch::Role;

/// A coin that is worth more than many payments.
const LARGE_SAT: u64 = 3_000_000;
/// More payments in a row than nodes take.
const CHAIN: usize = 30;
/// A day, in milliseconds.
const DAY_MS: u64 = 86_400_000;

impl Life<'_, '_> {
    pub(crate) fn endures(&mut self) -> Result<(), Failure> {
        self.is_paid_far_ahead()?;
        self.loses_a_payment()?;
        self.spends_what_waits()?;
        self.waits_in_a_chain()?;
        self.has_another_version()?;
        self.clock_was_set()?;
        self.node_starts()
    }

    /// Addresses beyond the next ones are paid, the farthest first.
    fn is_paid_far_ahead(&mut self) -> Result<(), Failure> {
        for index in [25, 15] {
            let ahead = self.script(AddressType::P2tr, index)?;
            let paid = [(ahead, Amount::from_sat(21_000 + u64::from(index)))];
            self.ground.chain.pay(&paid, 3)?;
            self.ground.chain.mine(1)?;
            self.balances();
        }
        Ok(())
    }

    /// A payment is not final any more when its block is taken back, and the node drops it.
    fn loses_a_payment(&mut self) -> Result<(), Failure> {
        self.ground.chain.mine(1)?;
        self.balances();
        let before = self.watched.rust.snapshot()?;
        let lost = self.pay(Role::RustFirst, 150_000, 3);
        self.ground.chain.disconnect(1)?;
        self.ground.chain.mine(1)?;
        if let Some(lost) = lost {
            let waiting: Vec<String> = self.ground.chain.node().call("getrawmempool", &[])?;
            assert!(!waiting.contains(&lost.txid.to_string()), "it is not lost");
        }
        self.balances();
        for role in Role::ALL {
            drop(self.create(role, &[(payee()?, 30_000)], 3));
        }
        // It takes the coin of the payment that is lost.
        let rival = [(other_payee()?, 120_000)];
        let rival = self.watched.rust.plan_transaction(&rival, 40, &before)?;
        for role in [Role::RustFirst, Role::PythonFirst] {
            let first = self.watched.first(role);
            drop(first.broadcast_transaction(&rival.transaction));
        }
        self.balances();
        Ok(())
    }

    /// All that is worth much waits in one coin, beside two small confirmed ones.
    fn spends_what_waits(&mut self) -> Result<(), Failure> {
        self.ground.chain.mine(1)?;
        let coins = self.watched.rust.snapshot()?.coins;
        let fees = 1_000 * (u64::try_from(coins.len())? + 1);
        drop(self.pay(Role::RustFirst, sum(&coins).saturating_sub(fees), 2));
        self.is_paid(&[LARGE_SAT])?;
        drop(self.pay(Role::RustFirst, 100_000, 20));
        let mut small = Vec::new();
        for value_sat in [40_000, 41_000] {
            let script = self.script(AddressType::P2wpkh, 1)?;
            let value = Amount::from_sat(value_sat);
            small.push(self.ground.chain.spend_unrelayed_to(&script, value)?);
        }
        self.ground.chain.mine_transactions(&small)?;
        self.balances();
        for role in Role::ALL {
            drop(self.create(role, &[(payee()?, 30_000)], 3));
        }
        Ok(())
    }

    /// Payments of payments, some of which pay too little by themselves, until nodes take no more.
    fn waits_in_a_chain(&mut self) -> Result<(), Failure> {
        for role in Role::ALL {
            drop(self.pay(Role::RustFirst, 20_000, 2));
            drop(self.pay(role, 20_000, 10));
        }
        for role in Role::ALL.into_iter().cycle().take(CHAIN) {
            drop(self.pay(role, 2_000, 10));
        }
        self.balances();
        self.ground.chain.mine(1)?;
        self.balances();
        Ok(())
    }

    /// The largest coin waits in a transaction of version 3.
    fn has_another_version(&mut self) -> Result<(), Failure> {
        self.is_paid(&[LARGE_SAT])?;
        let snapshot = self.watched.rust.snapshot()?;
        let outputs = [(payee()?, 10_000)];
        let planned = self.watched.rust.plan_transaction(&outputs, 3, &snapshot)?;
        let transaction = self.signed_anew(&snapshot, &planned.transaction)?;
        send(self.ground.chain.node(), &transaction)?;
        self.balances();
        let snapshot = self.watched.rust.snapshot()?;
        let waiting: HashSet<_> = snapshot.pending.iter().map(|it| it.txid).collect();
        let mut confirmed = snapshot.coins;
        confirmed.retain(|coin| !waiting.contains(&coin.outpoint.txid));
        // What fails reserves nothing for the one after it.
        for role in [Role::RustFirst, Role::PythonFirst] {
            drop(self.create(role, &[(payee()?, sum(&confirmed) + 10_000)], 3));
        }
        Ok(())
    }

    /// The same transaction in version 3, with the wallet's signatures.
    fn signed_anew(
        &self,
        snapshot: &WalletSnapshot,
        planned: &BitcoinTransaction,
    ) -> Result<Transaction, Failure> {
        let bytes = btc::rust::encode_transaction(planned)?;
        let mut transaction: Transaction = bitcoin::consensus::encode::deserialize(&bytes)?;
        transaction.version = Version(3);
        for input in &mut transaction.input {
            input.script_sig = ScriptBuf::new();
            input.witness.clear();
        }
        let spent = transaction.input.iter().map(|input| input.previous_output);
        let coin = |outpoint| {
            let mut coins = snapshot.coins.iter();
            coins.find(|coin| coin.outpoint == outpoint).copied()
        };
        let draft = Draft {
            inputs: spent.filter_map(coin).collect(),
            transaction,
            change: None,
            fee_sat: planned.fee_sat.unwrap_or_default(),
            weight: 0,
        };
        let (_, keyring) = Folder::peek(self.wallet.path())?;
        let words = &self.wallet.words;
        let signer = Signer::from_words(Network::Regtest, words, &self.wallet.passphrase)?;
        Ok(build::sign(&draft, &keyring, &signer)?)
    }

    /// A coin is reserved until tomorrow, by a clock that was a day ahead.
    fn clock_was_set(&mut self) -> Result<(), Failure> {
        self.is_paid(&[LARGE_SAT, 200_000, 200_000])?;
        self.balances();
        let snapshot = self.watched.rust.snapshot()?;
        let coin = snapshot.coins.iter().max_by_key(|coin| coin.value_sat);
        let coin = coin.ok_or("there are coins")?.outpoint;
        let file = Connection::open(self.wallet.path().join(RESERVATIONS))?;
        file.execute(
            "INSERT INTO reserved (txid, vout, until_ms, span_ms, reason) VALUES (?, ?, ?, ?, ?)",
            (
                coin.txid.to_string(),
                coin.vout,
                i64::try_from(now_ms() + DAY_MS)?,
                600_000,
                "ab".repeat(32),
            ),
        )?;
        drop(file);
        for role in Role::ALL {
            drop(self.create(role, &[(payee()?, 20_000)], 3));
        }
        Ok(())
    }

    /// The node is started again, and answers before it has read its mempool.
    fn node_starts(&mut self) -> Result<(), Failure> {
        self.is_paid(&[LARGE_SAT])?;
        drop(self.pay(Role::RustFirst, 25_000, 3));
        let foreign = self.script(AddressType::P2tr, 4)?;
        let value = Amount::from_sat(66_000);
        let foreign = self.ground.chain.spend_to(&foreign, value)?;
        send(self.ground.chain.node(), &foreign)?;
        self.balances();
        self.ground.with_unloaded_mempool(|| {
            self.balances();
            Ok(())
        })?;
        self.balances();
        // Nothing of it is left for the next wallet's life.
        let plain = to_plain(&foreign, None);
        drop(
            self.watched
                .first(Role::RustFirst)
                .broadcast_transaction(&plain),
        );
        self.ground.chain.mine(1)?;
        Ok(())
    }

    /// Confirmed coins.
    fn is_paid(&mut self, values_sat: &[u64]) -> Result<(), Failure> {
        let script = self.script(AddressType::P2wpkh, 2)?;
        let paid = values_sat
            .iter()
            .map(|value| (script.clone(), Amount::from_sat(*value)));
        let paid: Vec<_> = paid.collect();
        self.ground.chain.pay(&paid, 3)?;
        self.ground.chain.mine(1)?;
        Ok(())
    }

    /// A payment that is built and sent in one role.
    fn pay(&self, role: Role, value_sat: u64, fee_rate: u64) -> Option<BitcoinTransaction> {
        let built = self.create(role, &[(payee().ok()?, value_sat)], fee_rate)?;
        drop(self.watched.first(role).broadcast_transaction(&built));
        Some(built)
    }
}

fn sum(coins: &[SnapshotCoin]) -> u64 {
    coins.iter().map(|coin| coin.value_sat).sum()
}

//! BDK on its own: its wallet, its emitter over bitcoincore-rpc, its store in SQLite.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use bdk_bitcoind_rpc::{BlockEvent, Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::coin_selection::LargestFirstCoinSelection;
use bdk_wallet::descriptor::IntoWalletDescriptor;
use bdk_wallet::rusqlite::Connection;
use bdk_wallet::signer::SignersContainer;
use bdk_wallet::template::Bip84;
use bdk_wallet::{KeychainKind, PersistedWallet, SignOptions, Wallet};
use bitcoincore_rpc::Client;
use bitcoincore_rpc::jsonrpc::{self, minreq_http::MinreqHttpTransport};
use btc::bitcoin::bip32::Xpriv;
use btc::bitcoin::{
    Amount, Block, FeeRate, Network, NetworkKind, OutPoint, ScriptBuf, Transaction,
};

use super::place::Words;
use crate::Outcome;

/// Blocks read ahead of their use, as in BDK's example.
const AHEAD: usize = 21;

/// A client of bitcoincore-rpc for a node with this cookie, with a connection for each call. Its
/// other transport keeps one connection, on which the node lets each request after the first wait
/// for up to 50 ms: a first sync of 6,000 blocks would take ten minutes.
pub(crate) fn client(url: &str, cookie: &str) -> Outcome<Client> {
    let (user, password) = cookie.trim().split_once(':').ok_or("a broken cookie")?;
    let transport = MinreqHttpTransport::builder()
        .url(url)?
        .basic_auth(user.to_owned(), Some(password.to_owned()))
        .build();
    let client = jsonrpc::Client::with_transport(transport);
    Ok(Client::from_jsonrpc(client))
}

/// A wallet of one type, P2WPKH.
pub(crate) struct Bdk {
    wallet: PersistedWallet<Connection>,
    database: Connection,
    signers: [SignersContainer; 2],
}

impl Bdk {
    /// A new one in this folder.
    pub(crate) fn create(words: &Words, home: &Path) -> Outcome<Self> {
        let master = Xpriv::new_master(Network::Regtest, &words.seed()?)?;
        let kinds = [KeychainKind::External, KeychainKind::Internal];
        let [receive, change] = kinds.map(|kind| Bip84(master, kind));
        let mut database = Connection::open(home.join("bdk.sqlite"))?;
        let wallet = Wallet::create(receive.clone(), change.clone())
            .network(Network::Regtest)
            .create_wallet(&mut database)?;
        let signers = |template: Bip84<Xpriv>| -> Outcome<_> {
            let secp = wallet.secp_ctx();
            let (descriptor, keys) = template.into_wallet_descriptor(secp, NetworkKind::Test)?;
            Ok(SignersContainer::build(keys, &descriptor, secp))
        };
        let signers = [signers(receive)?, signers(change)?];
        Ok(Self {
            wallet,
            database,
            signers,
        })
    }

    /// Reads the chain from this height on, on a thread of its own as BDK's example does, and
    /// writes the wallet down once, at the end.
    pub(crate) fn sync(&mut self, client: &Client, birthday: u32) -> Outcome<()> {
        let tip = self.wallet.latest_checkpoint();
        let mut emitter = Emitter::new(client, tip, birthday, NO_EXPECTED_MEMPOOL_TXS);
        let (sender, receiver) = sync_channel::<BlockEvent<Block>>(AHEAD);
        thread::scope(|scope| -> Outcome<()> {
            let reading = scope.spawn(move || -> Outcome<_> {
                while let Some(event) = emitter.next_block()? {
                    if sender.send(event).is_err() {
                        return Err("the wallet took no more blocks".into());
                    }
                }
                Ok(emitter.mempool()?)
            });
            for event in receiver {
                let (height, below) = (event.block_height(), event.connected_to());
                self.wallet
                    .apply_block_connected_to(&event.block, height, below)?;
            }
            let mempool = reading
                .join()
                .map_err(|_| "the reading thread panicked")??;
            self.wallet.apply_evicted_txs(mempool.evicted);
            self.wallet.apply_unconfirmed_txs(mempool.update);
            Ok(())
        })?;
        self.persist()
    }

    /// Writes down what is new.
    pub(crate) fn persist(&mut self) -> Outcome<()> {
        self.wallet.persist(&mut self.database)?;
        Ok(())
    }

    /// Coins and their values, and the sum that can be spent.
    pub(crate) fn coins(&self) -> (HashMap<OutPoint, u64>, u64) {
        let coins = self.wallet.list_unspent();
        let coins = coins.map(|coin| (coin.outpoint, coin.txout.value.to_sat()));
        let balance = self.wallet.balance();
        (coins.collect(), balance.trusted_spendable().to_sat())
    }

    /// Builds and signs a payment.
    pub(crate) fn build(
        &mut self,
        script: &ScriptBuf,
        amount: Amount,
        fee_rate: u64,
    ) -> Outcome<Transaction> {
        let rate = FeeRate::from_sat_per_vb(fee_rate).ok_or("a fee rate out of range")?;
        let builder = self.wallet.build_tx();
        let mut builder = builder.coin_selection(LargestFirstCoinSelection);
        builder
            .add_recipient(script.clone(), amount)
            .fee_rate(rate)
            // Without the whole transactions that the inputs spend: less to copy.
            .only_witness_utxo();
        let mut psbt = builder.finish()?;
        let options = SignOptions {
            trust_witness_utxo: true,
            ..SignOptions::default()
        };
        let signers = [&self.signers[0], &self.signers[1]];
        if !self
            .wallet
            .sign_with_signers(&mut psbt, &signers, options)?
        {
            return Err("BDK could not sign its own transaction".into());
        }
        Ok(psbt.extract_tx()?)
    }

    /// Keeps the coins that a transaction spends from being chosen again, on disk.
    pub(crate) fn lock(&mut self, transaction: &Transaction) -> Outcome<()> {
        for input in &transaction.input {
            self.wallet.lock_outpoint(input.previous_output);
        }
        self.persist()
    }

    /// Lets them be chosen again.
    pub(crate) fn unlock(&mut self, transaction: &Transaction) -> Outcome<()> {
        for input in &transaction.input {
            self.wallet.unlock_outpoint(input.previous_output);
        }
        self.persist()
    }
}

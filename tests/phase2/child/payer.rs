//! `Payer`: a thread that pays orders and does everything to its payments that a user can do.

use std::sync::Arc;

use btc::bitcoin::consensus::encode;
use btc::bitcoin::hex::DisplayHex;
use btc::bitcoin::{Psbt, Transaction, Txid};
use btc::rust::wallet::RustWallet;
use btc::shadow::parity::Random;
use btc::{
    BitcoinError, BitcoinResult, BitcoinTransaction, ErrorKind, FeeRate, PaymentState,
    WalletInterface,
};
use btc_tests::to_plain;
use serde::{Deserialize, Serialize};

use super::{Handle, Said, foreign, say};

/// What a process has to do with payments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The call that it makes most often.
    pub(crate) focus: String,
    /// Transactions of earlier processes, in hex: whether they were handed over is not known.
    pub(crate) unfinished: Vec<String>,
    /// Recipients of orders of which the wallet knew no payment.
    pub(crate) unpaid: Vec<String>,
}

/// One thread's share of the work.
pub(super) struct Payer {
    pub(super) handle: Handle,
    pub(super) number: usize,
    pub(super) random: Random,
    pub(super) orders: Orders,
}

type Change<'a> = &'a dyn Fn(&[Txid]) -> BitcoinResult<Psbt>;

impl Payer {
    pub(super) fn act(&mut self) {
        // Half of the time what the life is for.
        let focus = self.orders.focus.clone();
        let others = ["broadcast", "bump", "cancel", "balance", "rebroadcast"];
        let call = if self.random.once_in(2) {
            focus.as_str()
        } else {
            self.random.pick(&others)
        };
        let rust = self.handle.rust.clone();
        match (call, rust) {
            ("bump", Some(wallet)) => self.bump(&wallet),
            ("cancel", Some(wallet)) => self.cancel(&wallet),
            ("child", Some(wallet)) => self.child(&wallet),
            ("abandon", Some(wallet)) => self.abandon(&wallet),
            ("rebroadcast", Some(wallet)) => self.rebroadcast(&wallet),
            ("sync", Some(wallet)) => {
                self.begin("sync");
                self.heard("sync", wallet.sync());
            }
            ("balance", _) => {
                self.begin("balance");
                self.heard("balance", self.handle.bitcoin.get_balance());
            }
            _ => self.pay(),
        }
    }

    fn say(&self, said: &Said) {
        say(self.number, said);
    }

    fn begin(&self, what: &str) {
        self.say(&Said::Begin(what.to_owned()));
    }

    /// The answer, or a word about the failure: the node may be away, and what a user asks for may
    /// be refused.
    fn heard<T>(&self, what: &str, result: BitcoinResult<T>) -> Option<T> {
        let error = match result {
            Ok(answer) => return Some(answer),
            Err(error) => error,
        };
        let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
        let text = format!("{what}: {:?}: {error}; {causes:?}", error.kind());
        let may_be = match error.kind() {
            ErrorKind::Rejected | ErrorKind::Unavailable | ErrorKind::Timeout => true,
            // Another thread, or the chain, was faster.
            ErrorKind::InvalidInput | ErrorKind::NotFound => {
                !matches!(what, "create" | "broadcast" | "balance" | "sync")
            }
            _ => false,
        };
        self.say(&if may_be {
            Said::Refused(text)
        } else {
            Said::Failed(text)
        });
        None
    }

    /// Pays a new order, or goes on with one that an earlier process has left.
    fn pay(&mut self) {
        if let Some(hex) = self.orders.unfinished.pop() {
            let transaction: Transaction = encode::deserialize_hex(&hex).expect("it was said");
            self.hand_over(&to_plain(&transaction, None));
            return;
        }
        let left = self.orders.unpaid.pop();
        let order = left.unwrap_or_else(|| foreign(&mut self.random));
        let value_sat = self.random.between(1_000, 60_000);
        let fee_rate = self.random.between(1, 5);
        self.begin("create");
        let outputs = vec![(order.clone(), value_sat)];
        let built = self.handle.bitcoin.create_transaction(outputs, fee_rate);
        if let Some(transaction) = self.heard("create", built) {
            self.built(&transaction, Some(order));
            if !self.random.once_in(6) {
                self.hand_over(&transaction);
            }
        }
    }

    fn built(&self, transaction: &BitcoinTransaction, order: Option<String>) {
        let bytes = btc::rust::encode_transaction(transaction).expect("a whole transaction");
        self.say(&Said::Built(bytes.to_lower_hex_string(), order));
    }

    fn hand_over(&self, transaction: &BitcoinTransaction) {
        self.say(&Said::Handing(transaction.txid.to_string()));
        let sent = self.handle.bitcoin.broadcast_transaction(transaction);
        if let Some(txid) = self.heard("broadcast", sent) {
            self.say(&Said::Sent(txid));
        }
    }

    fn bump(&mut self, wallet: &RustWallet) {
        let states = [PaymentState::InMempool, PaymentState::Missing];
        let Some(txid) = self.one_of(wallet, &states) else {
            return self.pay();
        };
        let rate = FeeRate::from_sat_per_vb(self.random.between(6, 25));
        self.replace(
            "bump",
            wallet,
            &|drops| match wallet.bump_fee(txid, rate, drops) {
                Err(error) => match least_rate(&error) {
                    Some(rate) => wallet.bump_fee(txid, rate, drops),
                    None => Err(error),
                },
                built => built,
            },
        );
    }

    fn cancel(&mut self, wallet: &RustWallet) {
        let states = [PaymentState::InMempool, PaymentState::Missing];
        let Some(txid) = self.one_of(wallet, &states) else {
            return self.pay();
        };
        self.replace("cancel", wallet, &|drops| wallet.cancel(txid, None, drops));
    }

    fn child(&mut self, wallet: &RustWallet) {
        let Some(txid) = self.one_of(wallet, &[PaymentState::InMempool]) else {
            return self.pay();
        };
        let rate = FeeRate::from_sat_per_vb(self.random.between(6, 25));
        self.replace("child", wallet, &|_| wallet.accelerate(txid, rate));
    }

    /// Builds what `change` gives, dropping descendants half of the time, and hands it over most
    /// of the time.
    fn replace(&mut self, what: &str, wallet: &RustWallet, change: Change<'_>) {
        self.begin(what);
        let mut built = change(&[]);
        if let Err(error) = &built {
            let drops = descendants(error);
            if !drops.is_empty() && self.random.once_in(2) {
                built = change(&drops);
            }
        }
        let Some(mut psbt) = self.heard(what, built) else {
            return;
        };
        let complete = wallet
            .sign_psbt(&mut psbt)
            .and_then(|_| wallet.finalize_psbt(&mut psbt))
            .and_then(|_| wallet.extract_psbt(&psbt, true));
        if let Some(transaction) = self.heard("sign", complete) {
            self.built(&transaction, None);
            if !self.random.once_in(6) {
                self.hand_over(&transaction);
            }
        }
    }

    fn abandon(&mut self, wallet: &RustWallet) {
        if let Some(txid) = self.one_of(wallet, &[PaymentState::Missing]) {
            self.begin("abandon");
            if let Some(all) = self.heard("abandon", wallet.abandon(txid)) {
                let all = all.iter().map(ToString::to_string).collect();
                self.say(&Said::Abandoned(all));
            }
        }
    }

    fn rebroadcast(&mut self, wallet: &Arc<RustWallet>) {
        let one = self
            .one_of(wallet, &[PaymentState::Missing])
            .filter(|_| self.random.once_in(2));
        self.begin("rebroadcast");
        self.heard("rebroadcast", wallet.rebroadcast(one));
    }

    /// A payment of the wallet in one of these states, by the chain as it is now.
    fn one_of(&mut self, wallet: &RustWallet, states: &[PaymentState]) -> Option<Txid> {
        self.begin("follow");
        self.heard("follow", wallet.follow())?;
        let history = self.heard("history", wallet.history())?;
        let found = history
            .iter()
            .filter(|entry| entry.sent_sat > 0 && states.contains(&entry.state));
        let found: Vec<Txid> = found.map(|entry| entry.txid).collect();
        let count = u64::try_from(found.len()).ok().filter(|it| *it > 0)?;
        found
            .get(usize::try_from(self.random.word() % count).ok()?)
            .copied()
    }
}

/// The payments that would be lost.
fn descendants(error: &BitcoinError) -> Vec<Txid> {
    let named = context(error, "descendants").unwrap_or_default();
    let txids = named.split(',').filter_map(|txid| txid.parse().ok());
    txids.collect()
}

fn least_rate(error: &BitcoinError) -> Option<FeeRate> {
    let rate = context(error, "min_fee_rate_sat_per_kvb")?.parse().ok()?;
    Some(FeeRate::from_sat_per_kvb(rate))
}

fn context<'e>(error: &'e BitcoinError, name: &str) -> Option<&'e str> {
    let mut all = error.context().iter();
    let found = all.find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

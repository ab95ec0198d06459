//! `Actor`: a thread that gives out addresses, pays and locks coins, at random.

use std::sync::Arc;

use btc::bitcoin::hex::DisplayHex;
use btc::rust::wallet::RustWallet;
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinResult, ErrorKind, WalletInterface};

use super::{Handle, Said, foreign, say};

/// A thread that calls at random.
pub(super) struct Actor {
    pub(super) handle: Handle,
    pub(super) number: usize,
    pub(super) random: Random,
    pub(super) own: Vec<String>,
    pub(super) locks: bool,
}

impl Actor {
    pub(super) fn act(&mut self) {
        match self.random.between(0, 9) {
            0 => self.check_balance(),
            1..=3 => self.address(),
            4..=7 => self.pay(),
            _ => match &self.handle.rust {
                Some(wallet) if self.locks => self.lock(&Arc::clone(wallet)),
                _ => self.pay(),
            },
        }
    }

    fn say(&self, said: &Said) {
        say(self.number, said);
    }

    fn begin(&self, what: &str) {
        self.say(&Said::Begin(what.to_owned()));
    }

    /// The answer, or a word about the failure.
    fn heard<T>(&self, what: &str, result: BitcoinResult<T>) -> Option<T> {
        let error = match result {
            Ok(answer) => return Some(answer),
            Err(error) => error,
        };
        let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
        let text = format!("{what}: {error}; {causes:?}");
        // Too few coins, too many unconfirmed transactions in a row, a worker that was killed.
        let may_be = match error.kind() {
            ErrorKind::Rejected => what == "create" || text.contains("too-l"),
            ErrorKind::Unavailable => text.contains("Python worker ended during the call"),
            _ => false,
        };
        self.say(&if may_be {
            Said::Refused(text)
        } else {
            Said::Failed(text)
        });
        None
    }

    fn check_balance(&self) {
        self.begin("balance");
        self.heard("balance", self.handle.bitcoin.get_balance());
    }

    fn address(&mut self) {
        let address_type = self.random.pick(&AddressType::ALL);
        self.begin("address");
        let answer = self.handle.bitcoin.generate_address(address_type);
        if let Some(given) = self.heard("address", answer) {
            let index = given.index.unwrap_or(u32::MAX);
            self.say(&Said::Address(address_type, index, given.address.clone()));
            self.own.push(given.address);
        }
    }

    fn pay(&mut self) {
        let mut outputs = vec![(
            foreign(&mut self.random),
            self.random.between(1_000, 90_000),
        )];
        if let Some(own) = self.own.last()
            && self.random.once_in(2)
        {
            outputs.push((own.clone(), self.random.between(20_000, 60_000)));
        }
        let addresses = outputs.iter().map(|(address, _)| address.clone()).collect();
        let fee_rate = self.random.between(1, 5);
        self.begin("create");
        let built = self.handle.bitcoin.create_transaction(outputs, fee_rate);
        let Some(transaction) = self.heard("create", built) else {
            return;
        };
        let bytes = btc::rust::encode_transaction(&transaction).expect("a whole transaction");
        self.say(&Said::Created(bytes.to_lower_hex_string(), addresses));
        if self.random.once_in(4) {
            return;
        }
        self.begin("broadcast");
        let sent = self.handle.bitcoin.broadcast_transaction(&transaction);
        if let Some(txid) = self.heard("broadcast", sent) {
            self.say(&Said::Sent(txid));
        }
    }

    fn lock(&mut self, wallet: &RustWallet) {
        self.begin("lock");
        let Some(coins) = self.heard("coins", wallet.unspent()) else {
            return;
        };
        let is_to_lock = self.random.once_in(2);
        let reason = (!is_to_lock).then_some("locked");
        let coin = coins.iter().find(|it| it.reserved_for.as_deref() == reason);
        let Some(coin) = coin.map(|coin| coin.outpoint) else {
            return;
        };
        if is_to_lock {
            if self.heard("lock", wallet.lock(coin)).is_some() {
                self.say(&Said::Locked(coin));
            }
        } else {
            self.say(&Said::Unlocking(coin));
            self.heard("unlock", wallet.unlock(coin));
        }
    }
}

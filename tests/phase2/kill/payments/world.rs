//! What the world does around a wallet, and how time passes for it.

use std::time::Duration;

use btc::bitcoin::{Amount, ScriptBuf, Txid};
use btc::rust::wallet::reservations::{Reservations, now_ms};
use btc::{AddressType, BitcoinImplementationType};
use btc_tests::Outcome;
use serde_json::json;

use super::Field;
use crate::kill::send;
use crate::kill::truth::read_file;

impl Field<'_, '_> {
    pub(super) fn fund(&mut self) -> Outcome {
        let rust = self.open(BitcoinImplementationType::Rust)?;
        for address_type in AddressType::ALL {
            for _ in 0..6 {
                let script = rust.generate_address(address_type)?.script_pubkey;
                self.chain
                    .pay(&[(script.clone(), Amount::from_sat(400_000))], 2)?;
                self.scripts.push(script);
            }
        }
        self.chain.mine(1)?;
        Ok(())
    }

    /// What a call of this kind needs to be hit in.
    pub(super) fn prepare(&mut self, focus: &str) -> Outcome {
        match focus {
            "abandon" | "rebroadcast" => self.forget(),
            // One settles, one sends again.
            "balance" | "sync" if self.random.once_in(3) => self.bury(),
            "balance" => {
                self.forget()?;
                self.hours_pass()
            }
            _ => Ok(()),
        }
    }

    /// Someone pays, finds a block, forgets, reorganises or restarts the node.
    pub(super) fn world_moves(&mut self) -> Outcome {
        std::thread::sleep(Duration::from_millis(self.random.between(5, 60)));
        match self.random.between(0, 99) {
            0..=24 => {
                self.chain.mine(1)?;
                self.note("blocks");
            }
            25..=44 => {
                let last = self.scripts.len() as u64 - 1;
                let number = usize::try_from(self.random.between(0, last))?;
                let value = Amount::from_sat(self.random.between(20_000, 400_000));
                let script = self.scripts[number].clone();
                // The coin may have gone with a reorganisation.
                if self.chain.pay(&[(script, value)], 2).is_ok() {
                    self.note("incoming payments");
                }
            }
            45..=52 => self.forget()?,
            53..=57 => {
                let depth = u32::try_from(self.random.between(1, 4))?;
                self.chain.reorg(depth)?;
                self.note("reorganisations");
            }
            58..=62 => {
                let depth = u32::try_from(self.random.between(1, 4))?;
                self.chain.reorg_empty(depth)?;
                self.note("reorganisations without payments");
            }
            63 => {
                self.chain.node().restart()?;
                self.note("restarts without a mempool");
            }
            64 => self.bury()?,
            _ => {}
        }
        Ok(())
    }

    /// What waits for longer than an hour is forgotten when the next transaction comes.
    fn forget(&mut self) -> Outcome {
        let node = self.chain.node();
        let later = now_ms() / 1_000 + 3_700;
        let script = ScriptBuf::new_p2wsh(&btc::bitcoin::hashes::Hash::all_zeros());
        let other = self.chain.spend_to(&script, Amount::from_sat(10_000));
        let _: serde_json::Value = node.call("setmocktime", &[json!(later)])?;
        // It is refused where its coin has gone with a reorganisation.
        let sent = other.map(|other| send(node, &other));
        let _: serde_json::Value = node.call("setmocktime", &[json!(0)])?;
        if matches!(sent, Ok(Ok(()))) {
            self.note("mempools forgotten");
        }
        Ok(())
    }

    /// Deep enough that what is in the chain is settled.
    fn bury(&mut self) -> Outcome {
        self.chain.mine(146)?;
        self.note("days");
        Ok(())
    }

    fn note(&mut self, what: &'static str) {
        self.recent.push(what);
        *self.tally.world.entry(what).or_default() += 1;
    }

    /// Missing payments are to be sent again now.
    fn hours_pass(&mut self) -> Outcome {
        let mut reservations = Reservations::open(self.wallet.path())?;
        let booking = reservations.begin(now_ms())?;
        for txid in booking.payments(i64::MAX)?.keys() {
            booking.set_next_broadcast(*txid, now_ms())?;
        }
        booking.commit()?;
        self.note("times to send again");
        Ok(())
    }

    /// Some reservations end, so that there are always coins.
    pub(super) fn time_passes(&mut self) -> Outcome {
        let mut over: Vec<Txid> = self.book.reserved_for().collect();
        let (_, reserved) = read_file(&self.wallet)?;
        let strays = reserved.values().filter_map(|it| it.parse::<Txid>().ok());
        over.extend(strays.filter(|it| !self.book.has_token(*it)));
        over.retain(|_| self.random.once_in(3));
        let mut reservations = Reservations::open(self.wallet.path())?;
        for token in over {
            reservations.release_for(token)?;
            self.book.let_go(token);
        }
        Ok(())
    }
}

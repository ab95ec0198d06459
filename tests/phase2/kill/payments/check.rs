//! What must be so between two lives: both sides agree with the node, with the file, and with what
//! was said.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use btc::bitcoin::{Script, Txid};
use btc::rust::RustBitcoin;
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::folder::Folder;
use btc::{
    BitcoinError, BitcoinImplementationType, BitcoinInterface, Chain, ObservedWallet, PaymentState,
    WalletInterface, WalletSnapshot, WalletState, WalletTwin,
};
use btc_tests::Outcome;

use super::Field;
use crate::kill::truth::{Payments, Standing, Truth, held, read_file, replaced, standings};

impl Field<'_, '_> {
    /// Between two lives: both sides agree with the node, with the file, and with what was said.
    pub(super) fn check(&mut self) -> Outcome {
        let python = self.open(BitcoinImplementationType::Python)?;
        let config = self.wallet.config(&self.node, &[]);
        let rust = btc::connect_wallet(&config)?;
        let bitcoin = RustBitcoin::connect(&self.node)?.with_wallet(Arc::clone(&rust));
        // What is due is sent again; and then there is nothing more to do.
        if self.random.once_in(2) {
            python.get_balance()?;
        }
        bitcoin.get_balance()?;
        python.get_balance()?;

        let node = self.chain.node();
        let truth = Truth::read(node, self.base, &mut self.blocks, &self.reference)?;
        let (payments, reserved) = read_file(&self.wallet)?;
        for txid in &truth.own {
            if !payments.contains_key(txid) {
                return Err(format!("the node has {txid}, and the wallet does not know it").into());
            }
        }
        let standings = standings(&payments, &truth);
        let held = held(&payments, &standings);
        let expected = truth.state(&held);
        let free = truth.free(&held, |coin| reserved.contains_key(coin));
        for (who, side) in [("rust", &bitcoin as &dyn WalletTwin), ("python", &*python)] {
            let state = side.wallet_state()?;
            if state != expected {
                let again = side.wallet_state()? == expected;
                let pending = self.book.trails(truth.pending());
                let text = differences(&state, &expected);
                let world = &self.recent;
                let message = format!(
                    "{who} is wrong about what it owns: {text}\n  right when asked again: {again}\n  \
                     lately: {world:?}\n  pending: {pending}"
                );
                return Err(message.into());
            }
            let snapshot = side.snapshot()?;
            let may_take: BTreeSet<_> = snapshot.coins.iter().map(|it| it.outpoint).collect();
            if may_take != free {
                let keeps: Vec<_> = free.difference(&may_take).collect();
                let takes: Vec<_> = may_take.difference(&free).collect();
                let message = format!("{who} keeps the free {keeps:?} and takes {takes:?}");
                return Err(message.into());
            }
        }
        let keyring = Folder::peek(self.wallet.path())?.1;
        let known = payments.values().map(|it| &it.transaction);
        let known = known.chain(truth.all.values().map(|(_, it)| it));
        let paid: HashSet<&Script> = known
            .flat_map(|it| &it.output)
            .map(|output| &*output.script_pubkey)
            .collect();
        let is_fresh = |snapshot: &WalletSnapshot| -> Result<bool, BitcoinError> {
            let keychain = (snapshot.change_type, Chain::Change);
            let script = keyring.script(keychain, snapshot.change_index)?;
            Ok(!paid.contains(&*script))
        };
        check_snapshots(bitcoin.snapshot()?, python.snapshot()?, is_fresh)?;
        check_history(&rust, &payments, &standings)?;
        check_words(&bitcoin, &*python, &payments, &standings)?;
        self.book.check_file(&payments, &standings, &reserved)?;
        self.tally.confirmed = self.book.check_orders(&payments, &standings, &truth)?;
        self.note_moves(standings);
        Ok(())
    }

    fn note_moves(&mut self, standings: BTreeMap<Txid, Standing>) {
        for (txid, standing) in &standings {
            let old = self.stood.get(txid);
            if old != Some(standing) {
                let from = old.map_or_else(|| "new".to_owned(), |it| format!("{it:?}"));
                let name = format!("{from} -> {standing:?}");
                *self.tally.moves.entry(name).or_default() += 1;
            }
        }
        self.stood = standings;
    }
}

/// What is said to be owned and is not, and the other way round.
fn differences(said: &WalletState, is: &WalletState) -> String {
    let surplus = said.coins.iter().filter(|it| !is.coins.contains(it));
    let lacking = is.coins.iter().filter(|it| !said.coins.contains(it));
    format!(
        "{:?} {:?}, not {:?} {:?}\n  has not {:?}\n  has {:?}",
        said.tip,
        said.balance,
        is.tip,
        is.balance,
        surplus.collect::<Vec<_>>(),
        lacking.collect::<Vec<_>>()
    )
}

/// That both sides would build on the same, in whatever order they say it. The change may be
/// another one, if neither was used: a side that looks while a payment is handed over, and then
/// refused, takes its change for used, and one that looks later does not.
fn check_snapshots(
    mut rust: WalletSnapshot,
    mut python: WalletSnapshot,
    is_fresh: impl Fn(&WalletSnapshot) -> Result<bool, BitcoinError>,
) -> Outcome {
    for snapshot in [&mut rust, &mut python] {
        snapshot.coins.sort_by_key(|coin| coin.outpoint);
    }
    let are_fresh = is_fresh(&rust)? && is_fresh(&python)?;
    let other = WalletSnapshot {
        change_index: rust.change_index,
        ..python.clone()
    };
    if rust == other && are_fresh {
        return Ok(());
    }
    let mut text = format!(
        "the change: {} and {}, fresh: {are_fresh}",
        rust.change_index, python.change_index
    );
    for (name, ours, theirs) in [("rust", &rust, &python), ("python", &python, &rust)] {
        let coins = ours.coins.iter().filter(|it| !theirs.coins.contains(it));
        let coins: Vec<_> = coins.collect();
        let pending = ours
            .pending
            .iter()
            .filter(|it| !theirs.pending.contains(it));
        let pending: Vec<_> = pending.collect();
        write!(text, "\n  {name} alone: {coins:?} {pending:?}")?;
    }
    Err(format!("the sides would build on different things; {text}").into())
}

/// That history lists each payment with its state, and not those that another one replaced.
fn check_history(
    wallet: &RustWallet,
    payments: &Payments,
    standings: &BTreeMap<Txid, Standing>,
) -> Outcome {
    let history = wallet.history()?;
    let mut listed = BTreeMap::new();
    for entry in &history {
        if listed.insert(entry.txid, entry.state).is_some() {
            return Err(format!("{} is listed twice", entry.txid).into());
        }
    }
    let replaced: HashSet<Txid> = replaced(payments, standings);
    for (txid, standing) in standings {
        let found = listed.get(txid).copied();
        if payments[txid].is_settled {
            let is_decided = matches!(standing, Standing::Confirmed | Standing::Conflicted);
            if !is_decided {
                return Err(format!("{txid} is settled, and {standing:?}").into());
            }
        }
        let wanted = match standing {
            // Also where what is to replace it did not reach the node.
            Standing::InMempool => Some(PaymentState::InMempool),
            _ if replaced.contains(txid) => None,
            Standing::Missing => Some(PaymentState::Missing),
            Standing::Confirmed => Some(PaymentState::Confirmed),
            Standing::Conflicted if payments[txid].is_settled => continue,
            Standing::Conflicted => Some(PaymentState::Conflicted),
            Standing::Abandoned => Some(PaymentState::Abandoned),
        };
        if found != wanted {
            let message = format!("{txid} is listed as {found:?}, and is {standing:?}");
            return Err(message.into());
        }
    }
    Ok(())
}

/// That both sides say the same of each payment that is not confirmed, asked whether it may be sent.
fn check_words(
    rust: &RustBitcoin,
    python: &dyn ObservedWallet,
    payments: &Payments,
    standings: &BTreeMap<Txid, Standing>,
) -> Outcome {
    let open = payments
        .iter()
        .filter(|(txid, payment)| !payment.is_settled && standings[*txid] != Standing::Confirmed);
    for (txid, payment) in open {
        let bytes = btc::bitcoin::consensus::encode::serialize(&payment.transaction);
        let words = [
            rust.check_broadcast(&bytes)?,
            python.check_broadcast(&bytes)?,
        ];
        if words[0].verdict != words[1].verdict {
            let standing = standings[txid];
            return Err(format!("of {txid}, {standing:?}, the sides say {words:?}").into());
        }
    }
    Ok(())
}

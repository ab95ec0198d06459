//! `Family`: the unconfirmed transactions above and below one of the wallet's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{BitcoinResult, CoinState, PendingTransaction, TransactionRequest};

use super::RustWallet;
use crate::wallet::build::MempoolEntry;
use crate::wallet::fault;
use crate::wallet::ledger::{Ledger, View};
use crate::wallet::source::Relatives;

/// What is above and below an unconfirmed transaction.
pub(super) struct Family {
    pub(super) txid: Txid,
    /// Nothing where what it or one of its ancestors pays is not known.
    itself: Option<MempoolEntry>,
    /// Its unconfirmed ancestors.
    pub(super) ancestors: Vec<PendingTransaction>,
    /// Its descendants, those of others too where the source tells.
    pub(super) descendants: Vec<MempoolEntry>,
    /// What spends its coins in its stead while it is missing, and what descends from that: a
    /// replacement takes the place of that, too.
    pub(super) rivals: Vec<MempoolEntry>,
    /// Which of these are payments of the wallet, made here or elsewhere from the same words.
    pub(super) own: BTreeSet<Txid>,
    /// What it was said to replace itself: its replacement may, too.
    named: HashSet<Txid>,
    /// The same of `own`: it may be named as well, and need not.
    superseded: HashSet<Txid>,
}

impl Family {
    /// Of this transaction: what the source tells, which sees the whole mempool if it can, and what
    /// the wallet knows of its own.
    pub(super) fn new(
        ledger: &Ledger,
        txid: Txid,
        known: Option<Relatives>,
        rivals: Vec<(Txid, Option<Relatives>)>,
    ) -> Self {
        let waiting = Waiting::of(ledger);
        let mut descendants = by_txid(waiting.below(txid));
        let mut taken = BTreeMap::new();
        for (rival, known) in rivals {
            taken.extend(by_txid(waiting.below(rival)));
            taken.extend(by_txid(waiting.entry(rival)));
            if let Some(known) = known {
                taken.extend(by_txid(known.descendants));
                taken.extend(by_txid([known.itself]));
            }
        }
        let (itself, ancestors) = if let Some(known) = known {
            descendants.extend(by_txid(known.descendants));
            (Some(known.itself), known.ancestors)
        } else {
            let above = waiting.above(txid);
            let mut all = above.iter().map(|it| it.txid).chain([txid]);
            let is_known = all.all(|txid| matches!(waiting.fees_sat.get(&txid), Some(Some(_))));
            (waiting.entry(txid).filter(|_| is_known), above)
        };
        let going = descendants.keys().chain(taken.keys()).copied();
        let own: BTreeSet<Txid> = going.filter(|it| is_own(ledger, *it)).collect();
        Self {
            txid,
            itself,
            superseded: ledger.named(own.iter().copied()),
            own,
            ancestors: ancestors.iter().map(|it| pending(it, ledger)).collect(),
            descendants: descendants.into_values().collect(),
            rivals: taken.into_values().collect(),
            named: ledger.named([txid]),
        }
    }

    /// Refuses to lose payments that are not named, and names that are none of them.
    pub(super) fn check_drops(&self, drops: &[Txid]) -> BitcoinResult<()> {
        #[cfg(feature = "planted")]
        if crate::planted::is(crate::planted::Planted::BumpsOverDescendants) {
            return Ok(());
        }
        let drops: BTreeSet<Txid> = drops.iter().copied().collect();
        let mut others = drops.difference(&self.own);
        if let Some(other) = others.find(|it| !self.superseded.contains(*it)) {
            let message = format!(
                "{other} is not a payment of the wallet that descends from {}; leave it out",
                self.txid
            );
            return Err(fault::invalid(message).with_context("payment", self.txid));
        }
        let lost: Vec<String> = self
            .own
            .difference(&drops)
            .filter(|it| !self.named.contains(*it))
            .map(ToString::to_string)
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let message = format!(
            "payments of the wallet spend outputs or coins of {}, and would be lost with it; raise \
             the fee with a child (`btc bump --child`), or name those that may be lost (--drops)",
            self.txid
        );
        Err(fault::invalid(message)
            .with_context("payment", self.txid)
            .with_context("descendants", lost.join(",")))
    }

    /// Whether a transaction spends an output of it already.
    pub(super) fn has_child(&self) -> bool {
        let mut descendants = self.descendants.iter();
        descendants.any(|it| it.spends.contains(&self.txid))
    }

    /// It and its ancestors, by what miners look at.
    ///
    /// # Errors
    /// `InvalidInput`: what it pays is not known.
    pub(super) fn with_itself(&self, ledger: &Ledger) -> BitcoinResult<Vec<PendingTransaction>> {
        let itself = self.itself.as_ref().ok_or_else(|| {
            let message = "what it or an ancestor pays is not known: not all the inputs are the \
                           wallet's, and this chain source does not tell; use WALLET_SOURCE=core";
            fault::invalid(message).with_context("payment", self.txid)
        })?;
        let mut all = self.ancestors.clone();
        all.push(pending(itself, ledger));
        Ok(all)
    }
}

impl RustWallet {
    /// The transactions of the mempool that spend coins of a payment which is not there itself, with
    /// what the source tells of them: they were made elsewhere from the same words.
    pub(super) fn rivals_of(&self, txid: Txid) -> BitcoinResult<Vec<(Txid, Option<Relatives>)>> {
        let rivals: Vec<Txid> = {
            let ledger = self.ledger();
            let Some(known) = ledger.transaction(txid).filter(|known| !known.is_counted) else {
                return Ok(Vec::new());
            };
            let coins: HashSet<OutPoint> = spent(&known.transaction).collect();
            let takes_coins = |other: &Txid| {
                let other = ledger.transaction(*other);
                other.is_some_and(|it| spent(&it.transaction).any(|coin| coins.contains(&coin)))
            };
            ledger.view().unconfirmed().filter(takes_coins).collect()
        };
        let known = rivals.into_iter();
        known
            .map(|rival| Ok((rival, self.source.relatives(rival)?)))
            .collect()
    }

    /// What the source tells of the unconfirmed transactions of others whose coins a request names.
    pub(super) fn named_relatives(
        &self,
        view: &View,
        request: &TransactionRequest,
    ) -> BitcoinResult<Vec<Relatives>> {
        if request.coins.is_empty() {
            return Ok(Vec::new());
        }
        let named = view.coins.iter().filter(|coin| {
            coin.state == CoinState::UntrustedPending && request.coins.contains(&coin.outpoint)
        });
        let txids: BTreeSet<Txid> = named.map(|coin| coin.outpoint.txid).collect();
        let mut known = Vec::new();
        for txid in txids {
            known.extend(self.source.relatives(txid)?);
        }
        Ok(known)
    }
}

/// The unconfirmed transactions that the coins of a request may come from: the wallet's, and those
/// of others.
pub(super) fn pending_for(
    ledger: &Ledger,
    view: &View,
    others: &[Relatives],
) -> Vec<PendingTransaction> {
    let mut all = view.pending.clone();
    for known in others {
        // Descendants say that there is a child already.
        let family = known.ancestors.iter().chain(&known.descendants);
        for entry in family.chain([&known.itself]) {
            if all.iter().all(|it| it.txid != entry.txid) {
                all.push(pending(entry, ledger));
            }
        }
    }
    all
}

/// The wallet's transactions that are in the mempool or wait to be there again.
struct Waiting<'a> {
    ledger: &'a Ledger,
    /// Their fees, where the wallet knows all that they spend.
    fees_sat: HashMap<Txid, Option<u64>>,
}

impl<'a> Waiting<'a> {
    fn of(ledger: &'a Ledger) -> Self {
        let view = ledger.view();
        let is_open = |txid: Txid| {
            let standing = view.standing(txid);
            standing.is_none_or(|it| it.is_open())
        };
        let history = ledger.history();
        let waiting = history
            .iter()
            .filter(|entry| entry.block.is_none() && is_open(entry.txid));
        Self {
            ledger,
            fees_sat: waiting.map(|entry| (entry.txid, entry.fee_sat)).collect(),
        }
    }

    /// What the wallet itself knows of a transaction; nothing when it does not wait. A fee that is
    /// not known counts as 0.
    fn entry(&self, txid: Txid) -> Option<MempoolEntry> {
        let fee_sat = self.fees_sat.get(&txid)?.unwrap_or(0);
        let known = self.ledger.transaction(txid)?;
        Some(MempoolEntry {
            txid,
            weight_wu: known.transaction.weight().to_wu(),
            fee_sat,
            modified_fee_sat: fee_sat,
            spends: parents(&known.transaction),
        })
    }

    fn above(&self, txid: Txid) -> Vec<MempoolEntry> {
        let mut found: BTreeMap<Txid, MempoolEntry> = BTreeMap::new();
        let itself = self.ledger.transaction(txid);
        let mut waiting = itself.map_or_else(Vec::new, |it| parents(&it.transaction));
        while let Some(txid) = waiting.pop() {
            if found.contains_key(&txid) {
                continue;
            }
            if let Some(entry) = self.entry(txid) {
                waiting.extend(&entry.spends);
                found.insert(txid, entry);
            }
        }
        found.into_values().collect()
    }

    fn below(&self, txid: Txid) -> Vec<MempoolEntry> {
        let all: Vec<MempoolEntry> = self
            .fees_sat
            .keys()
            .filter_map(|txid| self.entry(*txid))
            .collect();
        let mut family = BTreeSet::from([txid]);
        loop {
            let known = family.len();
            let children = all
                .iter()
                .filter(|it| it.spends.iter().any(|parent| family.contains(parent)));
            family.extend(children.map(|it| it.txid).collect::<Vec<_>>());
            if family.len() == known {
                break;
            }
        }
        let is_below = |it: &MempoolEntry| it.txid != txid && family.contains(&it.txid);
        all.into_iter().filter(is_below).collect()
    }
}

fn by_txid(entries: impl IntoIterator<Item = MempoolEntry>) -> BTreeMap<Txid, MempoolEntry> {
    let entries = entries.into_iter();
    entries.map(|it| (it.txid, it)).collect()
}

/// Whether a transaction spends a coin of the wallet.
fn is_own(ledger: &Ledger, txid: Txid) -> bool {
    ledger.transaction(txid).is_some_and(|known| {
        let mut inputs = known.transaction.input.iter();
        inputs.any(|input| ledger.owns(input.previous_output))
    })
}

fn pending(entry: &MempoolEntry, ledger: &Ledger) -> PendingTransaction {
    let known = ledger.transaction(entry.txid);
    PendingTransaction {
        txid: entry.txid,
        // Of others' transactions it is of no matter: they are no parents of the wallet's coins.
        version: known.map_or(2, |known| known.transaction.version.0),
        size_vb: entry.weight_wu.div_ceil(4),
        fee_sat: entry.fee_sat,
        spends: entry.spends.clone(),
    }
}

fn spent(transaction: &Transaction) -> impl Iterator<Item = OutPoint> + '_ {
    transaction.input.iter().map(|input| input.previous_output)
}

fn parents(transaction: &Transaction) -> Vec<Txid> {
    let inputs = transaction.input.iter();
    inputs.map(|input| input.previous_output.txid).collect()
}

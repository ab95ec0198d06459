//! Own payments in the books: where each stands, and which coins it holds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{BitcoinResult, BlockRef, PaymentState};

use super::{Ledger, View};
use crate::wallet::reservations::{ChangeReach, PaymentRow};
use crate::wallet::store::Position;

/// Confirmations from which on a payment is settled. Deeper reorganisations open it again.
pub const SETTLED_DEPTH: u32 = 144;

/// A payment that is not settled, with its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPayment {
    /// What is stored of it.
    pub row: PaymentRow,
    /// The signed transaction.
    pub transaction: Arc<Transaction>,
}

impl OwnPayment {
    /// Whether it is open by a view of another moment. One that the view does not know, or knows as
    /// given up and is not any more, was handed over since.
    pub fn is_open_in(&self, view: &View) -> bool {
        match view.standing(self.row.txid) {
            Some(standing) => standing.is_open() || self.is_handed_over_since(view),
            None => self.is_handed_over_since(view),
        }
    }

    /// Whether it was handed over, anew or again, since the moment of the view.
    pub fn is_handed_over_since(&self, view: &View) -> bool {
        let standing = view.standing(self.row.txid);
        self.row.abandoned_ms.is_none() && standing.is_none_or(|it| it.is_given_up)
    }
}

/// Where an own payment stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: PaymentState,
    /// The block that decides it: its own, or that of the transaction it conflicts with.
    pub block: Option<BlockRef>,
    /// The own payment that replaces it, while that one is open or confirmed.
    pub replaced_by: Option<Txid>,
    /// Whether it was given up itself, not only what it descends from.
    pub is_given_up: bool,
}

impl Standing {
    /// Whether it may still be mined: its coins are its own.
    pub fn is_open(&self) -> bool {
        matches!(self.state, PaymentState::InMempool | PaymentState::Missing)
    }
}

/// The payments that are not settled, by txid.
pub(super) type Payments = BTreeMap<Txid, OwnPayment>;

/// What of the chain and the mempool decides where payments stand.
pub(super) struct Facts<'a> {
    /// Every transaction that counts, with the block it is in.
    pub(super) counted: &'a HashMap<Txid, Option<(BlockRef, u64)>>,
    /// Which confirmed transaction spends an output.
    pub(super) spent_by: &'a HashMap<OutPoint, Txid>,
}

/// Where each payment stands.
pub(super) fn standings(payments: &Payments, facts: &Facts<'_>) -> HashMap<Txid, Standing> {
    let mut standings: HashMap<Txid, Standing> = HashMap::with_capacity(payments.len());
    for txid in payments.keys() {
        // Ancestors first, without recursion: chains may be long.
        let mut stack = vec![*txid];
        while let Some(txid) = stack.last().copied() {
            if standings.contains_key(&txid) {
                stack.pop();
                continue;
            }
            let payment = &payments[&txid];
            let parents = payment.transaction.input.iter();
            let open: Vec<Txid> = parents
                .map(|input| input.previous_output.txid)
                .filter(|parent| payments.contains_key(parent) && !standings.contains_key(parent))
                .filter(|parent| !stack.contains(parent))
                .collect();
            if open.is_empty() {
                standings.insert(txid, standing(payment, facts, &standings));
                stack.pop();
            } else {
                stack.extend(open);
            }
        }
    }
    for (txid, payment) in payments {
        let Some(standing) = standings.get(txid) else {
            continue;
        };
        let replaces = standing.is_open() || standing.state == PaymentState::Confirmed;
        if !replaces {
            continue;
        }
        for replaced in named(payments, &payment.row) {
            if is_outdone(payments, &standings, payment, replaced) {
                continue;
            }
            if let Some(standing) = standings.get_mut(&replaced)
                && standing.state != PaymentState::Confirmed
            {
                standing.replaced_by = Some(*txid);
            }
        }
    }
    standings
}

/// Whether of two payments that may replace each other the other one counts: the one that the
/// mempool has, else the one that was handed over first later. One of them has to be sent.
pub(super) fn is_outdone(
    payments: &Payments,
    standings: &HashMap<Txid, Standing>,
    payment: &OwnPayment,
    replaced: Txid,
) -> bool {
    let Some(other) = payments.get(&replaced) else {
        return false;
    };
    let txid = payment.row.txid;
    let is_mutual = txid == replaced || named(payments, &other.row).contains(&txid);
    let rank = |it: &OwnPayment| {
        let standing = standings.get(&it.row.txid);
        let state = standing.map(|it| it.state);
        let weight = match state {
            Some(PaymentState::Confirmed) => 3,
            Some(PaymentState::InMempool) => 2,
            Some(PaymentState::Missing) => 1,
            _ => 0,
        };
        (weight, it.row.handed_over_ms, it.row.txid)
    };
    is_mutual && rank(other) >= rank(payment)
}

fn standing(payment: &OwnPayment, facts: &Facts<'_>, known: &HashMap<Txid, Standing>) -> Standing {
    let plain = |state, block| Standing {
        state,
        block,
        replaced_by: None,
        is_given_up: payment.row.abandoned_ms.is_some(),
    };
    match facts.counted.get(&payment.row.txid) {
        Some(Some((block, _))) => return plain(PaymentState::Confirmed, Some(*block)),
        Some(None) => return plain(PaymentState::InMempool, None),
        None => {}
    }
    for input in &payment.transaction.input {
        let spent = input.previous_output;
        if let Some(other) = facts.spent_by.get(&spent) {
            let block = facts.counted.get(other).copied().flatten();
            return plain(PaymentState::Conflicted, block.map(|(block, _)| block));
        }
        let parent = known.get(&spent.txid);
        if let Some(parent) = parent
            && matches!(
                parent.state,
                PaymentState::Conflicted | PaymentState::Abandoned
            )
        {
            return plain(parent.state, parent.block);
        }
    }
    if payment.row.abandoned_ms.is_some() {
        return plain(PaymentState::Abandoned, None);
    }
    plain(PaymentState::Missing, None)
}

/// Everything that a payment may replace: what it names, and what those may replace.
pub(super) fn named(payments: &Payments, row: &PaymentRow) -> HashSet<Txid> {
    closure(payments, row.replaces.iter().copied())
}

/// These payments, and what they may replace.
pub(super) fn closure(payments: &Payments, of: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
    let mut all = HashSet::new();
    let mut waiting: Vec<Txid> = of.into_iter().collect();
    while let Some(txid) = waiting.pop() {
        if all.insert(txid)
            && let Some(payment) = payments.get(&txid)
        {
            waiting.extend(&payment.row.replaces);
        }
    }
    all
}

impl Ledger {
    /// Takes over which payments there are now, and which change is theirs: it may be beyond the
    /// window. What is not there any more and in no block does not count any more. `fetch` reads the transaction of one that is not known here yet; none where the other
    /// side has deleted it since the rows were read.
    ///
    /// # Errors
    /// Those of `fetch`. `Internal`: it cannot be written.
    pub fn set_payments(
        &mut self,
        rows: BTreeMap<Txid, PaymentRow>,
        reach: &ChangeReach,
        mut fetch: impl FnMut(Txid) -> BitcoinResult<Option<Transaction>>,
    ) -> BitcoinResult<()> {
        self.forget_deleted(&rows)?;
        let is_same = rows.len() == self.payments.len()
            && rows
                .iter()
                .zip(&self.payments)
                .all(|((_, row), (_, payment))| *row == payment.row);
        if is_same {
            return Ok(());
        }
        let mut payments = Payments::new();
        for (txid, row) in rows {
            let transaction = if let Some(payment) = self.payments.remove(&txid) {
                payment.transaction
            } else {
                let known = self.graph.graph().get_tx(txid);
                let transaction = match known {
                    Some(transaction) => transaction,
                    None => match fetch(txid)? {
                        Some(transaction) => Arc::new(transaction),
                        None => continue,
                    },
                };
                self.reveal_change(&transaction, reach);
                self.insert(&transaction);
                transaction
            };
            payments.insert(txid, OwnPayment { row, transaction });
        }
        self.payments = payments;
        self.view = std::sync::OnceLock::new();
        self.save()
    }

    /// The payments that are not settled, by txid.
    pub fn payments(&self) -> &BTreeMap<Txid, OwnPayment> {
        &self.payments
    }

    /// Everything that is named when these payments are: what they may replace themselves, too.
    pub fn named(&self, payments: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        closure(&self.payments, payments)
    }

    /// The open payments that descend from this transaction, parents first.
    pub fn open_descendants(&self, txid: Txid) -> Vec<Txid> {
        self.open_descendants_in(&self.view(), txid)
    }

    /// The same by a view of another moment. A payment that it does not know was handed over since.
    pub fn open_descendants_in(&self, view: &View, txid: Txid) -> Vec<Txid> {
        let mut family = vec![txid];
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            next += 1;
            for (child, payment) in &self.payments {
                let inputs = payment.transaction.input.iter();
                let mut parents = inputs.map(|input| input.previous_output.txid);
                if payment.is_open_in(view)
                    && parents.any(|it| it == parent)
                    && !family.contains(child)
                {
                    family.push(*child);
                }
            }
        }
        family.split_off(1)
    }

    /// The lowest height to which blocks were undone since [`forget_undone`](Self::forget_undone).
    pub fn undone_to(&self) -> Option<u32> {
        self.position.undone_to
    }

    /// The height above which no payment is settled by these books: what is deep enough in the chain
    /// that the other side knows may be less deep, or not there, in this one.
    pub fn settled_below(&self) -> i64 {
        let deep = i64::from(self.blocks.tip().height) + 1 - i64::from(SETTLED_DEPTH);
        let undone_to = self.position.undone_to.map(i64::from);
        undone_to.map_or(deep, |height| height.min(deep))
    }

    /// Says that the payments settled above that height were opened again.
    ///
    /// # Errors
    /// `Internal`: it cannot be written.
    pub fn forget_undone(&mut self) -> BitcoinResult<()> {
        self.set_position(Position {
            undone_to: None,
            ..self.position
        });
        self.save()
    }
}

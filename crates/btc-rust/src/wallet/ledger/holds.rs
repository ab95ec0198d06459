//! Which outputs are held: those that open payments spend, and those that fall with what they
//! replace.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bitcoin::{OutPoint, Transaction, Txid};

use super::payments::{OwnPayment, Payments, Standing, closure, is_outdone, named};
use super::{Ledger, View};

/// Transactions that wait in the mempool.
type Waiting = HashMap<Txid, Arc<Transaction>>;

/// The outputs that no payment may be built on, each with the open payment that has it: those that
/// it spends, and those of what it replaces and what descends from that.
pub(super) fn holds(
    payments: &Payments,
    standings: &HashMap<Txid, Standing>,
    waiting: &Waiting,
) -> HashMap<OutPoint, Txid> {
    let open: Vec<&OwnPayment> = payments
        .values()
        .filter(|payment| standings[&payment.row.txid].is_open())
        .collect();
    let mut falling = BTreeMap::new();
    for payment in &open {
        for replaced in named(payments, &payment.row) {
            if waiting.contains_key(&replaced)
                && !is_outdone(payments, standings, payment, replaced)
            {
                falling.insert(replaced, payment.row.txid);
            }
        }
    }
    let mut held = outputs_below(falling, waiting);
    held.extend(open.into_iter().flat_map(spent));
    held
}

/// The outputs of these waiting transactions and of all that descend from them, each with what its
/// transaction falls for.
fn outputs_below(mut falling: BTreeMap<Txid, Txid>, waiting: &Waiting) -> HashMap<OutPoint, Txid> {
    let mut below = falling.len();
    while below > 0 {
        let more: Vec<_> = waiting
            .iter()
            .filter(|(txid, _)| !falling.contains_key(*txid))
            .filter_map(|(txid, transaction)| {
                let mut parents = transaction.input.iter();
                let cause = parents.find_map(|it| falling.get(&it.previous_output.txid))?;
                Some((*txid, *cause))
            })
            .collect();
        below = more.len();
        falling.extend(more);
    }
    let outputs = falling.into_iter().flat_map(|(txid, cause)| {
        let count = waiting.get(&txid).map_or(0, |it| it.output.len());
        (0..u32::try_from(count).unwrap_or(u32::MAX))
            .map(move |vout| (OutPoint { txid, vout }, cause))
    });
    outputs.collect()
}

fn spent(payment: &OwnPayment) -> impl Iterator<Item = (OutPoint, Txid)> + '_ {
    let inputs = payment.transaction.input.iter();
    inputs.map(|input| (input.previous_output, payment.row.txid))
}

impl Ledger {
    /// The outputs that payments hold which were handed over since the moment of this view.
    pub fn held_since(&self, view: &View) -> HashMap<OutPoint, Txid> {
        let payments = self.payments().values();
        let since: Vec<_> = payments
            .filter(|payment| payment.is_handed_over_since(view))
            .collect();
        if since.is_empty() {
            return HashMap::new();
        }
        let known = view.unconfirmed();
        let known = known.filter_map(|txid| Some((txid, self.transaction(txid)?.transaction)));
        let waiting: Waiting = known.collect();
        let mut falling = BTreeMap::new();
        for payment in &since {
            let txid = payment.row.txid;
            for replaced in named(self.payments(), &payment.row) {
                // Of two that may replace each other, the one that the mempool has counts.
                let is_mutual = closure(self.payments(), [replaced]).contains(&txid);
                if waiting.contains_key(&replaced) && !is_mutual {
                    falling.insert(replaced, txid);
                }
            }
        }
        let mut held = outputs_below(falling, &waiting);
        held.extend(since.into_iter().flat_map(spent));
        held
    }
}

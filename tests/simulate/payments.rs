//! `Payments`: what a wallet was told to pay, and where each payment stands by the rules.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use btc::bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc::rust::wallet::reservations;

use crate::truth::Truth;

/// How long a built payment keeps its coins, in milliseconds.
pub(crate) const RESERVED_MS: i64 = 600_000;

/// Where a payment stands (docs/wallet.md, "Own payments").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Signed, its coins are reserved.
    Built,
    /// Signed, never handed over, its reservation is over or was let go.
    LetGo,
    InMempool,
    Missing,
    Replaced,
    Confirmed,
    Conflicted,
    Abandoned,
}

/// A payment as the caller knows it.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) txid: Txid,
    pub(crate) transaction: Transaction,
    /// Who is paid how much.
    pub(crate) recipients: Vec<(ScriptBuf, u64)>,
    pub(crate) phase: Phase,
    /// The payments that it may replace.
    pub(crate) replaces: BTreeSet<Txid>,
    /// The payment whose recipients these are: its own, or that of the first of a row of
    /// replacements.
    pub(crate) intent: Txid,
}

/// What the wallet did with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reserved since this time of the history's clock, in milliseconds.
    Built {
        since_ms: i64,
    },
    /// Not the wallet's any more.
    LetGo,
    /// Handed to the node; sent again from this time on if it is missing.
    Open {
        due_ms: i64,
    },
    Abandoned {
        due_ms: i64,
    },
}

impl Payment {
    pub(crate) fn inputs(&self) -> impl Iterator<Item = OutPoint> + '_ {
        self.transaction.input.iter().map(|it| it.previous_output)
    }

    /// Whether it was handed over and never refused.
    pub(crate) fn was_handed_over(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::Abandoned { .. })
    }
}

/// A coin that is reserved for a transaction that no one was told of.
#[derive(Debug, Clone)]
pub(crate) struct Stray {
    pub(crate) coin: OutPoint,
    pub(crate) since_ms: i64,
    /// The token of the transaction.
    pub(crate) token: String,
}

/// The payments of one folder, in the order in which they were built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payments {
    pub(crate) all: Vec<Payment>,
    /// Coins that a user has locked.
    pub(crate) locked: BTreeSet<OutPoint>,
    /// Coins that are reserved for what a process built that died before it could say so.
    pub(crate) strays: Vec<Stray>,
}

impl Payments {
    pub(crate) fn get(&self, txid: Txid) -> Option<&Payment> {
        self.all.iter().find(|payment| payment.txid == txid)
    }

    pub(crate) fn get_mut(&mut self, txid: Txid) -> Option<&mut Payment> {
        self.all.iter_mut().find(|payment| payment.txid == txid)
    }

    /// Lets reservations go that are over at this time, or that lie in the future of a clock that
    /// was set back.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        let is_over = |since_ms: i64| !(since_ms..since_ms + RESERVED_MS).contains(&now_ms);
        self.strays.retain(|stray| !is_over(stray.since_ms));
        for payment in &mut self.all {
            if let Phase::Built { since_ms } = payment.phase
                && is_over(since_ms)
            {
                payment.phase = Phase::LetGo;
            }
        }
    }

    /// Where a payment stands.
    pub(crate) fn standing(&self, truth: &Truth, payment: &Payment) -> Standing {
        let is_abandoned = match payment.phase {
            Phase::Built { .. } => return Standing::Built,
            Phase::LetGo => return Standing::LetGo,
            Phase::Open { .. } => false,
            Phase::Abandoned { .. } => true,
        };
        if truth.height_of(payment.txid).is_some() {
            return Standing::Confirmed;
        }
        if self.is_conflicted(truth, payment) {
            return Standing::Conflicted;
        }
        if truth.is_waiting(payment.txid) {
            return Standing::InMempool;
        }
        if is_abandoned {
            return Standing::Abandoned;
        }
        if self.is_replaced(truth, payment) {
            Standing::Replaced
        } else {
            Standing::Missing
        }
    }

    /// Whether a payment that is open or confirmed was said to replace it, or what replaced it.
    pub(crate) fn is_replaced(&self, truth: &Truth, payment: &Payment) -> bool {
        self.all.iter().any(|other| {
            other.txid != payment.txid
                && self.named(&other.replaces).contains(&payment.txid)
                && matches!(other.phase, Phase::Open { .. })
                && !self.is_conflicted(truth, other)
        })
    }

    fn is_conflicted(&self, truth: &Truth, payment: &Payment) -> bool {
        payment.inputs().any(|outpoint| {
            let spender = truth.spender(&outpoint);
            if spender.is_some_and(|spender| spender != payment.txid) {
                return true;
            }
            let parent = self.get(outpoint.txid);
            parent.filter(|it| it.was_handed_over()).is_some_and(|it| {
                let standing = self.standing(truth, it);
                matches!(standing, Standing::Conflicted | Standing::Abandoned)
            })
        })
    }

    /// The payments that are neither decided nor given up.
    pub(crate) fn open<'p>(&'p self, truth: &'p Truth) -> impl Iterator<Item = &'p Payment> {
        self.all.iter().filter(|payment| {
            matches!(
                self.standing(truth, payment),
                Standing::InMempool | Standing::Missing | Standing::Replaced
            )
        })
    }

    /// The coins that open payments hold: what they spend, and what falls with what they replace.
    pub(crate) fn held(&self, truth: &Truth) -> BTreeSet<OutPoint> {
        let mut falling: HashSet<Txid> = HashSet::new();
        for payment in self.open(truth) {
            let named = self.named(&payment.replaces);
            falling.extend(named.into_iter().filter(|it| {
                truth.is_waiting(*it) && !self.named(&BTreeSet::from([*it])).contains(&payment.txid)
            }));
        }
        let mut held: BTreeSet<OutPoint> = self.open(truth).flat_map(Payment::inputs).collect();
        for (txid, transaction) in &truth.waiting {
            let mut parents = transaction.input.iter().map(|it| it.previous_output.txid);
            if falling.contains(txid) || parents.any(|it| falling.contains(&it)) {
                falling.insert(*txid);
                let vouts = (0..).take(transaction.output.len());
                held.extend(vouts.map(|vout| OutPoint { txid: *txid, vout }));
            }
        }
        held
    }

    /// The open payments that a payment does not name, and that would be lost with what it replaces.
    pub(crate) fn bystanders(&self, truth: &Truth, payment: &Payment) -> BTreeSet<Txid> {
        let named = self.named(&payment.replaces);
        let waiting = named
            .iter()
            .filter(|it| **it != payment.txid && truth.height_of(**it).is_none());
        let below = waiting.flat_map(|it| self.open_descendants(truth, *it));
        below
            .filter(|it| *it != payment.txid && !named.contains(it))
            .collect()
    }

    /// Whether a payment is sent again: it is missing, and what may replace it is not sent itself.
    pub(crate) fn is_to_send(&self, truth: &Truth, payment: &Payment) -> bool {
        let standing = self.standing(truth, payment);
        let is_sent = |it: &Payment| self.bystanders(truth, it).is_empty();
        let replaces = |it: &&Payment| {
            it.txid != payment.txid && self.named(&it.replaces).contains(&payment.txid)
        };
        match standing {
            Standing::Missing => is_sent(payment),
            Standing::Replaced => {
                is_sent(payment) && !self.open(truth).filter(replaces).any(is_sent)
            }
            _ => false,
        }
    }

    /// The coins that are reserved for what is not handed over, and those that a user has locked.
    pub(crate) fn reserved(&self) -> BTreeMap<OutPoint, Option<Txid>> {
        let mut reserved = BTreeMap::new();
        for outpoint in &self.locked {
            reserved.insert(*outpoint, None);
        }
        reserved.extend(self.strays.iter().map(|stray| (stray.coin, None)));
        for payment in &self.all {
            if matches!(payment.phase, Phase::Built { .. }) {
                reserved.extend(payment.inputs().map(|it| (it, Some(payment.txid))));
            }
        }
        reserved
    }

    /// The open payments that descend from one.
    pub(crate) fn open_descendants(&self, truth: &Truth, txid: Txid) -> BTreeSet<Txid> {
        let mut family = BTreeSet::from([txid]);
        loop {
            let before = family.len();
            for payment in self.open(truth) {
                if payment.inputs().any(|it| family.contains(&it.txid)) {
                    family.insert(payment.txid);
                }
            }
            if family.len() == before {
                break;
            }
        }
        family.remove(&txid);
        family
    }

    /// What a payment may replace, and what those may replace in their turn.
    pub(crate) fn named(&self, replaces: &BTreeSet<Txid>) -> BTreeSet<Txid> {
        let mut named: BTreeSet<Txid> = BTreeSet::new();
        let mut waiting: Vec<Txid> = replaces.iter().copied().collect();
        while let Some(txid) = waiting.pop() {
            if named.insert(txid)
                && let Some(payment) = self.get(txid)
            {
                waiting.extend(&payment.replaces);
            }
        }
        named
    }

    /// What a payment names and shares no coin with is given up when a node has taken it: it fell
    /// with what was replaced.
    pub(crate) fn give_up_dropped(&mut self, payment: &Payment) {
        let named = self.named(&payment.replaces);
        let inputs: HashSet<OutPoint> = payment.inputs().collect();
        for other in &mut self.all {
            let is_dropped =
                named.contains(&other.txid) && !other.inputs().any(|it| inputs.contains(&it));
            if let (true, Phase::Open { due_ms }) = (is_dropped, other.phase) {
                other.phase = Phase::Abandoned { due_ms };
            }
        }
    }

    /// Whether a payment descends from one that was given up.
    pub(crate) fn is_built_on_abandoned(&self, truth: &Truth, payment: &Payment) -> bool {
        payment.inputs().any(|outpoint| {
            let parent = self.get(outpoint.txid).filter(|it| it.was_handed_over());
            parent.is_some_and(|it| match self.standing(truth, it) {
                Standing::Abandoned => true,
                Standing::Conflicted => self.is_built_on_abandoned(truth, it),
                _ => false,
            })
        })
    }

    /// Whether an ancestor of a payment, of the wallet or of others, spends one of these coins.
    fn descends(&self, truth: &Truth, payment: &Payment, coins: &HashSet<OutPoint>) -> bool {
        let mut waiting: Vec<Txid> = payment.inputs().map(|it| it.txid).collect();
        let mut seen: HashSet<Txid> = HashSet::new();
        while let Some(txid) = waiting.pop() {
            if !seen.insert(txid) || truth.height_of(txid).is_some() {
                continue;
            }
            let known = self.get(txid).map(|it| &it.transaction);
            let waits = || truth.waiting.iter().find(|(it, _)| *it == txid);
            let Some(parent) = known.or_else(|| waits().map(|(_, it)| it)) else {
                continue;
            };
            let spent = parent.input.iter().map(|it| it.previous_output);
            let spent: Vec<OutPoint> = spent.collect();
            if spent.iter().any(|it| coins.contains(it)) {
                return true;
            }
            waiting.extend(spent.iter().map(|it| it.txid));
        }
        false
    }

    /// Why a payment that is handed over now must be refused before the node is asked.
    pub(crate) fn refusal(&self, truth: &Truth, payment: &Payment) -> Option<&'static str> {
        let inputs: HashSet<OutPoint> = payment.inputs().collect();
        let named = self.named(&payment.replaces);
        for other in self.open(truth) {
            let conflicts =
                other.txid != payment.txid && other.inputs().any(|it| inputs.contains(&it));
            if !conflicts {
                continue;
            }
            let descendants = self.open_descendants(truth, other.txid);
            if !named.contains(&other.txid) || !descendants.iter().all(|it| named.contains(it)) {
                return Some("spends-coins-of-another-payment");
            }
        }
        // What it names and does not make impossible.
        let named_open: Vec<&Payment> = self
            .open(truth)
            .filter(|it| named.contains(&it.txid) && it.txid != payment.txid)
            .filter(|it| !it.inputs().any(|it| inputs.contains(&it)))
            .collect();
        let (below, beside): (Vec<&Payment>, Vec<&Payment>) = named_open
            .into_iter()
            .partition(|it| self.descends(truth, it, &inputs));
        let below: BTreeSet<Txid> = below.into_iter().map(|it| it.txid).collect();
        let fallen = self.named(&below);
        if beside.iter().any(|it| !fallen.contains(&it.txid)) {
            return Some("replaces-no-coin-of-the-payment");
        }
        let reserved = self.reserved();
        let is_taken = |it: &OutPoint| {
            let by = reserved.get(it).copied().flatten();
            by.is_some_and(|by| by != payment.txid)
        };
        let token = reservations::token(&payment.transaction).to_string();
        let is_stray = |it: &Stray| inputs.contains(&it.coin) && it.token != token;
        (inputs.iter().any(is_taken) || self.strays.iter().any(is_stray))
            .then_some("coin-reserved-for-another-transaction")
    }
}

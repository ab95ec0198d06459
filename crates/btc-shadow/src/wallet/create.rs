//! `create_transaction`: the secondary plans the same payment on the same coins.

use btc_iface::rust_bitcoin::BlockHash;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{
    AddressType, BitcoinResult, BitcoinTransaction, BlockRef, ErrorKind, Operation,
    PlannedTransaction, WalletSnapshot, WalletTwin,
};

use super::{Twins, promises};
use crate::compare::{
    Difference, Differences, Kinds, Pair, Verdict, conclude, judge, judge_again, settled,
};
use crate::record::Digest;
use crate::shadow::case::{Case, digest};
use crate::shadow::finding::{Finding, UNWATCHED};
use crate::shadow::observation::{Observation, guard};
use crate::shadow::sides::Sides;
use crate::shadow::tips::Tips;

const OPERATION: Operation = Operation::CreateTransaction;

/// What the caller asked for.
pub(crate) struct Payment {
    /// Addresses with amounts in satoshi.
    pub(crate) outputs: Vec<(String, u64)>,
    /// In sat/vB.
    pub(crate) fee_rate: u64,
}

impl Payment {
    /// What is asked, as a digest.
    pub(crate) fn digest(&self) -> Digest {
        digest(&[self.text().as_bytes()])
    }

    fn text(&self) -> String {
        format!("{:?} {}", self.outputs, self.fee_rate)
    }

    fn plan(
        &self,
        twin: &dyn WalletTwin,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        guard(OPERATION, || {
            twin.plan_transaction(&self.outputs, self.fee_rate, snapshot)
        })
    }

    /// Plans on what the twin would build on by itself.
    fn plan_alone(&self, twin: &dyn WalletTwin) -> BitcoinResult<PlannedTransaction> {
        guard(OPERATION, || {
            let snapshot = twin.snapshot()?;
            twin.plan_transaction(&self.outputs, self.fee_rate, &snapshot)
        })
    }
}

/// What the primary built, or how it failed.
pub(crate) struct Built {
    payment: Payment,
    ours: Result<Whole, ErrorKind>,
    /// What both sides said when they were asked again.
    last: Option<Pair<PlannedTransaction>>,
    last_kinds: Option<Kinds>,
    /// Whether the plans differed at first; else only promises are left to be asked about.
    plan_differs: bool,
    /// Whether promises were still broken when they were looked at last.
    is_broken: bool,
    /// Whether the secondary was seen on a block that the snapshot's tip does not lead to.
    has_moved: bool,
}

/// The primary's transaction as a plan on its snapshot.
struct Whole {
    planned: PlannedTransaction,
    snapshot: WalletSnapshot,
}

impl Whole {
    /// Where the promises of the transaction are not kept now.
    fn broken(&self, payment: &Payment, twins: &Twins) -> Vec<Difference> {
        let payments = payment.outputs.len();
        let transaction = &self.planned.transaction;
        promises::of_transaction(twins, transaction, payments, &self.snapshot)
    }
}

impl Built {
    /// Of a payment and its outcome; none for the transaction where no snapshot comes with it.
    pub(crate) fn new(
        payment: Payment,
        ours: Result<(&BitcoinTransaction, &WalletSnapshot), ErrorKind>,
    ) -> Self {
        let whole = |(transaction, snapshot): (&BitcoinTransaction, &WalletSnapshot)| Whole {
            planned: PlannedTransaction {
                transaction: transaction.clone(),
                tip: snapshot.tip,
                unknown_coins: Vec::new(),
            },
            snapshot: snapshot.clone(),
        };
        Self {
            payment,
            ours: ours.map(whole),
            last: None,
            last_kinds: None,
            plan_differs: true,
            is_broken: false,
            has_moved: false,
        }
    }
}

impl Case for Built {
    fn digest(&self) -> Digest {
        let asked = self.payment.text();
        // The same payment from other coins is another question.
        let built_on = self.ours.as_ref().ok().map(|whole| {
            let coins = whole.snapshot.coins.iter().map(|coin| coin.outpoint);
            format!("{:?}", coins.collect::<Vec<_>>())
        });
        digest(&[asked.as_bytes(), built_on.unwrap_or_default().as_bytes()])
    }

    /// The secondary builds on the primary's coins; only whether it knows them depends on the
    /// tip.
    fn first(&mut self, sides: &Sides) -> Finding {
        let Some(twins) = &sides.twins else {
            return Finding::skipped(UNWATCHED);
        };
        let whole = match &self.ours {
            Ok(whole) => whole,
            Err(kind) if kind.is_transport() => return Finding::unreached(*kind),
            Err(kind) => return after_failure(&self.payment, *kind, twins, &sides.tips),
        };
        let theirs = Observation::of(&sides.tips, || {
            self.payment.plan(&*twins.secondary, &whole.snapshot)
        });
        self.has_moved = is_ahead(&theirs.result, whole.snapshot.tip);
        let built = Ok(whole.planned.clone());
        let finding = Finding::of(judge(&built, &theirs.result), None, &theirs);
        self.plan_differs = finding.verdict != Verdict::Match;
        if theirs.error().is_some() {
            return finding;
        }
        let broken = whole.broken(&self.payment, twins);
        self.is_broken = !broken.is_empty();
        finding.with(broken)
    }

    fn again(&mut self, sides: &Sides) -> bool {
        let Some(twins) = &sides.twins else {
            return false;
        };
        match &self.ours {
            Ok(whole) => {
                if self.is_broken {
                    self.is_broken = !whole.broken(&self.payment, twins).is_empty();
                }
                if self.is_broken || !self.plan_differs {
                    return !self.is_broken;
                }
                let (ours, theirs) = self.last.insert(ask_again(&self.payment, whole, twins));
                let tip = ours
                    .as_ref()
                    .map_or(whole.snapshot.tip, |planned| planned.tip);
                self.has_moved = is_ahead(theirs, tip);
                judge(ours, theirs).0 == Verdict::Match
            }
            Err(kind) => {
                let kinds = kinds_now(&self.payment, *kind, twins);
                self.last_kinds = Some(kinds);
                judge_failure(kinds).0 == Verdict::Match
            }
        }
    }

    fn last(&mut self, sides: &Sides, finding: Finding) -> Finding {
        let Some(twins) = &sides.twins else {
            return finding;
        };
        match &self.ours {
            // What was broken through the last recheck is no matter of the moment.
            Ok(_) if self.is_broken => finding,
            Ok(_) if self.has_moved => finding.cannot_say("the chain moved on from the snapshot"),
            Ok(whole) => finding.if_it_stays(match &self.last {
                Some(last) => judge_again(last, &ask_again(&self.payment, whole, twins)),
                None => Verdict::Mismatch,
            }),
            Err(kind) => {
                let now = kinds_now(&self.payment, *kind, twins);
                finding.if_it_stays(match (judge_failure(now).0, self.last_kinds) {
                    (Verdict::Match, _) => Verdict::Match,
                    (_, Some(last)) if last != now => Verdict::Inconclusive,
                    _ => Verdict::Mismatch,
                })
            }
        }
    }
}

/// The transaction as built, with what the primary's twin says of the snapshot now, and what the
/// secondary plans on it now.
fn ask_again(payment: &Payment, whole: &Whole, twins: &Twins) -> Pair<PlannedTransaction> {
    let now = twins.primary.as_ref().and_then(|twin| {
        // Its tip and coins are those of the moment only once it has followed the chain.
        let _ = guard(OPERATION, || twin.wallet_state());
        let planned = payment.plan(&**twin, &whole.snapshot).ok()?;
        Some(PlannedTransaction {
            transaction: whole.planned.transaction.clone(),
            ..planned
        })
    });
    // A twin need not follow the chain to plan; telling its state, it does.
    let _ = guard(OPERATION, || twins.secondary.wallet_state());
    let theirs = payment.plan(&*twins.secondary, &whole.snapshot);
    (Ok(now.unwrap_or_else(|| whole.planned.clone())), theirs)
}

/// A primary that failed leaves no snapshot: the secondary says how the call would end on its own
/// coins, without reserving them.
fn after_failure(payment: &Payment, kind: ErrorKind, twins: &Twins, tips: &Tips) -> Finding {
    let theirs = Observation::of(tips, || payment.plan_alone(&*twins.secondary));
    if theirs.error() == Some(ErrorKind::Unsupported) {
        return without_coins(payment, kind, twins, tips);
    }
    let judged = judge_failure((Some(kind), theirs.error()));
    Finding::of(judged, Some(kind), &theirs)
}

/// How the payment would end on each side now.
fn kinds_now(payment: &Payment, kind: ErrorKind, twins: &Twins) -> Kinds {
    let error = |planned: BitcoinResult<_>| planned.err().map(|error| error.kind());
    let ours = twins.primary.as_ref().map_or(Some(kind), |twin| {
        match error(payment.plan_alone(&**twin)) {
            Some(ErrorKind::Unsupported) => Some(kind),
            error => error,
        }
    });
    (ours, error(payment.plan_alone(&*twins.secondary)))
}

/// The input is checked before the coins (`docs/wallet.md`), so a wrong one is found without any;
/// a right one ends in too few coins, which then says nothing.
fn without_coins(payment: &Payment, kind: ErrorKind, twins: &Twins, tips: &Tips) -> Finding {
    let nothing = WalletSnapshot {
        tip: BlockRef {
            height: 0,
            hash: BlockHash::all_zeros(),
        },
        coins: Vec::new(),
        pending: Vec::new(),
        change_type: AddressType::P2wpkh,
        change_index: 0,
    };
    let theirs = Observation::of(tips, || payment.plan(&*twins.secondary, &nothing));
    let kinds = (Some(kind), theirs.error());
    let finding = Finding::of(judge_failure(kinds), Some(kind), &theirs);
    let is_settled = settled(kinds).is_some();
    let is_about_input = [kinds.0, kinds.1].contains(&Some(ErrorKind::InvalidInput));
    if is_settled || is_about_input {
        return finding;
    }
    finding.cannot_say("the secondary does not tell its coins")
}

/// Whether there are enough coins depends on the tip; whether the input is right does not.
fn judge_failure(kinds: Kinds) -> (Verdict, Vec<Difference>) {
    if let Some(verdict) = settled(kinds) {
        return (verdict, Vec::new());
    }
    let is_about_coins =
        |kind: Option<ErrorKind>| kind.is_none_or(|kind| kind == ErrorKind::Rejected);
    let mut differences = Differences::default();
    differences.kinds(kinds, is_about_coins(kinds.0) && is_about_coins(kinds.1));
    conclude(differences)
}

/// Whether a plan was made on a block that this tip does not lead to.
fn is_ahead(planned: &BitcoinResult<PlannedTransaction>, tip: BlockRef) -> bool {
    planned
        .as_ref()
        .is_ok_and(|planned| planned.tip.height >= tip.height && planned.tip != tip)
}

//! `create_transaction`: the secondary plans the same payment on the same coins.

use btc_iface::rust_bitcoin::BlockHash;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{
    AddressType, BitcoinResult, BitcoinTransaction, BlockRef, ErrorKind, Operation,
    PlannedTransaction, WalletSnapshot, WalletTwin,
};

use super::Twins;
use crate::compare::{
    Difference, Differences, Kinds, Verdict, conclude, judge, judge_again, settled,
};
use crate::finding::Finding;
use crate::observation::Observation;

const OPERATION: Operation = Operation::CreateTransaction;

/// What the caller asked for.
pub(crate) struct Payment {
    /// Addresses with amounts in satoshi.
    pub(crate) outputs: Vec<(String, u64)>,
    /// In sat/vB.
    pub(crate) fee_rate: u64,
}

impl Payment {
    fn plan(
        &self,
        twin: &dyn WalletTwin,
        snapshot: &WalletSnapshot,
    ) -> Observation<PlannedTransaction> {
        Observation::guarded(OPERATION, || {
            twin.plan_transaction(&self.outputs, self.fee_rate, snapshot)
        })
    }

    /// Plans on what the twin would build on by itself.
    fn plan_alone(&self, twin: &dyn WalletTwin) -> Observation<PlannedTransaction> {
        Observation::guarded(OPERATION, || {
            let snapshot = twin.snapshot()?;
            twin.plan_transaction(&self.outputs, self.fee_rate, &snapshot)
        })
    }
}

impl Twins {
    /// Compares what the primary built, or how it failed.
    pub(crate) fn built(
        &self,
        payment: &Payment,
        ours: &BitcoinResult<(BitcoinTransaction, WalletSnapshot)>,
    ) -> Finding {
        match ours {
            Ok((transaction, snapshot)) => self.on_snapshot(payment, transaction, snapshot),
            Err(error) if error.kind().is_transport() => Finding::unreached(error.kind()),
            Err(error) => self.after_failure(payment, error.kind()),
        }
    }

    /// The secondary builds on the primary's coins; only whether it knows them depends on the
    /// tip.
    fn on_snapshot(
        &self,
        payment: &Payment,
        transaction: &BitcoinTransaction,
        snapshot: &WalletSnapshot,
    ) -> Finding {
        let built = Ok(PlannedTransaction {
            transaction: transaction.clone(),
            tip: snapshot.tip,
            unknown_coins: Vec::new(),
        });
        let theirs = payment.plan(&*self.secondary, snapshot);
        let finding = Finding::of(judge(&built, &theirs.result), None, &theirs);
        let mut has_moved = is_ahead(&theirs.result, snapshot.tip);
        let ask = || {
            let now = self.now(payment, transaction, snapshot);
            // A twin need not follow the chain to plan; telling its state, it does.
            let _ = Observation::guarded(OPERATION, || self.secondary.wallet_state());
            let theirs = payment.plan(&*self.secondary, snapshot).result;
            (now.map_or_else(|| built.clone(), Ok), theirs)
        };
        let mut last = None;
        let finding = finding.recheck(&self.policy, || {
            let (ours, theirs) = last.insert(ask());
            let tip = ours.as_ref().map_or(snapshot.tip, |planned| planned.tip);
            has_moved = is_ahead(theirs, tip);
            judge(ours, theirs).0 == Verdict::Match
        });
        if has_moved && finding.differs_with_the_tip() {
            return finding.cannot_say("the chain moved on from the snapshot");
        }
        finding.if_it_stays(|| last.map_or(Verdict::Mismatch, |last| judge_again(&last, &ask())))
    }

    /// The transaction as built, with what the primary's twin says of the snapshot now.
    fn now(
        &self,
        payment: &Payment,
        transaction: &BitcoinTransaction,
        snapshot: &WalletSnapshot,
    ) -> Option<PlannedTransaction> {
        let twin = self.primary.as_ref()?;
        // Its tip and coins are those of the moment only once it has followed the chain.
        let _ = Observation::guarded(OPERATION, || twin.wallet_state());
        let planned = payment.plan(&**twin, snapshot).result.ok()?;
        Some(PlannedTransaction {
            transaction: transaction.clone(),
            ..planned
        })
    }

    /// A primary that failed leaves no snapshot: the secondary says how the call would end on
    /// its own coins, without reserving them.
    fn after_failure(&self, payment: &Payment, kind: ErrorKind) -> Finding {
        let theirs = payment.plan_alone(&*self.secondary);
        if theirs.error() == Some(ErrorKind::Unsupported) {
            return self.without_coins(payment, kind);
        }
        let judged = judge_failure((Some(kind), theirs.error()));
        let finding = Finding::of(judged, Some(kind), &theirs);
        let ask = || {
            let ours = self.primary.as_ref().map_or(Some(kind), |twin| {
                let planned = payment.plan_alone(&**twin);
                match planned.error() {
                    Some(ErrorKind::Unsupported) => Some(kind),
                    error => error,
                }
            });
            (ours, payment.plan_alone(&*self.secondary).error())
        };
        let mut last = None;
        let finding = finding.recheck(&self.policy, || {
            judge_failure(*last.insert(ask())).0 == Verdict::Match
        });
        finding.if_it_stays(|| {
            let now = ask();
            match (judge_failure(now).0, last) {
                (Verdict::Match, _) => Verdict::Match,
                (_, Some(last)) if last != now => Verdict::Inconclusive,
                _ => Verdict::Mismatch,
            }
        })
    }

    /// The input is checked before the coins (`docs/wallet.md`), so a wrong one is found without
    /// any; a right one ends in too few coins, which then says nothing.
    fn without_coins(&self, payment: &Payment, kind: ErrorKind) -> Finding {
        let nothing = WalletSnapshot {
            tip: BlockRef {
                height: 0,
                hash: BlockHash::all_zeros(),
            },
            coins: Vec::new(),
            change_type: AddressType::P2wpkh,
            change_index: 0,
        };
        let theirs = payment.plan(&*self.secondary, &nothing);
        let kinds = (Some(kind), theirs.error());
        let finding = Finding::of(judge_failure(kinds), Some(kind), &theirs);
        let is_settled = settled(kinds).is_some();
        let is_about_input = [kinds.0, kinds.1].contains(&Some(ErrorKind::InvalidInput));
        if is_settled || is_about_input {
            return finding;
        }
        finding.cannot_say("the secondary does not tell its coins")
    }
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

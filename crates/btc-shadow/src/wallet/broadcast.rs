//! `broadcast_transaction`: only the primary sends, the secondary checks the bytes on its own.

use btc_iface::rust_bitcoin::consensus::encode;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{Amount, Sequence, Transaction, TxIn, TxOut, absolute, transaction};
use btc_iface::{
    BitcoinError, BitcoinResult, BitcoinTransaction, BlockRef, BroadcastCheck, BroadcastVerdict,
    ErrorKind, Operation, WalletTwin,
};

use super::Twins;
use super::moved::{KnownTip, Moved};
use crate::compare::{Difference, Differences, Verdict, conclude, settled};
use crate::record::Digest;
use crate::shadow::case::{Case, digest};
use crate::shadow::finding::{Finding, UNWATCHED};
use crate::shadow::observation::{Observation, guard};
use crate::shadow::sides::Sides;
use crate::shadow::tips::Tips;

const OPERATION: Operation = Operation::BroadcastTransaction;

/// What a message of `sendrawtransaction` says where `testmempoolaccept` has a name of its own,
/// in lower case.
const OTHER_NAMES: [(&str, &str); 3] = [
    ("missing-inputs", "bad-txns-inputs-missingorspent"),
    ("missing-inputs", "inputs missing or spent"),
    ("max-fee-exceeded", "fee exceeds maximum configured by user"),
];

/// What became of a transaction that the primary sent, or did not.
pub(crate) struct Sent {
    transaction: BitcoinTransaction,
    ours: BitcoinResult<String>,
    /// The bytes, made here from the fields, so that the secondary decodes and hashes what the
    /// caller sees, whatever the primary made of it.
    bytes: Vec<u8>,
    /// What was known of the tip while the primary answered.
    answered_at: Option<KnownTip>,
    /// [`Tips::moves`] before the primary was asked.
    moves: u64,
    /// The secondary's tip at the first look.
    tip: Option<BlockRef>,
}

/// What both sides' nodes say of the bytes at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Same {
        are_reasons_same: bool,
    },
    Other,
    /// The chain moved between the two, each time.
    Moving,
}

/// What is said of a transaction that would be taken on another chain or beside other transactions,
/// in lower case: its inputs are not there, it is too early for it, or something else has its coins.
const BY_CHAIN: [&str; 12] = [
    "missing-inputs",
    "bad-txns-inputs-missingorspent",
    "inputs missing or spent",
    "bad-txns-premature-spend-of-coinbase",
    "non-final",
    "non-bip68-final",
    "txn-mempool-conflict",
    "insufficient fee",
    "too-long-mempool-chain",
    "too-large-cluster",
    "spends-coins-of-another-payment",
    "coin-reserved-for-another-transaction",
];

/// Those that the wallet's own books give, which any other call may have changed since, in lower
/// case.
const BY_BOOKS: [&str; 2] = [
    "spends-coins-of-another-payment",
    "coin-reserved-for-another-transaction",
];

/// How often both sides' nodes are asked until the chain stands still meanwhile.
const LOOKS: usize = 3;

/// Deeper reorganisations do not happen by themselves.
const YOUNG: u32 = 100;

impl Sent {
    /// `answered_at` is the tip while the primary answered, none if nothing is known of it; `moves`
    /// is [`Tips::moves`] from before.
    pub(crate) fn new(
        transaction: BitcoinTransaction,
        ours: BitcoinResult<String>,
        answered_at: Option<KnownTip>,
        moves: u64,
    ) -> Self {
        Self {
            transaction,
            ours,
            bytes: Vec::new(),
            answered_at,
            moves,
            tip: None,
        }
    }

    /// Whether the chain is another one than while the primary answered, or when the secondary was
    /// asked first.
    fn has_moved(&self, twins: &Twins, tips: &Tips) -> Moved {
        let now = twins.tip();
        if self.tip != now || self.moves != tips.moves() {
            return Moved::Yes;
        }
        self.answered_at
            .map_or(Moved::Perhaps, |then| then.has_moved(now))
    }

    /// Whether the two outcomes may be those of two chains.
    fn is_by_chain(&self, moved: Moved, finding: &Finding) -> bool {
        match moved {
            Moved::Yes => true,
            Moved::No => false,
            Moved::Perhaps => {
                let differences = finding.differences.iter();
                let texts = differences.flat_map(|it| [it.primary.as_str(), it.secondary.as_str()]);
                let message = self.ours.as_ref().err().map(BitcoinError::message);
                let has_reason = texts.chain(message).any(|text| has_one(text, &BY_CHAIN));
                // The node would take it, and has not got it.
                let mut paths = finding.differences.iter().map(|it| it.path.as_str());
                has_reason || (paths.any(|path| path == "verdict") && self.is_young())
            }
        }
    }

    /// Whether a reorganisation of the usual depth makes the transaction too early for a while, so
    /// that nodes drop it, and take it again afterwards.
    fn is_young(&self) -> bool {
        let lock_time = absolute::LockTime::from_consensus(self.transaction.lock_time);
        let is_locked = self
            .transaction
            .inputs
            .iter()
            .any(|input| input.sequence != u32::MAX);
        match (lock_time, self.answered_at) {
            (absolute::LockTime::Blocks(at), Some(known)) => {
                is_locked && at.to_consensus_u32() > known.height.saturating_sub(YOUNG)
            }
            _ => false,
        }
    }

    fn check(&self, twin: &dyn WalletTwin) -> BitcoinResult<BroadcastCheck> {
        guard(OPERATION, || twin.check_broadcast(&self.bytes))
    }

    /// Whether both sides' nodes would do the same with these bytes now; without the primary's twin
    /// they do not. A reorganisation throws out what a node had taken, and lets in what it had
    /// refused, so that on a chain that moves the primary's outcome may be no longer to be seen.
    fn compare_now(&self, twins: &Twins) -> Now {
        for _ in 0..LOOKS {
            let before = twins.tip();
            let ours = twins.primary.as_ref().map(|twin| self.check(&**twin));
            let theirs = self.check(&*twins.secondary);
            match (ours, theirs) {
                (Some(Ok(ours)), Ok(theirs)) if ours.verdict == theirs.verdict => {
                    return Now::Same {
                        are_reasons_same: class_of(&ours) == class_of(&theirs),
                    };
                }
                (None, _) => return Now::Other,
                _ if before.is_some() && before == twins.tip() => return Now::Other,
                _ => {}
            }
        }
        Now::Moving
    }

    /// Whether both sides refuse, the primary for what another chain or mempool would not give, and
    /// the secondary for what the wallet's books say.
    fn is_by_books(&self, finding: &Finding) -> bool {
        let rejected = |error: &BitcoinError| error.kind() == ErrorKind::Rejected;
        let is_of_books = |difference: &Difference| {
            difference.path == "error.reason"
                && has_one(&difference.primary, &BY_CHAIN)
                && has_one(&difference.secondary, &BY_BOOKS)
        };
        let mut differences = finding.differences.iter();
        self.ours.as_ref().is_err_and(rejected)
            && differences.len() > 0
            && differences.all(is_of_books)
    }
}

impl Case for Sent {
    fn digest(&self) -> Digest {
        digest(&[self.transaction.wtxid.as_byte_array()])
    }

    fn first(&mut self, sides: &Sides) -> Finding {
        let Some(twins) = &sides.twins else {
            return Finding::skipped(UNWATCHED);
        };
        let error = self.ours.as_ref().err().map(BitcoinError::kind);
        if let Some(kind) = error.filter(|kind| kind.is_transport()) {
            return Finding::unreached(kind);
        }
        self.bytes = serialise(&self.transaction);
        let theirs = Observation::of(&sides.tips, || self.check(&*twins.secondary));
        let judged = judge_sent(&self.transaction, &self.ours, &theirs.result);
        let finding = Finding::of(judged, error, &theirs);
        let is_taken = |check: &BroadcastCheck| check.verdict == BroadcastVerdict::Acceptable;
        if is_burn_refused(&self.ours) && theirs.result.as_ref().is_ok_and(is_taken) {
            return finding.cannot_say("the node's test does not know the limit on burnt value");
        }
        if finding.differs_with_the_tip() {
            self.tip = twins.tip();
            if let Some(tip) = self.tip {
                sides.tips.see_block(tip);
            }
        }
        finding
    }

    fn again(&mut self, sides: &Sides) -> bool {
        sides.twins.as_ref().is_some_and(|twins| {
            let theirs = self.check(&*twins.secondary);
            judge_sent(&self.transaction, &self.ours, &theirs).0 == Verdict::Match
        })
    }

    fn last(&mut self, sides: &Sides, finding: Finding) -> Finding {
        let Some(twins) = &sides.twins else {
            return finding;
        };
        let is_by_chain = self.is_by_chain(self.has_moved(twins, &sides.tips), &finding);
        let is_by_books = self.is_by_books(&finding);
        if !is_by_chain && !is_by_books {
            return finding;
        }
        match self.compare_now(twins) {
            Now::Same { .. } if is_by_chain => {
                finding.cannot_say("the chain moved, and both sides' nodes say the same now")
            }
            Now::Same {
                are_reasons_same: true,
            } => finding.cannot_say("another call took its coins, and both sides say so now"),
            Now::Moving if is_by_chain => {
                finding.cannot_say("the chain moved, at each look at both sides' nodes, too")
            }
            _ => finding,
        }
    }
}

/// Judges the primary's outcome by the secondary's check.
fn judge_sent(
    transaction: &BitcoinTransaction,
    ours: &BitcoinResult<String>,
    theirs: &BitcoinResult<BroadcastCheck>,
) -> (Verdict, Vec<Difference>) {
    let error = ours.as_ref().err().map(BitcoinError::kind);
    let would_be = match theirs {
        Ok(check) if !belong(transaction, check) => Some(ErrorKind::InvalidInput),
        Ok(check) if check.verdict == BroadcastVerdict::Refused => Some(ErrorKind::Rejected),
        Ok(_) => None,
        Err(error) => Some(error.kind()),
    };
    if let Some(verdict) = settled((error, would_be)) {
        return (verdict, Vec::new());
    }
    let mut differences = Differences::default();
    let here = &mut differences;
    match theirs {
        Ok(check) if error != Some(ErrorKind::InvalidInput) => {
            let fields = transaction.txid.to_string();
            let answer = ours.as_ref().unwrap_or(&fields);
            here.field(".txid", answer, &check.txid.to_string(), Clone::clone);
            if check.txid.to_string() == *answer {
                let txid = &transaction.txid;
                here.field(".txid", txid, &check.txid, ToString::to_string);
            }
            let wtxid = &transaction.wtxid;
            here.field(".wtxid", wtxid, &check.wtxid, ToString::to_string);
            compare_verdict(here, ours, check);
        }
        _ => here.kinds((error, would_be), false),
    }
    conclude(differences)
}

/// The node's word may change with the next block or transaction, and between two nodes.
fn compare_verdict(here: &mut Differences, ours: &BitcoinResult<String>, check: &BroadcastCheck) {
    use BroadcastVerdict::{Acceptable, Known, Refused};
    let reason = check.reason.as_deref();
    match (ours, check.verdict) {
        (Ok(_), Known) => {}
        // A node that would take it has not got it.
        (Ok(_), Acceptable) => here.at(".verdict", |here| here.add("known", "acceptable", true)),
        (Ok(_), Refused) => {
            here.kinds((None, Some(ErrorKind::Rejected)), true);
            let reason = reason.unwrap_or("none");
            here.at("error.reason", |here| here.add("none", reason, true));
        }
        (Err(error), Refused) if error.kind() == ErrorKind::Rejected => {
            let message = error.message();
            if let Some(reason) = reason.filter(|reason| !holds_reason(message, reason)) {
                here.at("error.reason", |here| here.add(message, reason, true));
            }
        }
        (Err(error), Refused) => {
            here.kinds((Some(error.kind()), Some(ErrorKind::Rejected)), false);
        }
        (Err(error), _) => {
            let is_rejected = error.kind() == ErrorKind::Rejected;
            here.kinds((Some(error.kind()), None), is_rejected);
            if is_rejected {
                let reason = error.message();
                here.at("error.reason", |here| here.add(reason, "none", true));
            }
        }
    }
}

/// Whether the identifiers that the secondary computed are those of the transaction.
fn belong(transaction: &BitcoinTransaction, check: &BroadcastCheck) -> bool {
    (transaction.txid, transaction.wtxid) == (check.txid, check.wtxid)
}

/// Whether the text holds one of these reasons.
fn has_one(text: &str, reasons: &[&str]) -> bool {
    let text = text.to_lowercase();
    reasons.iter().any(|reason| text.contains(reason))
}

/// The class of a refusal's reason.
fn class_of(check: &BroadcastCheck) -> Option<String> {
    check.reason.as_deref().map(class)
}

/// What stands before the details that Bitcoin Core adds to a reason.
fn class(reason: &str) -> String {
    let class = reason.split([',', ':', '(']).next().unwrap_or_default();
    class.trim().to_lowercase()
}

/// Whether the primary's message holds the reason's class.
fn holds_reason(message: &str, reason: &str) -> bool {
    let message = message.to_lowercase();
    let class = class(reason);
    let is_named_otherwise =
        |(name, other): &(&str, &str)| *name == class && message.contains(other);
    message.contains(&class) || OTHER_NAMES.iter().any(is_named_otherwise)
}

/// Whether the primary's node refused value in an unspendable output, which it does before it
/// tests anything else.
fn is_burn_refused(ours: &BitcoinResult<String>) -> bool {
    ours.as_ref().is_err_and(|error| {
        error.kind() == ErrorKind::Rejected && error.message().contains("maxburnamount")
    })
}

fn serialise(transaction: &BitcoinTransaction) -> Vec<u8> {
    let input = transaction.inputs.iter().map(|input| TxIn {
        previous_output: input.previous_output,
        script_sig: input.script_sig.clone(),
        sequence: Sequence(input.sequence),
        witness: input.witness.clone(),
    });
    let output = transaction.outputs.iter().map(|output| TxOut {
        value: Amount::from_sat(output.value_sat),
        script_pubkey: output.script_pubkey.clone(),
    });
    encode::serialize(&Transaction {
        version: transaction::Version(transaction.version),
        lock_time: absolute::LockTime::from_consensus(transaction.lock_time),
        input: input.collect(),
        output: output.collect(),
    })
}

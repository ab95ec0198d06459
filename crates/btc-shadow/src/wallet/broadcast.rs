//! `broadcast_transaction`: only the primary sends, the secondary checks the bytes on its own.

use btc_iface::rust_bitcoin::consensus::encode;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{Amount, Sequence, Transaction, TxIn, TxOut, absolute, transaction};
use btc_iface::{
    BitcoinError, BitcoinResult, BitcoinTransaction, BlockRef, BroadcastCheck, BroadcastVerdict,
    ErrorKind, Operation, WalletTwin,
};

use super::Twins;
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
    /// The tip that was known when the primary had answered, if that was not just now.
    answered_at: Option<KnownTip>,
    /// [`Tips::moves`] before the primary was asked.
    moves: u64,
    /// The secondary's tip at the first look.
    tip: Option<BlockRef>,
}

/// What was known of the tip at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownTip {
    pub(crate) height: u32,
    /// Which block of that height it was, if that was known too.
    pub(crate) block: Option<BlockRef>,
}

/// Whether the chain is another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Yes,
    No,
    /// Which block one of them is, is not known: two blocks of one height are two chains.
    Perhaps,
}

impl KnownTip {
    fn has_moved(self, now: Option<BlockRef>) -> Moved {
        let Some(now) = now else {
            return Moved::Perhaps;
        };
        match self.block {
            Some(block) if block == now => Moved::No,
            None if self.height == now.height => Moved::Perhaps,
            _ => Moved::Yes,
        }
    }
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

/// Deeper reorganisations do not happen by themselves.
const YOUNG: u32 = 100;

impl Sent {
    /// `answered_at` is the tip when the primary had answered; none when the secondary is asked at
    /// once, so that its own tip is the same, unless another one is seen meanwhile.
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

    /// Whether the chain is another one than when the primary answered, or when the secondary was
    /// asked first.
    fn has_moved(&self, twins: &Twins, tips: &Tips) -> Moved {
        let now = twins.tip();
        if self.tip != now || self.moves != tips.moves() {
            return Moved::Yes;
        }
        self.answered_at
            .map_or(Moved::No, |then| then.has_moved(now))
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
                let has_reason = texts.chain(message).any(|text| {
                    let text = text.to_lowercase();
                    BY_CHAIN.iter().any(|reason| text.contains(reason))
                });
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

    /// Whether both sides' nodes would do the same with these bytes now; false without the
    /// primary's twin. A reorganisation throws out what a node had taken, and lets in what it had
    /// refused, so that on a chain that moves the primary's outcome may be no longer to be seen.
    fn say_the_same(&self, twins: &Twins) -> bool {
        let verdict = |twin: &dyn WalletTwin| self.check(twin).ok().map(|check| check.verdict);
        let ours = twins.primary.as_ref().and_then(|twin| verdict(&**twin));
        ours.is_some() && ours == verdict(&*twins.secondary)
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
        match &sides.twins {
            Some(twins)
                if self.is_by_chain(self.has_moved(twins, &sides.tips), &finding)
                    && self.say_the_same(twins) =>
            {
                finding.cannot_say("the chain moved, and both sides' nodes say the same now")
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
            here.kinds(
                (Some(error.kind()), None),
                error.kind() == ErrorKind::Rejected,
            );
        }
    }
}

/// Whether the identifiers that the secondary computed are those of the transaction.
fn belong(transaction: &BitcoinTransaction, check: &BroadcastCheck) -> bool {
    (transaction.txid, transaction.wtxid) == (check.txid, check.wtxid)
}

/// Whether the primary's message holds the reason's class: what stands before the details that
/// Bitcoin Core adds.
fn holds_reason(message: &str, reason: &str) -> bool {
    let message = message.to_lowercase();
    let class = reason.split([',', ':', '(']).next().unwrap_or_default();
    let class = class.trim().to_lowercase();
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

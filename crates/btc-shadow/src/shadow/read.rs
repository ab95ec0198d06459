//! The operations that read: both sides answer, and both can be asked again.

use btc_iface::{BitcoinError, BitcoinResult, BitcoinTransaction, Operation};

use super::case::{Case, digest};
use super::finding::Finding;
use super::observation::{Observation, guard};
use super::reader::Reader;
use super::sides::Sides;
use crate::compare::{Balance, Compare, FeeRate, Height, Pair, Verdict, judge, judge_again};
use crate::record::Digest;

/// A question that has no effect.
pub(crate) trait Question: Send + 'static {
    /// What it is answered with.
    type Answer: Compare + Clone + Send;
    /// The operation that asks it.
    const OPERATION: Operation;
    /// Whether the answer depends on the moment, so that each second is another question.
    const IS_OF_THE_MOMENT: bool;

    /// Asks one side.
    fn ask(&self, side: &Reader) -> BitcoinResult<Self::Answer>;

    /// What is asked, in bytes.
    fn input(&self) -> &[u8];

    /// Says more about a difference that stays.
    fn explain(_: &Sides, finding: Finding) -> Finding {
        finding
    }
}

/// `get_transaction`, with a txid.
pub(crate) struct TransactionOf(pub(crate) String);

impl Question for TransactionOf {
    type Answer = BitcoinTransaction;
    const OPERATION: Operation = Operation::GetTransaction;
    const IS_OF_THE_MOMENT: bool = false;

    fn ask(&self, side: &Reader) -> BitcoinResult<BitcoinTransaction> {
        side.get_transaction(&self.0)
    }

    fn input(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// `get_block`, with a block hash.
pub(crate) struct BlockOf(pub(crate) String);

impl Question for BlockOf {
    type Answer = Vec<BitcoinTransaction>;
    const OPERATION: Operation = Operation::GetBlock;
    const IS_OF_THE_MOMENT: bool = false;

    fn ask(&self, side: &Reader) -> BitcoinResult<Vec<BitcoinTransaction>> {
        side.get_block(&self.0)
    }

    fn input(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// `get_block_height`.
pub(crate) struct TipHeight;

impl Question for TipHeight {
    type Answer = Height;
    const OPERATION: Operation = Operation::GetBlockHeight;
    const IS_OF_THE_MOMENT: bool = true;

    fn ask(&self, side: &Reader) -> BitcoinResult<Height> {
        side.get_block_height().map(Height)
    }

    fn input(&self) -> &[u8] {
        &[]
    }
}

/// `get_balance`.
pub(crate) struct WalletBalance;

impl Question for WalletBalance {
    type Answer = Balance;
    const OPERATION: Operation = Operation::GetBalance;
    const IS_OF_THE_MOMENT: bool = true;

    fn ask(&self, side: &Reader) -> BitcoinResult<Balance> {
        side.get_balance().map(Balance)
    }

    fn input(&self) -> &[u8] {
        &[]
    }

    /// Which buckets and coins are behind two numbers that differ.
    fn explain(sides: &Sides, mut finding: Finding) -> Finding {
        if let Some(twins) = sides
            .twins
            .as_ref()
            .filter(|_| finding.differs_with_the_tip())
        {
            finding.differences.extend(twins.states());
        }
        finding
    }
}

/// `estimate_fee`, with a target in blocks.
pub(crate) struct FeeFor(pub(crate) [u8; 1]);

impl Question for FeeFor {
    type Answer = FeeRate;
    const OPERATION: Operation = Operation::EstimateFee;
    const IS_OF_THE_MOMENT: bool = true;

    fn ask(&self, side: &Reader) -> BitcoinResult<FeeRate> {
        side.estimate_fee(self.0[0]).map(FeeRate)
    }

    fn input(&self) -> &[u8] {
        &self.0
    }
}

/// A question, and what both sides said.
pub(crate) struct Read<Q: Question> {
    question: Q,
    /// The second at which it was asked.
    second: u64,
    ours: BitcoinResult<Q::Answer>,
    last: Option<Pair<Q::Answer>>,
}

impl<Q: Question> Read<Q> {
    pub(crate) fn new(question: Q, second: u64, ours: BitcoinResult<Q::Answer>) -> Self {
        Self {
            question,
            second,
            ours,
            last: None,
        }
    }

    fn ask_both(&self, sides: &Sides) -> Pair<Q::Answer> {
        let ask = |side| guard(Q::OPERATION, || self.question.ask(side));
        (ask(&sides.primary), ask(&sides.secondary))
    }
}

impl<Q: Question> Case for Read<Q> {
    fn digest(&self) -> Digest {
        let second = self.second.to_le_bytes();
        let moment: &[u8] = if Q::IS_OF_THE_MOMENT { &second } else { &[] };
        digest(&[self.question.input(), moment])
    }

    fn first(&mut self, sides: &Sides) -> Finding {
        let theirs = Observation::guarded(Q::OPERATION, &sides.tips, || {
            self.question.ask(&sides.secondary)
        });
        let ours = self.ours.as_ref().err().map(BitcoinError::kind);
        Finding::of(judge(&self.ours, &theirs.result), ours, &theirs)
    }

    fn again(&mut self, sides: &Sides) -> bool {
        let (ours, theirs) = self.last.insert(self.ask_both(sides));
        judge(ours, theirs).0 == Verdict::Match
    }

    fn last(&mut self, sides: &Sides, finding: Finding) -> Finding {
        let verdict = match &self.last {
            Some(last) => judge_again(last, &self.ask_both(sides)),
            None => Verdict::Mismatch,
        };
        Q::explain(sides, finding.if_it_stays(verdict))
    }
}

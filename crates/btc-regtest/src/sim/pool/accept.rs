//! `Judge`: whether the mempool takes a transaction, by Bitcoin Core's rules in Bitcoin Core's order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{OutPoint, Sequence, Transaction, Txid, absolute, relative};

use super::{Entry, Pool, policy, replace, truc};
use crate::sim::chain::{Blocks, COINBASE_MATURITY, Coin};

/// What kind of refusal it is: callers are told in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum RefusalKind {
    /// It may do better in a package.
    Fee,
    /// An input is not known, or spent.
    MissingInputs,
    /// Anything else.
    Other,
}

/// Why a transaction is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Refusal {
    pub(in crate::sim) kind: RefusalKind,
    pub(in crate::sim) reason: String,
    pub(in crate::sim) details: String,
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, reason: &str, details: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.to_owned(),
            details: details.into(),
        }
    }

    pub(super) fn other(reason: &str) -> Self {
        Self::new(RefusalKind::Other, reason, "")
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)?;
        if !self.details.is_empty() {
            write!(f, ", {}", self.details)?;
        }
        Ok(())
    }
}

/// What would become of a transaction that is taken.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Accepted {
    pub(in crate::sim) entry: Entry,
    /// What it replaces, with all that spend that.
    pub(in crate::sim) replaced: HashSet<Txid>,
}

/// Judges transactions by the chain and the pool of one moment.
pub(in crate::sim) struct Judge<'a> {
    pub(in crate::sim) pool: &'a Pool,
    pub(in crate::sim) blocks: &'a Blocks,
    pub(in crate::sim) now_secs: u64,
    /// As for transactions of blocks that were undone: no minimum, no limit of versions.
    pub(in crate::sim) is_bypassing: bool,
    /// As in a package: the minimum is asked of all together.
    pub(in crate::sim) is_package: bool,
    /// Outputs of the transactions before it in the package.
    pub(in crate::sim) made: HashMap<OutPoint, Coin>,
}

impl<'a> Judge<'a> {
    pub(in crate::sim) fn new(pool: &'a Pool, blocks: &'a Blocks, now_secs: u64) -> Self {
        Self {
            pool,
            blocks,
            now_secs,
            is_bypassing: false,
            is_package: false,
            made: HashMap::new(),
        }
    }

    /// Whether it is taken now; nothing changes.
    pub(in crate::sim) fn judge(&self, transaction: &Transaction) -> Result<Accepted, Refusal> {
        let txid = transaction.compute_txid();
        let wtxid = transaction.compute_wtxid();
        self.check_alone(transaction)?;
        if self.pool.by_wtxid(&wtxid).is_some() {
            return Err(Refusal::other("txn-already-in-mempool"));
        }
        if self.pool.get(&txid).is_some() {
            return Err(Refusal::other("txn-same-nonwitness-data-in-mempool"));
        }
        let mut conflicts: HashSet<Txid> = transaction
            .input
            .iter()
            .filter_map(|input| self.pool.spender(&input.previous_output))
            .collect();
        let spent = self.spent(transaction, txid)?;
        self.check_relative_locks(transaction, &spent)?;
        let fee_sat = self.fee(transaction, &spent)?;
        for (number, coin) in spent.iter().enumerate() {
            if let Some(details) = policy::why_input_nonstandard(number, &coin.output.script_pubkey)
            {
                let reason = "bad-txns-nonstandard-inputs";
                return Err(Refusal::new(RefusalKind::Other, reason, details));
            }
        }
        let entry = self.entry(transaction, &spent, fee_sat)?;
        check_dust(&entry)?;
        if !self.is_bypassing && !self.is_package {
            self.check_minimum(entry.fee_sat, entry.size_vb)?;
        }
        let parents = self.pool.parents_of(transaction);
        let mut by_sibling = false;
        if !self.is_bypassing
            && let Err(violation) =
                truc::check(self.pool, transaction, &parents, &conflicts, entry.size_vb)
        {
            let Some(sibling) = violation.sibling.filter(|_| !self.is_package) else {
                let reason = "TRUC-violation";
                let details = violation.details;
                return Err(Refusal::new(RefusalKind::Other, reason, details));
            };
            conflicts.insert(sibling);
            by_sibling = true;
        }
        // Those of a package are judged together.
        if self.is_package {
            let replaced = self.pool.with_descendants(conflicts.iter().copied());
            return Ok(Accepted { entry, replaced });
        }
        let replaced = self.pool.with_descendants(conflicts.iter().copied());
        if !conflicts.is_empty() {
            replace::check_fees(self.pool, &entry, &conflicts, &replaced, by_sibling)?;
        }
        self.check_cluster(&[&entry], &replaced)?;
        if !conflicts.is_empty() {
            self.check_diagram(&[&entry], &replaced)
                .map_err(|details| Refusal::new(RefusalKind::Fee, "replacement-failed", details))?;
            let ancestors = self.pool.with_ancestors(parents);
            if let Some(ancestor) = ancestors.iter().find(|it| conflicts.contains(*it)) {
                let reason = "bad-txns-spends-conflicting-tx";
                let details = format!("{txid} spends conflicting transaction {ancestor}");
                return Err(Refusal::new(RefusalKind::Other, reason, details));
            }
        }
        if !self.is_bypassing {
            self.check_dust_spent(transaction)?;
        }
        Ok(Accepted { entry, replaced })
    }

    fn check_alone(&self, transaction: &Transaction) -> Result<(), Refusal> {
        if let Some(reason) = policy::why_invalid(transaction) {
            return Err(Refusal::other(reason));
        }
        if let Some(reason) = policy::why_nonstandard(transaction) {
            return Err(Refusal::other(reason));
        }
        if transaction.base_size() < policy::MIN_STRIPPED_BYTES {
            return Err(Refusal::other("tx-size-small"));
        }
        if !self.is_final(transaction) {
            return Err(Refusal::other("non-final"));
        }
        Ok(())
    }

    /// Whether the next block may have it, by its lock time.
    pub(in crate::sim) fn is_final(&self, transaction: &Transaction) -> bool {
        let tip = self.blocks.tip();
        let is_over = match transaction.lock_time {
            absolute::LockTime::Blocks(height) => {
                let height = height.to_consensus_u32();
                height == 0 || height < tip.height + 1
            }
            absolute::LockTime::Seconds(time) => {
                time.to_consensus_u32() < self.blocks.median_time(tip)
            }
        };
        let mut inputs = transaction.input.iter();
        is_over || inputs.all(|input| input.sequence == Sequence::MAX)
    }

    /// The outputs that it spends.
    fn spent(&self, transaction: &Transaction, txid: Txid) -> Result<Vec<Coin>, Refusal> {
        let mut spent = Vec::with_capacity(transaction.input.len());
        for input in &transaction.input {
            let Some(coin) = self.coin(&input.previous_output) else {
                if self.blocks.has_output_of(txid, transaction.output.len()) {
                    return Err(Refusal::other("txn-already-known"));
                }
                let reason = "bad-txns-inputs-missingorspent";
                return Err(Refusal::new(RefusalKind::MissingInputs, reason, ""));
            };
            spent.push(coin);
        }
        Ok(spent)
    }

    /// An output of the chain, the pool or the package, spent in the pool or not.
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        if let Some(coin) = self.made.get(outpoint) {
            return Some(coin.clone());
        }
        if let Some(parent) = self.pool.get(&outpoint.txid) {
            let output = parent.transaction.output.get(outpoint.vout as usize)?;
            return Some(Coin {
                output: output.clone(),
                height: self.blocks.height() + 1,
                is_coinbase: false,
            });
        }
        self.blocks.coin(outpoint).cloned()
    }

    /// BIP68: whether each input is as old as it asks.
    pub(in crate::sim) fn check_relative_locks(
        &self,
        transaction: &Transaction,
        spent: &[Coin],
    ) -> Result<(), Refusal> {
        if transaction.version.0 < 2 {
            return Ok(());
        }
        let tip = self.blocks.tip();
        let next = tip.height + 1;
        for (input, coin) in transaction.input.iter().zip(spent) {
            let is_met = match input.sequence.to_relative_lock_time() {
                None => true,
                Some(relative::LockTime::Blocks(age)) => {
                    next >= coin.height + u32::from(age.value())
                }
                Some(relative::LockTime::Time(age)) => {
                    let below = coin.height.saturating_sub(1).min(tip.height);
                    let begun = self
                        .blocks
                        .at(below)
                        .map_or(0, |stored| self.blocks.median_time(stored));
                    let wait = u32::from(age.value()) << 9;
                    self.blocks.median_time(tip) >= begun.saturating_add(wait)
                }
            };
            if !is_met {
                return Err(Refusal::other("non-BIP68-final"));
            }
        }
        Ok(())
    }

    fn fee(&self, transaction: &Transaction, spent: &[Coin]) -> Result<u64, Refusal> {
        let next = self.blocks.height() + 1;
        let mut paid = bitcoin::Amount::ZERO;
        for coin in spent {
            let depth = next - coin.height;
            if coin.is_coinbase && depth < COINBASE_MATURITY {
                return Err(Refusal::new(
                    RefusalKind::Other,
                    "bad-txns-premature-spend-of-coinbase",
                    format!("tried to spend coinbase at depth {depth}"),
                ));
            }
            paid += coin.output.value;
        }
        let given: bitcoin::Amount = transaction.output.iter().map(|it| it.value).sum();
        let fee = paid.checked_sub(given).ok_or_else(|| {
            let details = format!("value in ({}) < value out ({})", money(paid), money(given));
            Refusal::new(RefusalKind::Other, "bad-txns-in-belowout", details)
        })?;
        Ok(fee.to_sat())
    }

    fn entry(
        &self,
        transaction: &Transaction,
        spent: &[Coin],
        fee_sat: u64,
    ) -> Result<Entry, Refusal> {
        let coins: HashMap<OutPoint, _> = transaction
            .input
            .iter()
            .zip(spent)
            .map(|(input, coin)| (input.previous_output, coin.output.clone()))
            .collect();
        let sigops = transaction.total_sigop_cost(|outpoint| coins.get(outpoint).cloned());
        if sigops > policy::MAX_SIGOPS {
            let reason = "bad-txns-too-many-sigops";
            return Err(Refusal::new(RefusalKind::Other, reason, sigops.to_string()));
        }
        let weight = transaction.weight().to_wu();
        let adjusted_weight = policy::adjusted_weight(weight, sigops);
        Ok(Entry {
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            transaction: Arc::new(transaction.clone()),
            fee_sat,
            weight,
            adjusted_weight,
            size_vb: adjusted_weight.div_ceil(4),
            time_secs: self.now_secs,
            height: self.blocks.height(),
            sequence: 0,
            is_unbroadcast: false,
        })
    }

    /// Dust of a parent must be spent by its child.
    fn check_dust_spent(&self, transaction: &Transaction) -> Result<(), Refusal> {
        for parent in self.pool.parents_of(transaction) {
            let Some(entry) = self.pool.get(&parent) else {
                continue;
            };
            let is_spent = |vout: u32| {
                let outpoint = OutPoint { txid: parent, vout };
                let mut inputs = transaction.input.iter();
                inputs.any(|input| input.previous_output == outpoint)
            };
            if !policy::dust(&entry.transaction).all(is_spent) {
                let details = format!(
                    "tx {} (wtxid={}) did not spend parent's ephemeral dust",
                    transaction.compute_txid(),
                    transaction.compute_wtxid()
                );
                let reason = "missing-ephemeral-spends";
                return Err(Refusal::new(RefusalKind::Other, reason, details));
            }
        }
        Ok(())
    }

    /// What the pool and the relay ask at least.
    pub(super) fn check_minimum(&self, fee_sat: u64, size_vb: u64) -> Result<(), Refusal> {
        let rolling = policy::fee_at(self.pool.rolling_min(), size_vb);
        if fee_sat < rolling {
            let details = format!("{fee_sat} < {rolling}");
            let reason = "mempool min fee not met";
            return Err(Refusal::new(RefusalKind::Fee, reason, details));
        }
        let fixed = policy::fee_at(self.pool.limits.min_relay_sat_per_kvb, size_vb);
        if fee_sat < fixed {
            let details = format!("{fee_sat} < {fixed}");
            let reason = "min relay fee not met";
            return Err(Refusal::new(RefusalKind::Fee, reason, details));
        }
        Ok(())
    }
}

/// Only what pays nothing may have dust.
fn check_dust(entry: &Entry) -> Result<(), Refusal> {
    if entry.fee_sat != 0 && policy::dust(&entry.transaction).next().is_some() {
        let details = "tx with dust output must be 0-fee";
        return Err(Refusal::new(RefusalKind::Other, "dust", details));
    }
    Ok(())
}

/// As Core's `FormatMoney`: at least two decimals.
pub(super) fn money(amount: bitcoin::Amount) -> String {
    let sat = amount.to_sat();
    let (whole, rest) = (sat / 100_000_000, sat % 100_000_000);
    let digits = format!("{rest:08}");
    let (kept, end) = digits.split_at(2);
    format!("{whole}.{kept}{}", end.trim_end_matches('0'))
}

//! Contract infos: events, payouts and sizes, before any signature is made.

use std::collections::BTreeSet;

use bitcoin::Amount;
use btc_iface::BitcoinResult;
use ddk_dlc::RangePayout;
use ddk_manager::contract::ContractDescriptor as Execution;
use ddk_manager::contract::contract_info::ContractInfo as ExecutionInfo;
use ddk_messages::contract_msgs::{ContractDescriptor, ContractInfo, ContractInfoInner};
use ddk_messages::oracle_msgs::{EventDescriptor, OracleAnnouncement, OracleInfo, OracleParams};
use ddk_trie::digit_decomposition::group_by_ignoring_digits;

use super::{curve, oracle};
use crate::fault::{guard, refuse, refused};

/// The wire format has no longer list.
pub(crate) const MAX_SIGNATURES: u64 = 1_000_000;
const MAX_BRANCHES: usize = 64;
const MAX_ORACLES: usize = 16;
/// With an allowed difference, a range needs many signatures: their number is known only once the
/// trie is built, so what goes in is limited first.
const MAX_DIFFERENCE_RANGES: u64 = 20_000;
/// What is lost as dust is never more than this.
const MIN_COLLATERAL_SAT: u64 = 1_000;
const MAX_COLLATERAL_SAT: u64 = 21_000_000 * 100_000_000;

/// A contract that can be built.
pub(crate) struct Checked {
    pub(crate) total: Amount,
    pub(crate) branches: Vec<CheckedBranch>,
    /// The first and the last maturity of all events, in Unix seconds.
    pub(crate) first_maturity: u32,
    pub(crate) last_maturity: u32,
}

/// One event of it.
pub(crate) struct CheckedBranch {
    pub(crate) execution: ExecutionInfo,
    /// The payouts of a numeric event.
    pub(crate) ranges: Vec<RangePayout>,
    /// How many signatures each side makes for it.
    pub(crate) signatures: u64,
}

impl Checked {
    pub(crate) fn signatures(&self) -> u64 {
        self.branches.iter().map(|branch| branch.signatures).sum()
    }
}

/// Checks what a contract pays for which outcome, and who decides.
pub(crate) fn contract_info(info: &ContractInfo) -> BitcoinResult<Checked> {
    let (total, inner): (Amount, Vec<&ContractInfoInner>) = match info {
        ContractInfo::SingleContractInfo(single) => {
            (single.total_collateral, vec![&single.contract_info])
        }
        ContractInfo::DisjointContractInfo(disjoint) => {
            if !(2..=MAX_BRANCHES).contains(&disjoint.contract_infos.len()) {
                let message = "a union has 2 to 64 events";
                return Err(refuse("contract_infos", message));
            }
            (
                disjoint.total_collateral,
                disjoint.contract_infos.iter().collect(),
            )
        }
    };
    if !(MIN_COLLATERAL_SAT..=MAX_COLLATERAL_SAT).contains(&total.to_sat()) {
        return Err(refuse(
            "total_collateral",
            "less than 1,000 satoshi, or more than there is",
        ));
    }
    let mut maturities = Vec::new();
    for inner in &inner {
        for announcement in check_oracles(inner)? {
            maturities.push(announcement.oracle_event.event_maturity_epoch);
        }
        check_payouts(inner, total)?;
    }
    let executions = guard("contract_info", || {
        ddk_manager::contract::execution_contract_infos(info).map_err(refused("contract_info"))
    })?;
    let mut branches = Vec::with_capacity(executions.len());
    let mut signatures: u64 = 0;
    for execution in executions {
        let branch = check_branch(execution, total)?;
        signatures = signatures.saturating_add(branch.signatures);
        if signatures > MAX_SIGNATURES {
            return Err(too_many(signatures));
        }
        branches.push(branch);
    }
    let times = maturities.iter().copied();
    let (Some(first_maturity), Some(last_maturity)) = (times.clone().min(), times.max()) else {
        return Err(refuse("oracle_announcements", "no oracle decides"));
    };
    Ok(Checked {
        total,
        branches,
        first_maturity,
        last_maturity,
    })
}

fn too_many(signatures: u64) -> btc_iface::BitcoinError {
    let message = "the contract needs more signatures than a message can have (1,000,000); round \
                   payouts to greater steps, or use fewer digits or oracles";
    refuse("contract_info", message).with_context("signatures", signatures)
}

fn parts(info: &OracleInfo) -> (&[OracleAnnouncement], u16, Option<&OracleParams>) {
    match info {
        OracleInfo::Single(single) => (std::slice::from_ref(&single.oracle_announcement), 1, None),
        OracleInfo::Multi(multi) => (
            &multi.oracle_announcements,
            multi.threshold,
            multi.oracle_params.as_ref(),
        ),
    }
}

fn check_oracles(inner: &ContractInfoInner) -> BitcoinResult<&[OracleAnnouncement]> {
    let (announcements, threshold, difference) = parts(&inner.oracle_info);
    if !(1..=MAX_ORACLES).contains(&announcements.len()) {
        return Err(refuse(
            "oracle_announcements",
            "a contract has 1 to 16 oracles",
        ));
    }
    if matches!(inner.oracle_info, OracleInfo::Multi(_)) && announcements.len() == 1 {
        return Err(refuse(
            "oracle_info",
            "one oracle alone in the form for several",
        ));
    }
    if threshold == 0 || usize::from(threshold) > announcements.len() {
        return Err(refuse(
            "threshold",
            "at least one oracle, and not more than there are",
        ));
    }
    let keys: BTreeSet<_> = announcements
        .iter()
        .map(|it| it.oracle_public_key)
        .collect();
    if keys.len() != announcements.len() {
        let message = "an oracle is there twice: alone it would reach the threshold";
        return Err(refuse("oracle_public_key", message));
    }
    for announcement in announcements {
        oracle::announcement(announcement)?;
    }
    if let Some(difference) = difference {
        let (low, high) = (difference.min_fail_exp, difference.max_error_exp);
        if low == 0 || low >= high || high > 32 {
            let message =
                "the difference that always settles must be below the one that never does";
            return Err(refuse("oracle_params", message));
        }
    }
    Ok(announcements)
}

/// The wire format's own parts, before ddk turns them into its own: that conversion does not check.
fn check_payouts(inner: &ContractInfoInner, total: Amount) -> BitcoinResult<()> {
    let (announcements, _, difference) = parts(&inner.oracle_info);
    match &inner.contract_descriptor {
        ContractDescriptor::EnumeratedContractDescriptor(enumerated) => {
            if difference.is_some() {
                return Err(refuse("oracle_params", "names cannot differ by an amount"));
            }
            if let Some(line) = enumerated
                .payouts
                .iter()
                .find(|line| line.offer_payout > total)
            {
                return Err(refuse("offer_payout", "a payout above the collateral")
                    .with_context("outcome", &line.outcome));
            }
            Ok(())
        }
        ContractDescriptor::NumericOutcomeContractDescriptor(numeric) => {
            let (base, digits) = digits(announcements)?;
            if numeric.num_digits != digits {
                let message = format!("the oracle with the fewest digits has {digits}");
                return Err(refuse("num_digits", message));
            }
            if let Some(difference) = difference {
                if base != 2 {
                    let message = "an allowed difference needs events in base 2";
                    return Err(refuse("oracle_params", message));
                }
                if difference.max_error_exp >= digits {
                    let message =
                        "the difference that never settles must be below the greatest number";
                    return Err(refuse("oracle_params", message));
                }
            }
            curve::check(numeric, max(base, digits), total)
        }
    }
}

/// The base of all, and the fewest digits.
fn digits(announcements: &[OracleAnnouncement]) -> BitcoinResult<(u16, u16)> {
    let mut found: Option<(u16, u16)> = None;
    for announcement in announcements {
        let EventDescriptor::DigitDecompositionEvent(event) =
            &announcement.oracle_event.event_descriptor
        else {
            return Err(refuse(
                "event_descriptor",
                "the event is not about a number",
            ));
        };
        found = match found {
            None => Some((event.base, event.nb_digits)),
            Some((base, _)) if base != event.base => {
                return Err(refuse("base", "the oracles count in different bases"));
            }
            Some((base, fewest)) => Some((base, fewest.min(event.nb_digits))),
        };
    }
    found.ok_or_else(|| refuse("oracle_announcements", "no oracle decides"))
}

/// The greatest number; announcements are checked for it to fit.
fn max(base: u16, digits: u16) -> u64 {
    u64::from(base)
        .checked_pow(digits.into())
        .map_or(u64::MAX, |count| count - 1)
}

fn check_branch(execution: ExecutionInfo, total: Amount) -> BitcoinResult<CheckedBranch> {
    guard("contract_info", || {
        execution.validate().map_err(refused("contract_descriptor"))
    })?;
    let combinations = combinations(execution.oracle_announcements.len(), execution.threshold);
    let (ranges, signatures) = match &execution.contract_descriptor {
        Execution::Enum(outcomes) => {
            let outcomes = outcomes.outcome_payouts.len() as u64;
            (Vec::new(), outcomes.saturating_mul(combinations))
        }
        Execution::Numerical(numeric) => {
            let info = &numeric.oracle_numeric_infos;
            let base = u16::try_from(info.base).unwrap_or(u16::MAX);
            let digits = u16::try_from(info.get_min_nb_digits()).unwrap_or(u16::MAX);
            let ranges = curve::ranges(numeric, max(base, digits), total)?;
            let mut prefixes: u64 = 0;
            for range in &ranges {
                let end = range.start + range.count - 1;
                let groups =
                    group_by_ignoring_digits(range.start, end, info.base, usize::from(digits));
                prefixes = prefixes.saturating_add(groups.len() as u64);
                if prefixes > MAX_SIGNATURES {
                    return Err(too_many(prefixes));
                }
            }
            let least = prefixes.saturating_mul(combinations);
            if numeric.difference_params.is_some() && least > MAX_DIFFERENCE_RANGES {
                return Err(too_many(least));
            }
            (ranges, least)
        }
    };
    if signatures > MAX_SIGNATURES {
        return Err(too_many(signatures));
    }
    Ok(CheckedBranch {
        execution,
        ranges,
        signatures,
    })
}

/// How many sets of `chosen` there are among `all`, both small.
fn combinations(all: usize, chosen: usize) -> u64 {
    (0..chosen as u64).fold(1, |count, step| count * (all as u64 - step) / (step + 1))
}

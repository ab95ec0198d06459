//! What a replacement must pay (BIP125 rules 3 to 5, as Bitcoin Core has them since version 31).

use std::collections::HashSet;

use bitcoin::{Amount, Txid};

use super::accept::money;
use super::{Entry, Pool, Refusal, RefusalKind, policy};

/// With how many clusters a replacement may conflict.
const MAX_CLUSTERS: usize = 100;

/// Checks the fee of one transaction that would replace others.
pub(super) fn check_fees(
    pool: &Pool,
    entry: &Entry,
    conflicts: &HashSet<Txid>,
    replaced: &HashSet<Txid>,
    by_sibling: bool,
) -> Result<(), Refusal> {
    let suffix = if by_sibling {
        " (including sibling eviction)"
    } else {
        ""
    };
    let clusters = cluster_count(pool, conflicts);
    if clusters > MAX_CLUSTERS {
        return Err(Refusal::new(
            RefusalKind::Other,
            &format!("too many potential replacements{suffix}"),
            format!(
                "rejecting replacement {}; too many conflicting clusters ({clusters} > \
                 {MAX_CLUSTERS})",
                entry.txid
            ),
        ));
    }
    pays_for(pool, entry.txid, (entry.fee_sat, entry.size_vb), replaced).map_err(|details| {
        Refusal::new(
            RefusalKind::Fee,
            &format!("insufficient fee{suffix}"),
            details,
        )
    })
}

/// Whether a fee covers that of what goes, and the relay of what comes.
pub(super) fn pays_for(
    pool: &Pool,
    txid: Txid,
    (fee_sat, size_vb): (u64, u64),
    replaced: &HashSet<Txid>,
) -> Result<(), String> {
    let entries = replaced.iter().filter_map(|txid| pool.get(txid));
    let going_sat: u64 = entries.map(|entry| entry.fee_sat).sum();
    let show = |sat: u64| money(Amount::from_sat(sat));
    let Some(more_sat) = fee_sat.checked_sub(going_sat) else {
        return Err(format!(
            "rejecting replacement {txid}, less fees than conflicting txs; {} < {}",
            show(fee_sat),
            show(going_sat)
        ));
    };
    let relay_sat = policy::fee_at(pool.limits.incremental_sat_per_kvb, size_vb);
    if more_sat < relay_sat {
        return Err(format!(
            "rejecting replacement {txid}, not enough additional fees to relay; {} < {}",
            show(more_sat),
            show(relay_sat)
        ));
    }
    Ok(())
}

fn cluster_count(pool: &Pool, conflicts: &HashSet<Txid>) -> usize {
    let mut seen: HashSet<Txid> = HashSet::new();
    let mut count = 0;
    for txid in conflicts {
        if !seen.contains(txid) {
            seen.extend(pool.cluster([*txid]));
            count += 1;
        }
    }
    count
}

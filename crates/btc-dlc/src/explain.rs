//! What a contract means, in full sentences and in numbers, for one of its sides.

use std::collections::BTreeSet;

use btc_iface::dlc::{ContractId, Explanation, OutcomeLine, Role};
use ddk_manager::contract::ContractDescriptor;
use ddk_messages::OfferDlc;

use crate::check::{Checked, CheckedBranch};

/// No explanation has more lines for one event.
const MAX_LINES: usize = 1_000;
/// Outputs below this are dropped; what they would pay is a fee.
const DUST_SAT: u64 = 1_000;

/// Explains an offer that was checked.
pub(crate) fn explain(offer: &OfferDlc, checked: &Checked, role: Role) -> Explanation {
    let total = checked.total.to_sat();
    let offered = offer.offer_collateral.to_sat();
    let (own, theirs) = match role {
        Role::Offerer => (offered, total.saturating_sub(offered)),
        Role::Accepter => (total.saturating_sub(offered), offered),
    };
    let mut outcomes: Vec<Vec<OutcomeLine>> = checked
        .branches
        .iter()
        .map(|branch| lines(branch, role))
        .collect();
    let mut sentences = vec![format!(
        "You put in {own} sat, the other side puts in {theirs} sat; {total} sat are at stake."
    )];
    for (number, (branch, lines)) in checked.branches.iter().zip(&outcomes).enumerate() {
        if checked.branches.len() > 1 {
            sentences.push(format!(
                "Event {} of {}: the first event that is attested decides.",
                number + 1,
                checked.branches.len()
            ));
        }
        sentences.extend(who_decides(branch));
        sentences.extend(best_and_worst(lines, own));
        if lines.len() > MAX_LINES {
            sentences.push(format!(
                "Of its {} payouts, some are left out of the list and of the drawing: of each \
                 stretch, the lowest and the highest are kept. Best and worst are of all of them.",
                lines.len()
            ));
        }
    }
    sentences.push(format!(
        "If the oracles stay silent or disagree, each side gets back what it put in, from Unix \
         time {} on: you {own} sat.",
        offer.refund_locktime
    ));
    sentences.push(format!(
        "The fees are paid beforehand, at {} sat/vB, by each side for its own part{}.",
        offer.fee_rate_per_vb,
        if own == 0 || theirs == 0 {
            "; here one side funds alone and pays all of them"
        } else {
            ""
        }
    ));
    if outcomes.iter().flatten().any(|line| {
        [line.own_payout_sat, line.their_payout_sat]
            .iter()
            .any(|sat| (1..DUST_SAT).contains(sat))
    }) {
        sentences.push(format!(
            "Payouts below {DUST_SAT} sat are too small to be sent and go to the miners."
        ));
    }
    for lines in &mut outcomes {
        thin(lines);
    }
    Explanation {
        id: ContractId(offer.temporary_contract_id),
        role,
        own_collateral_sat: own,
        their_collateral_sat: theirs,
        fee_rate_sat_per_vb: offer.fee_rate_per_vb,
        signatures: checked.signatures(),
        sentences,
        outcomes,
    }
}

fn who_decides(branch: &CheckedBranch) -> Vec<String> {
    let execution = &branch.execution;
    let oracles = &execution.oracle_announcements;
    let name = |index: usize| {
        let event = &oracles[index].oracle_event;
        format!(
            "oracle {} with the event `{}` (expected at Unix time {})",
            short(&oracles[index].oracle_public_key.to_string()),
            printable(&event.event_id),
            event.event_maturity_epoch
        )
    };
    let names: Vec<String> = (0..oracles.len()).map(name).collect();
    let mut sentences = Vec::new();
    if let [only] = names.as_slice() {
        sentences.push(format!("One oracle decides alone: {only}."));
    } else {
        sentences.push(format!(
            "{} of these {} oracles must agree: {}.",
            execution.threshold,
            oracles.len(),
            names.join("; ")
        ));
        sentences.push(
            "The oracle that announces last can choose its key so that the keys of the others \
             cancel out, and then decides alone: trust each of them, or wait for announcements \
             that were published before yours."
                .to_owned(),
        );
        if let ContractDescriptor::Numerical(numeric) = &execution.contract_descriptor {
            sentences.push(match &numeric.difference_params {
                Some(difference) => format!(
                    "Their numbers may differ: by less than {} always settles, by more than {} never.",
                    1_u64 << difference.min_support_exp.min(63),
                    1_u64 << difference.max_error_exp.min(63)
                ),
                None => "Their numbers must be the same.".to_owned(),
            });
        }
    }
    sentences
}

fn best_and_worst(lines: &[OutcomeLine], own: u64) -> Vec<String> {
    let tell = |line: &OutcomeLine| {
        let sat = line.own_payout_sat;
        let result = match (sat.checked_sub(own), own.checked_sub(sat)) {
            (Some(0), _) => "no gain, no loss".to_owned(),
            (Some(gain), _) => format!("a gain of {gain} sat"),
            (_, Some(loss)) => format!("a loss of {loss} sat"),
            (None, None) => String::new(),
        };
        format!("{}: you get {sat} sat ({result})", printable(&line.outcome))
    };
    if lines.len() <= 4 {
        return lines
            .iter()
            .map(|line| format!("{}.", tell(line)))
            .collect();
    }
    let best = lines.iter().max_by_key(|line| line.own_payout_sat);
    let worst = lines.iter().min_by_key(|line| line.own_payout_sat);
    let best = best.map(|line| format!("At best, {}.", tell(line)));
    let worst = worst.map(|line| format!("At worst, {}.", tell(line)));
    best.into_iter().chain(worst).collect()
}

/// Leaves at most `MAX_LINES`: the first and the last, and of each stretch between them the lowest
/// and the highest payout.
fn thin(lines: &mut Vec<OutcomeLine>) {
    if lines.len() <= MAX_LINES {
        return;
    }
    let last = lines.len() - 1;
    let stretch = lines.len().div_ceil(MAX_LINES / 2 - 1);
    let mut kept = BTreeSet::from([0, last]);
    for start in (0..lines.len()).step_by(stretch) {
        let part = start..(start + stretch).min(lines.len());
        let pays = |index: &usize| lines[*index].own_payout_sat;
        kept.extend(part.clone().min_by_key(pays));
        kept.extend(part.max_by_key(pays));
    }
    let mut index = 0;
    lines.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}

/// What each outcome pays.
fn lines(branch: &CheckedBranch, role: Role) -> Vec<OutcomeLine> {
    let line = |outcome: String, numbers: Option<(u64, u64)>, offer: u64, accept: u64| {
        let (own_payout_sat, their_payout_sat) = match role {
            Role::Offerer => (offer, accept),
            Role::Accepter => (accept, offer),
        };
        OutcomeLine {
            outcome,
            from: numbers.map(|(from, _)| from),
            to: numbers.map(|(_, to)| to),
            own_payout_sat,
            their_payout_sat,
        }
    };
    match &branch.execution.contract_descriptor {
        ContractDescriptor::Enum(outcomes) => outcomes
            .outcome_payouts
            .iter()
            .map(|one| {
                let payout = &one.payout;
                let (offer, accept) = (payout.offer.to_sat(), payout.accept.to_sat());
                line(one.outcome.clone(), None, offer, accept)
            })
            .collect(),
        ContractDescriptor::Numerical(_) => {
            let ranges = branch.ranges.iter();
            ranges
                .map(|range| {
                    let from = range.start as u64;
                    let to = from + range.count as u64 - 1;
                    let name = if from == to {
                        format!("{from}")
                    } else {
                        format!("{from} to {to}")
                    };
                    let payout = &range.payout;
                    let (offer, accept) = (payout.offer.to_sat(), payout.accept.to_sat());
                    line(name, Some((from, to)), offer, accept)
                })
                .collect()
        }
    }
}

fn short(key: &str) -> &str {
    key.get(..16).unwrap_or(key)
}

/// A name of the other side's making, without what a terminal would obey.
fn printable(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

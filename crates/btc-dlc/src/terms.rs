//! Terms as the wire format has them.

use bitcoin::Amount;
use btc_iface::BitcoinResult;
use btc_iface::dlc::{Branch, ContractTerms, CurvePiece, CurvePoint, Oracles, Payout};
use ddk_messages::contract_msgs::{
    ContractDescriptor, ContractInfo, ContractInfoInner, ContractOutcome, DisjointContractInfo,
    EnumeratedContractDescriptor, HyperbolaPayoutCurvePiece, NumericOutcomeContractDescriptor,
    PayoutCurvePiece, PayoutFunction, PayoutFunctionPiece, PayoutPoint, PolynomialPayoutCurvePiece,
    RoundingInterval, RoundingIntervals, SingleContractInfo,
};
use ddk_messages::oracle_msgs::{
    EventDescriptor, MultiOracleInfo, OracleAnnouncement, OracleInfo, OracleParams,
    SingleOracleInfo,
};
use serde::Serialize;

use crate::check;
use crate::fault::refuse;
use crate::wire;

/// What an announcement says, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnouncementSummary {
    /// The oracle's public key (BIP340).
    pub oracle: String,
    /// The event's name.
    pub event: String,
    /// When the outcome is expected, in Unix seconds.
    pub maturity_time: u32,
    /// The outcomes by name, if it is such an event.
    pub outcomes: Vec<String>,
    /// The greatest number, if it is about a number.
    pub max: Option<u64>,
    /// What the number counts.
    pub unit: Option<String>,
}

/// Reads an announcement and verifies its signature.
///
/// # Errors
/// `InvalidInput`: it cannot be read, or is forged.
pub fn announcement_summary(hex: &str) -> BitcoinResult<AnnouncementSummary> {
    let announcement = wire::announcement(hex)?;
    check::announcement(&announcement)?;
    let event = &announcement.oracle_event;
    let (outcomes, max, unit) = match &event.event_descriptor {
        EventDescriptor::EnumEvent(names) => (names.outcomes.clone(), None, None),
        EventDescriptor::DigitDecompositionEvent(digits) => (
            Vec::new(),
            u64::from(digits.base)
                .checked_pow(digits.nb_digits.into())
                .map(|count| count - 1),
            Some(digits.unit.clone()),
        ),
    };
    Ok(AnnouncementSummary {
        oracle: announcement.oracle_public_key.to_string(),
        event: event.event_id.clone(),
        maturity_time: event.event_maturity_epoch,
        outcomes,
        max,
        unit,
    })
}

/// The wire format of these terms. Nothing is checked yet but that it can be written.
pub(crate) fn contract_info(terms: &ContractTerms) -> BitcoinResult<ContractInfo> {
    let total = terms
        .offer_collateral_sat
        .checked_add(terms.accept_collateral_sat)
        .ok_or_else(|| refuse("collateral", "more than there is"))?;
    let total_collateral = Amount::from_sat(total);
    let mut infos = terms
        .branches
        .iter()
        .map(inner)
        .collect::<BitcoinResult<Vec<_>>>()?;
    match infos.len() {
        0 => Err(refuse("branches", "a contract needs an event that decides")),
        1 => Ok(ContractInfo::SingleContractInfo(SingleContractInfo {
            total_collateral,
            contract_info: infos.remove(0),
        })),
        _ => Ok(ContractInfo::DisjointContractInfo(DisjointContractInfo {
            total_collateral,
            contract_infos: infos,
        })),
    }
}

fn inner(branch: &Branch) -> BitcoinResult<ContractInfoInner> {
    let announcements = branch
        .oracles
        .announcements
        .iter()
        .map(|hex| wire::announcement(hex))
        .collect::<BitcoinResult<Vec<_>>>()?;
    let contract_descriptor = descriptor(&branch.payout, &announcements)?;
    Ok(ContractInfoInner {
        contract_descriptor,
        oracle_info: oracle_info(&branch.oracles, announcements)?,
    })
}

fn oracle_info(
    oracles: &Oracles,
    mut announcements: Vec<OracleAnnouncement>,
) -> BitcoinResult<OracleInfo> {
    if announcements.len() == 1 {
        if oracles.threshold != 1 {
            return Err(refuse("threshold", "one oracle alone has the threshold 1"));
        }
        if oracles.allowed_difference.is_some() {
            return Err(refuse(
                "allowed_difference",
                "one oracle differs from no other",
            ));
        }
        let oracle_announcement = announcements.remove(0);
        return Ok(OracleInfo::Single(SingleOracleInfo {
            oracle_announcement,
        }));
    }
    let oracle_params = oracles.allowed_difference.map(|difference| OracleParams {
        max_error_exp: difference.fails_above_exponent,
        min_fail_exp: difference.settles_below_exponent,
        maximize_coverage: difference.maximize_coverage,
    });
    Ok(OracleInfo::Multi(MultiOracleInfo {
        threshold: oracles.threshold,
        oracle_announcements: announcements,
        oracle_params,
    }))
}

fn descriptor(
    payout: &Payout,
    announcements: &[OracleAnnouncement],
) -> BitcoinResult<ContractDescriptor> {
    match payout {
        Payout::Enumerated { outcomes } => {
            let payouts = outcomes.iter().map(|line| ContractOutcome {
                outcome: line.outcome.clone(),
                offer_payout: Amount::from_sat(line.pays_sat),
            });
            Ok(ContractDescriptor::EnumeratedContractDescriptor(
                EnumeratedContractDescriptor {
                    payouts: payouts.collect(),
                },
            ))
        }
        Payout::Numeric { curve, rounding } => {
            let digits = announcements.iter().filter_map(|announcement| {
                match &announcement.oracle_event.event_descriptor {
                    EventDescriptor::DigitDecompositionEvent(event) => Some(event.nb_digits),
                    EventDescriptor::EnumEvent(_) => None,
                }
            });
            let num_digits = digits
                .min()
                .ok_or_else(|| refuse("announcements", "no oracle announces a number"))?;
            let intervals = rounding.iter().map(|step| RoundingInterval {
                begin_interval: step.from,
                rounding_mod: step.step_sat,
            });
            Ok(ContractDescriptor::NumericOutcomeContractDescriptor(
                NumericOutcomeContractDescriptor {
                    num_digits,
                    payout_function: payout_function(curve)?,
                    rounding_intervals: RoundingIntervals {
                        intervals: intervals.collect(),
                    },
                },
            ))
        }
    }
}

fn payout_function(curve: &[CurvePiece]) -> BitcoinResult<PayoutFunction> {
    let mut pieces = Vec::with_capacity(curve.len());
    let mut end: Option<CurvePoint> = None;
    for piece in curve {
        let (first, last, payout_curve_piece) = match piece {
            CurvePiece::Polynomial { points } => {
                let [first, between @ .., last] = points.as_slice() else {
                    return Err(refuse("curve", "a polynomial needs two points or more"));
                };
                let payout_points = between.iter().map(point).collect();
                let piece = PolynomialPayoutCurvePiece { payout_points };
                let piece = PayoutCurvePiece::PolynomialPayoutCurvePiece(piece);
                (first, last, piece)
            }
            &CurvePiece::Hyperbola {
                ref from,
                ref to,
                use_positive_piece,
                translate_outcome,
                translate_payout,
                a,
                b,
                c,
                d,
            } => {
                let piece = HyperbolaPayoutCurvePiece {
                    use_positive_piece,
                    translate_outcome,
                    translate_payout,
                    a,
                    b,
                    c,
                    d,
                };
                (from, to, PayoutCurvePiece::HyperbolaPayoutCurvePiece(piece))
            }
        };
        if end.is_some_and(|end| end != *first) {
            return Err(
                refuse("curve", "each piece begins where the one before ends")
                    .with_context("at", first.at),
            );
        }
        end = Some(*last);
        pieces.push(PayoutFunctionPiece {
            end_point: point(first),
            payout_curve_piece,
        });
    }
    let end = end.ok_or_else(|| refuse("curve", "a curve needs a piece"))?;
    Ok(PayoutFunction {
        payout_function_pieces: pieces,
        last_endpoint: point(&end),
    })
}

fn point(point: &CurvePoint) -> PayoutPoint {
    PayoutPoint {
        event_outcome: point.at,
        outcome_payout: Amount::from_sat(point.pays_sat),
        extra_precision: point.extra_precision,
    }
}

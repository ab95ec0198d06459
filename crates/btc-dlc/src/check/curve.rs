//! Payout curves: they cover every number, and no payout leaves 0 to the collateral.

use bitcoin::Amount;
use btc_iface::BitcoinResult;
use ddk_dlc::RangePayout;
use ddk_manager::contract::numerical_descriptor::NumericalDescriptor;
use ddk_messages::contract_msgs::{
    NumericOutcomeContractDescriptor, PayoutCurvePiece, PayoutPoint, PolynomialPayoutCurvePiece,
};

use crate::fault::{guard, refuse, refused};

/// So many numbers of slopes are evaluated one by one; flat pieces cost nothing.
const MAX_EVALUATED: u64 = 1 << 22;
/// No curve has more points or pieces.
const MAX_POINTS: usize = 10_000;

/// Checks the wire format of a curve up to the greatest number `max`, before anything is evaluated.
#[expect(
    clippy::float_cmp,
    reason = "parameters of a curve, no amounts; as ddk compares them"
)]
pub(super) fn check(
    numeric: &NumericOutcomeContractDescriptor,
    max: u64,
    total: Amount,
) -> BitcoinResult<()> {
    let function = &numeric.payout_function;
    let pieces = &function.payout_function_pieces;
    let Some(first) = pieces.first() else {
        return Err(refuse("payout_function_pieces", "a curve needs a piece"));
    };
    if pieces.len() > MAX_POINTS {
        return Err(refuse("payout_function_pieces", "more than 10,000 pieces"));
    }
    if first.end_point.event_outcome != 0 || function.last_endpoint.event_outcome != max {
        let message = format!("the curve must cover every number from 0 to {max}");
        return Err(refuse("payout_function", message));
    }
    let ends = pieces
        .iter()
        .skip(1)
        .map(|piece| &piece.end_point)
        .chain([&function.last_endpoint]);
    let mut evaluated: u64 = 0;
    for (piece, end) in pieces.iter().zip(ends) {
        let begin = &piece.end_point;
        let between = match &piece.payout_curve_piece {
            PayoutCurvePiece::PolynomialPayoutCurvePiece(PolynomialPayoutCurvePiece {
                payout_points,
            }) => payout_points.as_slice(),
            PayoutCurvePiece::HyperbolaPayoutCurvePiece(piece) => {
                let numbers = [
                    piece.translate_outcome,
                    piece.translate_payout,
                    piece.a,
                    piece.b,
                    piece.c,
                    piece.d,
                ];
                if !numbers.iter().all(|number| number.is_finite()) || piece.a == 0.0 {
                    return Err(refuse(
                        "hyperbola",
                        "a parameter is not a number, or a is 0",
                    ));
                }
                if piece.a * piece.d == piece.b * piece.c {
                    return Err(refuse("hyperbola", "a·d must not be b·c"));
                }
                &[]
            }
        };
        if between.len() > MAX_POINTS {
            return Err(refuse("payout_points", "more than 10,000 points"));
        }
        let points: Vec<&PayoutPoint> = [begin].into_iter().chain(between).chain([end]).collect();
        if points
            .windows(2)
            .any(|pair| pair[0].event_outcome >= pair[1].event_outcome)
        {
            return Err(refuse("payout_points", "the numbers of a curve must go up"));
        }
        if let Some(point) = points.iter().find(|point| point.outcome_payout > total) {
            return Err(refuse("outcome_payout", "a payout above the collateral")
                .with_context("at", point.event_outcome));
        }
        let is_line = matches!(
            piece.payout_curve_piece,
            PayoutCurvePiece::PolynomialPayoutCurvePiece(_)
        ) && between.is_empty();
        if !(is_line && begin.outcome_payout == end.outcome_payout) {
            // A polynomial of n points costs n² for each number; a line costs 1.
            let count = points.len() as u64;
            let work = if count == 2 { 1 } else { count * count };
            let span = end.event_outcome - begin.event_outcome;
            evaluated = evaluated.saturating_add(span.saturating_mul(work));
        }
    }
    if evaluated > MAX_EVALUATED {
        let message = "the curve has more numbers on slopes than can be evaluated (2^22)";
        return Err(refuse("payout_function", message));
    }
    let steps = &numeric.rounding_intervals.intervals;
    if steps.first().is_none_or(|step| step.begin_interval != 0) || steps.len() > MAX_POINTS {
        return Err(refuse("rounding_intervals", "the first step begins at 0"));
    }
    if steps
        .windows(2)
        .any(|pair| pair[0].begin_interval >= pair[1].begin_interval)
    {
        return Err(refuse("rounding_intervals", "the steps must go up"));
    }
    let limit = total.to_sat().max(1);
    if steps
        .iter()
        .any(|step| step.rounding_mod == 0 || step.rounding_mod > limit)
    {
        let message = "a step is 1 satoshi or more, and not above the collateral";
        return Err(refuse("rounding_mod", message));
    }
    Ok(())
}

/// Evaluates a checked curve and checks every payout of it.
pub(super) fn ranges(
    numeric: &NumericalDescriptor,
    max: u64,
    total: Amount,
) -> BitcoinResult<Vec<RangePayout>> {
    let ranges = guard("payout_function", || {
        numeric.validate(max).map_err(refused("payout_function"))?;
        numeric
            .get_range_payouts(total)
            .map_err(refused("payout_function"))
    })?;
    let mut next: u64 = 0;
    for range in &ranges {
        let sum = range.payout.offer.checked_add(range.payout.accept);
        if range.start as u64 != next || range.count == 0 || sum != Some(total) {
            return Err(refuse("payout_function", "a number has no payout, or two")
                .with_context("at", range.start));
        }
        next += range.count as u64;
    }
    if next != max + 1 {
        return Err(refuse(
            "payout_function",
            "the curve does not cover every number",
        ));
    }
    Ok(ranges)
}

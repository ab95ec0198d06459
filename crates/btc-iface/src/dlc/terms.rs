//! `ContractTerms`: what two parties agree on, as documented TOML or JSON and as Rust values.

use serde::{Deserialize, Serialize};

/// The terms of a contract, from the side that offers it. All amounts are in satoshi.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractTerms {
    /// What the offering side puts in; 0 when the other side funds alone.
    pub offer_collateral_sat: u64,
    /// What the accepting side puts in; 0 when the offering side funds alone.
    pub accept_collateral_sat: u64,
    /// The fee rate of the funding and of the settlement, in sat/vB.
    pub fee_rate_sat_per_vb: u64,
    /// From when on the refund is valid, in Unix seconds; `None`: seven days after the last event.
    #[serde(default)]
    pub refund_time: Option<u32>,
    /// From when on a settlement is valid, in Unix seconds; `None`: now.
    #[serde(default)]
    pub settle_time: Option<u32>,
    /// The events that may decide, each on its own: the first that is attested does.
    pub branches: Vec<Branch>,
}

/// One event with its oracles and what each outcome pays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Who decides.
    pub oracles: Oracles,
    /// What each outcome pays to the offering side; the rest goes to the other.
    pub payout: Payout,
}

/// The oracles of an event, and how many of them must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oracles {
    /// The announcements, as hexadecimal digits.
    pub announcements: Vec<String>,
    /// How many oracles must agree.
    pub threshold: u16,
    /// How far apart their numbers may be; `None`: not at all.
    #[serde(default)]
    pub allowed_difference: Option<AllowedDifference>,
}

/// How far apart the numbers of several oracles may be, as powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedDifference {
    /// Numbers less than 2 to this power apart always settle.
    pub settles_below_exponent: u16,
    /// Numbers more than 2 to this power apart never settle.
    pub fails_above_exponent: u16,
    /// Whether as many numbers as possible between the two settle.
    #[serde(default)]
    pub maximize_coverage: bool,
}

/// What each outcome of an event pays to the offering side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Payout {
    /// Each outcome by its name.
    Enumerated {
        /// Every outcome of the event, once.
        outcomes: Vec<OutcomePayout>,
    },
    /// A curve over a number.
    Numeric {
        /// The pieces, from 0 to the greatest number; each begins where the one before ends.
        curve: Vec<CurvePiece>,
        /// The steps that payouts are rounded to; the first begins at 0.
        rounding: Vec<Rounding>,
    },
}

/// One outcome and what it pays to the offering side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomePayout {
    /// The outcome as the oracle names it.
    pub outcome: String,
    /// The payout in satoshi.
    pub pays_sat: u64,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// The number that the oracle attests to.
    pub at: u64,
    /// The payout to the offering side in satoshi.
    pub pays_sat: u64,
    /// Parts of a satoshi, in 1/65,536.
    #[serde(default)]
    pub extra_precision: u16,
}

/// A piece of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CurvePiece {
    /// The polynomial through these points: two make a line.
    Polynomial {
        /// The points, from left to right.
        points: Vec<CurvePoint>,
    },
    /// The hyperbola of the specification, between two points.
    Hyperbola {
        /// Where it begins.
        from: CurvePoint,
        /// Where it ends.
        to: CurvePoint,
        /// Which of its two branches.
        use_positive_piece: bool,
        /// The shift along the numbers.
        translate_outcome: f64,
        /// The shift along the payouts.
        translate_payout: f64,
        /// The parameter a.
        a: f64,
        /// The parameter b.
        b: f64,
        /// The parameter c.
        c: f64,
        /// The parameter d.
        d: f64,
    },
}

/// From this number on, payouts are rounded to this step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    /// The first number.
    pub from: u64,
    /// The step in satoshi; 1 rounds to whole satoshi.
    pub step_sat: u64,
}

/// An event that an oracle announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its name, unique for the oracle.
    pub name: String,
    /// When the outcome is expected, in Unix seconds.
    pub maturity_time: u32,
    /// What can happen.
    pub outcomes: EventKind,
}

/// The outcomes of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EventKind {
    /// One of these names.
    Enumerated {
        /// The names.
        names: Vec<String>,
    },
    /// A number, attested digit by digit.
    Numeric {
        /// The base of the digits.
        base: u16,
        /// How many digits.
        digits: u16,
        /// What the number counts.
        unit: String,
        /// The power of ten that the number is to be multiplied with.
        #[serde(default)]
        precision: i32,
    },
}

impl Payout {
    /// Each outcome by its name, with what it pays to the offering side in satoshi.
    pub fn enumerated<'a>(outcomes: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let outcomes = outcomes
            .into_iter()
            .map(|(outcome, pays_sat)| OutcomePayout {
                outcome: outcome.to_owned(),
                pays_sat,
            });
        Self::Enumerated {
            outcomes: outcomes.collect(),
        }
    }

    /// Straight lines through these points, each a number and a payout in satoshi, rounded to
    /// `step_sat`.
    pub fn lines(points: &[(u64, u64)], step_sat: u64) -> Self {
        let point = |&(at, pays_sat): &(u64, u64)| CurvePoint {
            at,
            pays_sat,
            extra_precision: 0,
        };
        let curve = points.windows(2).map(|pair| CurvePiece::Polynomial {
            points: pair.iter().map(point).collect(),
        });
        Self::Numeric {
            curve: curve.collect(),
            rounding: vec![Rounding { from: 0, step_sat }],
        }
    }
}

impl Oracles {
    /// One oracle alone.
    pub fn one(announcement: impl Into<String>) -> Self {
        Self::any_of([announcement.into()], 1)
    }

    /// As many as `threshold` of these.
    pub fn any_of(announcements: impl IntoIterator<Item = String>, threshold: u16) -> Self {
        Self {
            announcements: announcements.into_iter().collect(),
            threshold,
            allowed_difference: None,
        }
    }

    /// The same with numbers that may be apart.
    #[must_use]
    pub fn with_difference(mut self, difference: AllowedDifference) -> Self {
        self.allowed_difference = Some(difference);
        self
    }
}

impl ContractTerms {
    /// Terms without an event yet.
    pub fn new(
        offer_collateral_sat: u64,
        accept_collateral_sat: u64,
        fee_rate_sat_per_vb: u64,
    ) -> Self {
        Self {
            offer_collateral_sat,
            accept_collateral_sat,
            fee_rate_sat_per_vb,
            refund_time: None,
            settle_time: None,
            branches: Vec::new(),
        }
    }

    /// Adds an event that may decide.
    #[must_use]
    pub fn branch(mut self, oracles: Oracles, payout: Payout) -> Self {
        self.branches.push(Branch { oracles, payout });
        self
    }

    /// Sets from when on the refund is valid, in Unix seconds.
    #[must_use]
    pub fn refund_at(mut self, time: u32) -> Self {
        self.refund_time = Some(time);
        self
    }

    /// Sets from when on a settlement is valid, in Unix seconds.
    #[must_use]
    pub fn settle_from(mut self, time: u32) -> Self {
        self.settle_time = Some(time);
        self
    }
}

//! Limits from a TOML file.

use std::collections::BTreeMap;

use btc_iface::Operation;
use serde::{Deserialize, Deserializer};

use super::super::gathering::Distinct;
use super::{Allowance, Gate, OperationGate};

impl Gate {
    /// Reads limits from TOML; what is not named keeps its default.
    ///
    /// # Errors
    /// What is wrong with the text: a key that is not known, or a limit that means nothing or could
    /// never be met.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let gate: Self = toml::from_str(text).map_err(|cause| cause.to_string())?;
        gate.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let is_share = |value: f64| value > 0.0 && value < 1.0;
        if !is_share(self.confidence) || self.families == 0 {
            return Err(
                "confidence must lie between 0 and 1, as 0.95, and families be at least 1"
                    .to_owned(),
            );
        }
        let limits = [
            ("inconclusive_percent", self.inconclusive_percent),
            ("dropped_percent", self.dropped_percent),
            (
                "error_rate_difference_percent",
                self.error_rate_difference_percent,
            ),
            ("p50_ratio", self.p50_ratio),
            ("p99_ratio", self.p99_ratio),
            ("memory_growth_percent", self.memory_growth_percent),
        ];
        for (name, value) in limits {
            if !value.is_finite() || value < 0.0 {
                return Err(format!("{name} must be a number that is not negative"));
            }
        }
        for (operation, limits) in &self.operations {
            if !Operation::CALLS.contains(operation) {
                return Err(format!("{operation} is no operation of the interface"));
            }
            if limits.distinct_inputs > Distinct::MAX {
                let most = Distinct::MAX;
                return Err(format!(
                    "operations.{operation}.distinct_inputs must be at most {most}, which are told apart"
                ));
            }
            if !is_share(limits.mismatch_bound) {
                return Err(format!(
                    "operations.{operation}.mismatch_bound must lie between 0 and 1, as 0.001"
                ));
            }
        }
        Ok(self)
    }
}

/// The limits of an operation as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    is_required: Option<bool>,
    distinct_inputs: Option<usize>,
    mismatch_bound: Option<f64>,
    allowance: Option<Allowance>,
    agreed_errors: Option<u64>,
}

/// The limits of all operations: the defaults, and over them those of the file.
pub(super) fn operations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Operation, OperationGate>, D::Error> {
    let named = BTreeMap::<Operation, Limits>::deserialize(deserializer)?;
    let mut operations = Gate::default().operations;
    for (operation, limits) in named {
        let default = OperationGate::of(operation);
        let merged = OperationGate {
            is_required: limits.is_required.unwrap_or(default.is_required),
            distinct_inputs: limits.distinct_inputs.unwrap_or(default.distinct_inputs),
            mismatch_bound: limits.mismatch_bound.unwrap_or(default.mismatch_bound),
            allowance: limits.allowance.unwrap_or(default.allowance),
            agreed_errors: limits.agreed_errors.unwrap_or(default.agreed_errors),
        };
        operations.insert(operation, merged);
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_named_is_the_default() {
        assert_eq!(Gate::from_toml(""), Ok(Gate::default()));
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let gate = Gate::from_toml(
            "p99_ratio = 1.5\n\
             [operations.get_block]\ndistinct_inputs = 300\n\
             [operations.get_balance]\nis_required = false\n",
        );
        let mut expected = Gate {
            p99_ratio: 1.5,
            ..Gate::default()
        };
        let mut change = |operation, change: fn(&mut OperationGate)| {
            change(
                expected
                    .operations
                    .entry(operation)
                    .or_insert_with(|| OperationGate::of(operation)),
            );
        };
        change(Operation::GetBlock, |limits| limits.distinct_inputs = 300);
        change(Operation::GetBalance, |limits| limits.is_required = false);
        assert_eq!(gate, Ok(expected));
    }

    #[test]
    fn what_is_not_known_or_means_nothing_is_refused_by_name() {
        for (text, named) in [
            ("p98_ratio = 1", "p98_ratio"),
            ("p99_ratio = -1", "p99_ratio"),
            ("p50_ratio = nan", "p50_ratio"),
            ("confidence = 95", "confidence"),
            ("families = 0", "families"),
            ("[operations.get_blocks]", "get_blocks"),
            ("[operations.connect]", "connect"),
            ("[operations.get_block]\ndistinct = 1", "distinct"),
            (
                "[operations.get_block]\nmismatch_bound = 0",
                "mismatch_bound",
            ),
            ("[operations.get_block]\ndistinct_inputs = 200000", "131072"),
            ("[operations.get_block]\nallowance = \"all\"", "all"),
            ("nonsense", "nonsense"),
        ] {
            let error = Gate::from_toml(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}

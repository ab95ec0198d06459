//! `Fields`: mismatches by operation and field, of which there is a bounded number.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use btc_iface::Operation;

use super::text::{Kind, Text};
use crate::record::Comparison;

pub(super) const NAME: &str = "btc_shadow_mismatched_fields_total";
/// Each is a time series: more of them than answers have fields come from elsewhere.
const MAX_FIELDS: usize = 100;
/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 80;
/// Where all others are counted.
const OTHER: &str = "other";

#[derive(Debug, Default)]
pub(super) struct Fields(Mutex<BTreeMap<(Operation, String), u64>>);

impl Fields {
    /// Counts each field of a mismatch once, however often it differs in a list.
    pub(super) fn count(&self, comparison: &Comparison) {
        let paths = comparison.differences.iter();
        let mut paths: Vec<_> = paths.map(|found| without_indices(&found.path)).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            let key = (comparison.operation, path);
            let is_known = fields.contains_key(&key);
            let has_room = fields.len() < MAX_FIELDS && key.1.len() <= MAX_PATH_BYTES;
            let key = if is_known || has_room {
                key
            } else {
                (comparison.operation, OTHER.to_owned())
            };
            *fields.entry(key).or_default() += 1;
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.family(
            NAME,
            Kind::Counter,
            "Mismatches in which a field differed, without the indices in its path.",
        );
        let fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((operation, path), count) in fields.iter() {
            let labels = [("operation", operation.as_str()), ("field", path.as_str())];
            text.sample(NAME, &labels, *count);
        }
    }
}

/// `[3].outputs[0].value_sat` without what is in brackets: `outputs.value_sat`.
fn without_indices(path: &str) -> String {
    let mut rest = path;
    let mut plain = String::with_capacity(path.len());
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        rest = after.split_once(']').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let plain = plain.trim_start_matches('.');
    if plain.is_empty() {
        "whole".to_owned()
    } else {
        plain.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_indices() {
        for (path, plain) in [
            ("height", "height"),
            ("[3].outputs[0].value_sat", "outputs.value_sat"),
            ("inputs[1].witness[2]", "inputs.witness"),
            ("snapshot.coins[00ff:1]", "snapshot.coins"),
            ("[7]", "whole"),
            ("", "whole"),
            ("cut[12", "cut"),
        ] {
            assert_eq!(without_indices(path), plain, "{path}");
        }
    }
}

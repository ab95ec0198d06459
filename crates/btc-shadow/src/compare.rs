//! The rules that say whether two answers mean the same, and where they differ.

mod numbers;
mod wallet;

use std::fmt::Display;

use btc_iface::{
    BitcoinResult, BitcoinTransaction, ErrorKind, TransactionInput, TransactionOutput,
};
use serde::{Deserialize, Serialize};

pub use self::numbers::{Balance, FeeRate, Height};

/// The version of the rules below. It grows with every change that lets a pair of answers end in
/// another verdict: what was counted under other rules is no evidence any more.
pub const RULES: u32 = 3;

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Both sides answered the same.
    Match,
    /// The sides differed in what a new block explains, and agreed when asked again.
    Recovered,
    /// The sides differ.
    Mismatch,
    /// A side could not be asked, so nothing can be said.
    Inconclusive,
    /// Not compared, by rule or because the secondary does not offer the operation.
    Skipped,
    /// Not compared for want of room or time.
    Dropped,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] = [
        Self::Match,
        Self::Recovered,
        Self::Mismatch,
        Self::Inconclusive,
        Self::Skipped,
        Self::Dropped,
    ];

    /// The stable name, as in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Recovered => "recovered",
            Self::Mismatch => "mismatch",
            Self::Inconclusive => "inconclusive",
            Self::Skipped => "skipped",
            Self::Dropped => "dropped",
        }
    }
}

/// A field in which the two sides differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path of the field, such as `[3].outputs[0].value_sat` or `error.kind`.
    pub path: String,
    /// The primary's value, shortened.
    pub primary: String,
    /// The secondary's value, shortened.
    pub secondary: String,
    /// Whether a block or transaction that arrived between the two reads can explain it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tip: bool,
}

/// The differences found so far, up to a bound, and where in the answer the comparison stands.
#[derive(Debug, Default)]
pub struct Differences {
    path: String,
    found: Vec<Difference>,
}

impl Differences {
    /// More differences than these say nothing new.
    const MAX: usize = 16;
    /// The longest value kept.
    const MAX_VALUE_CHARS: usize = 120;

    /// The differences, in the order of the fields.
    pub fn into_vec(self) -> Vec<Difference> {
        self.found
    }

    /// Whether nothing differs so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn is_full(&self) -> bool {
        self.found.len() >= Self::MAX
    }

    /// Runs a comparison one step deeper.
    pub(crate) fn at(&mut self, step: impl Display, compare: impl FnOnce(&mut Self)) {
        use std::fmt::Write as _;
        if self.is_full() {
            return;
        }
        let length = self.path.len();
        // Writing to a string cannot fail.
        let _ = write!(self.path, "{step}");
        compare(self);
        self.path.truncate(length);
    }

    pub(crate) fn add(&mut self, primary: impl Display, secondary: impl Display, tip: bool) {
        if self.is_full() {
            return;
        }
        let path = self.path.trim_start_matches('.').to_owned();
        let shorten = |value: String| match value.char_indices().nth(Self::MAX_VALUE_CHARS) {
            Some((end, _)) => format!("{}… ({} bytes)", &value[..end], value.len()),
            None => value,
        };
        self.found.push(Difference {
            path,
            primary: shorten(primary.to_string()),
            secondary: shorten(secondary.to_string()),
            tip,
        });
    }

    pub(crate) fn field<T: PartialEq>(
        &mut self,
        name: &str,
        primary: &T,
        secondary: &T,
        show: impl Fn(&T) -> String,
    ) {
        if primary != secondary {
            self.at(name, |here| here.add(show(primary), show(secondary), false));
        }
    }

    /// Adds where the kinds of error differ, if they do.
    pub(crate) fn kinds(&mut self, (primary, secondary): Kinds, tip: bool) {
        let show = |kind: Option<ErrorKind>| kind.map_or("ok", ErrorKind::as_str);
        if primary != secondary {
            self.at("error.kind", |here| {
                here.add(show(primary), show(secondary), tip);
            });
        }
    }

    fn list<T: PartialEq>(
        &mut self,
        primary: &[T],
        secondary: &[T],
        compare: impl Fn(&mut Self, &T, &T),
    ) {
        if primary.len() != secondary.len() {
            self.at(".length", |here| {
                here.add(primary.len(), secondary.len(), false);
            });
        }
        for (index, (ours, theirs)) in primary.iter().zip(secondary).enumerate() {
            if ours != theirs {
                self.at(format_args!("[{index}]"), |here| {
                    compare(here, ours, theirs);
                });
            }
        }
    }
}

/// An answer that can be compared field by field.
pub trait Compare: PartialEq {
    /// Adds the fields in which the two differ. Equal answers cost one comparison.
    fn compare(&self, other: &Self, differences: &mut Differences);
}

impl Compare for Vec<BitcoinTransaction> {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        differences.list(self, other, |here, ours, theirs| ours.compare(theirs, here));
    }
}

impl Compare for BitcoinTransaction {
    fn compare(&self, other: &Self, differences: &mut Differences) {
        if self == other {
            return;
        }
        let here = differences;
        here.field(".txid", &self.txid, &other.txid, ToString::to_string);
        here.field(".wtxid", &self.wtxid, &other.wtxid, ToString::to_string);
        here.field(
            ".version",
            &self.version,
            &other.version,
            ToString::to_string,
        );
        here.field(
            ".lock_time",
            &self.lock_time,
            &other.lock_time,
            ToString::to_string,
        );
        here.at(".inputs", |here| {
            here.list(&self.inputs, &other.inputs, compare_input);
        });
        here.at(".outputs", |here| {
            here.list(&self.outputs, &other.outputs, compare_output);
        });
        here.field(".size", &self.size, &other.size, ToString::to_string);
        here.field(".weight", &self.weight, &other.weight, ToString::to_string);
        // A fact that one side did not learn says nothing about the other's.
        if let (Some(ours), Some(theirs)) = (self.fee_sat, other.fee_sat) {
            here.field(".fee_sat", &ours, &theirs, ToString::to_string);
        }
        if let (Some(ours), Some(theirs)) = (self.block_height, other.block_height)
            && ours != theirs
        {
            here.at(".block_height", |here| here.add(ours, theirs, true));
        }
        if self.block_hash != other.block_hash {
            let show = |hash: Option<_>| {
                hash.map_or_else(
                    || "none".to_owned(),
                    |h: btc_iface::rust_bitcoin::BlockHash| h.to_string(),
                )
            };
            here.at(".block_hash", |here| {
                here.add(show(self.block_hash), show(other.block_hash), true);
            });
        }
    }
}

fn compare_input(here: &mut Differences, ours: &TransactionInput, theirs: &TransactionInput) {
    here.field(
        ".previous_output",
        &ours.previous_output,
        &theirs.previous_output,
        std::string::ToString::to_string,
    );
    here.field(
        ".sequence",
        &ours.sequence,
        &theirs.sequence,
        ToString::to_string,
    );
    compare_unlocking(here, ours, theirs);
}

fn compare_unlocking(here: &mut Differences, ours: &TransactionInput, theirs: &TransactionInput) {
    here.field(".script_sig", &ours.script_sig, &theirs.script_sig, |s| {
        s.to_hex_string()
    });
    if ours.witness != theirs.witness {
        let (ours, theirs) = (ours.witness.to_vec(), theirs.witness.to_vec());
        here.at(".witness", |here| {
            here.list(&ours, &theirs, |here, ours, theirs| {
                here.add(hex(ours), hex(theirs), false);
            });
        });
    }
}

fn compare_output(here: &mut Differences, ours: &TransactionOutput, theirs: &TransactionOutput) {
    here.field(
        ".value_sat",
        &ours.value_sat,
        &theirs.value_sat,
        ToString::to_string,
    );
    here.field(
        ".script_pubkey",
        &ours.script_pubkey,
        &theirs.script_pubkey,
        |s| s.to_hex_string(),
    );
}

fn hex(bytes: &[u8]) -> String {
    btc_iface::rust_bitcoin::hex::DisplayHex::to_lower_hex_string(bytes)
}

/// The kinds of error of the primary and of the secondary; none for an answer.
pub(crate) type Kinds = (Option<ErrorKind>, Option<ErrorKind>);

/// What both sides said when they were asked, the primary first.
pub(crate) type Pair<T> = (BitcoinResult<T>, BitcoinResult<T>);

/// Judges what both sides say, asked once more at once after they differed: that they agree now,
/// that one of them says something else than before, which leaves the question open, or that both
/// stay with what they said.
pub(crate) fn judge_again<T: Compare>(before: &Pair<T>, now: &Pair<T>) -> Verdict {
    let has_changed = |before, now| judge(before, now).0 == Verdict::Mismatch;
    match judge(&now.0, &now.1).0 {
        Verdict::Match => Verdict::Match,
        _ if has_changed(&before.0, &now.0) || has_changed(&before.1, &now.1) => {
            Verdict::Inconclusive
        }
        _ => Verdict::Mismatch,
    }
}

/// Judges two answers: the verdict and the differences behind it.
///
/// Errors compare by kind. A failure to reach the node on either side is inconclusive; a
/// secondary without the operation is skipped.
pub fn judge<T: Compare>(
    primary: &BitcoinResult<T>,
    secondary: &BitcoinResult<T>,
) -> (Verdict, Vec<Difference>) {
    let kinds = (
        primary.as_ref().err().map(btc_iface::BitcoinError::kind),
        secondary.as_ref().err().map(btc_iface::BitcoinError::kind),
    );
    if let Some(verdict) = settled(kinds) {
        return (verdict, Vec::new());
    }
    let mut differences = Differences::default();
    if let (Ok(ours), Ok(theirs)) = (primary, secondary) {
        ours.compare(theirs, &mut differences);
    } else {
        // What one side has and the other does not may be on its way.
        let tip = [kinds.0, kinds.1].contains(&Some(ErrorKind::NotFound))
            && [kinds.0, kinds.1].contains(&None);
        differences.kinds(kinds, tip);
    }
    conclude(differences)
}

/// The verdict of kinds of error after which there is nothing to compare.
pub(crate) fn settled(kinds: Kinds) -> Option<Verdict> {
    if kinds.1 == Some(ErrorKind::Unsupported) {
        return Some(Verdict::Skipped);
    }
    let is_unreached = [kinds.0, kinds.1]
        .into_iter()
        .flatten()
        .any(ErrorKind::is_transport);
    is_unreached.then_some(Verdict::Inconclusive)
}

/// The verdict that follows from the differences.
pub(crate) fn conclude(differences: Differences) -> (Verdict, Vec<Difference>) {
    let differences = differences.into_vec();
    let verdict = if differences.is_empty() {
        Verdict::Match
    } else {
        Verdict::Mismatch
    };
    (verdict, differences)
}

//! A comparison as it stands in the log: what both sides share is said once.

use std::borrow::Cow;

use btc_iface::BitcoinImplementationType::{self, Python, Rust};
use btc_iface::{ErrorKind, Operation};
use serde::{Deserialize, Serialize, Serializer};

use super::{Comparison, Digest, Side, is_zero};
use crate::compare::{Difference, Verdict};

/// What is said of each side: once when they agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Both<T> {
    /// The same of all sides that were asked.
    Same(T),
    /// Of the primary, then of the secondary.
    Each([Option<T>; 2]),
}

impl<T: Copy + PartialEq> Both<T> {
    /// What `of` says of the sides, if it says anything.
    pub(crate) fn sides(
        primary: &Side,
        secondary: Option<&Side>,
        of: impl Fn(&Side) -> Option<T>,
    ) -> Option<Self> {
        let first = of(primary);
        match secondary.map(of) {
            Some(second) if second != first => Some(Self::Each([first, second])),
            _ => first.map(Self::Same),
        }
    }

    fn split(both: Option<Self>) -> [Option<T>; 2] {
        match both {
            None => [None; 2],
            Some(Self::Same(it)) => [Some(it); 2],
            Some(Self::Each(each)) => each,
        }
    }
}

/// The other of the two implementations, which need not be named beside the first.
pub(crate) const fn other(implementation: BitcoinImplementationType) -> BitcoinImplementationType {
    match implementation {
        Python => Rust,
        _ => Python,
    }
}

/// Both sides, as a line has them.
pub(crate) struct Sides<'a> {
    pub(crate) primary: BitcoinImplementationType,
    /// Not said when it is the other one, as it nearly always is.
    pub(crate) secondary: Option<BitcoinImplementationType>,
    /// Of the primary, and of the secondary if it was asked.
    pub(crate) duration_ns: &'a [u64],
    pub(crate) error: Option<Both<ErrorKind>>,
    pub(crate) tips: Option<Both<[u32; 2]>>,
}

impl Sides<'_> {
    /// The primary's side, and the secondary's; none when that makes no sense.
    pub(crate) fn split(&self) -> Option<(Side, Option<Side>)> {
        let is_alone = self.duration_ns.len() == 1;
        let of_two =
            matches!(self.error, Some(Both::Each(_))) || matches!(self.tips, Some(Both::Each(_)));
        if is_alone && of_two {
            return None;
        }
        let errors = Both::split(self.error);
        let tips = Both::split(self.tips);
        let side = |implementation, duration_ns, place: usize| Side {
            implementation,
            duration_ns,
            error: errors[place],
            tips: tips[place],
        };
        match (self.duration_ns, self.secondary) {
            ([primary], None) => Some((side(self.primary, *primary, 0), None)),
            ([primary, secondary], name) => {
                let name = name.unwrap_or_else(|| other(self.primary));
                let secondary = side(name, *secondary, 1);
                Some((side(self.primary, *primary, 0), Some(secondary)))
            }
            _ => None,
        }
    }
}

/// What is written.
#[derive(Serialize)]
struct Written<'a> {
    sequence: u64,
    time_ms: u64,
    operation: Operation,
    verdict: Verdict,
    input: Digest,
    primary: BitcoinImplementationType,
    #[serde(skip_serializing_if = "Option::is_none")]
    secondary: Option<BitcoinImplementationType>,
    duration_ns: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Both<ErrorKind>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tips: Option<Both<[u32; 2]>>,
    #[serde(skip_serializing_if = "is_zero")]
    rechecks: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    differences: &'a [Difference],
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            sequence,
            time_ms,
            operation,
            verdict,
            input,
            primary,
            secondary,
            rechecks,
            differences,
            reason,
        } = self;
        let secondary = secondary.as_ref();
        let durations = [
            primary.duration_ns,
            secondary.map_or(0, |side| side.duration_ns),
        ];
        let written = Written {
            sequence: *sequence,
            time_ms: *time_ms,
            operation: *operation,
            verdict: *verdict,
            input: *input,
            primary: primary.implementation,
            secondary: secondary
                .map(|side| side.implementation)
                .filter(|name| *name != other(primary.implementation)),
            duration_ns: &durations[..if secondary.is_some() { 2 } else { 1 }],
            error: Both::sides(primary, secondary, |side| side.error),
            tips: Both::sides(primary, secondary, |side| side.tips),
            rechecks: *rechecks,
            differences,
            reason: reason.as_deref(),
        };
        written.serialize(serializer)
    }
}

/// What is read: of this version, or of version 2, which says everything of each side.
#[derive(Deserialize)]
pub(super) struct Read {
    sequence: u64,
    time_ms: u64,
    operation: Operation,
    verdict: Verdict,
    input: Digest,
    primary: Named,
    secondary: Option<Named>,
    #[serde(default)]
    duration_ns: Vec<u64>,
    error: Option<Both<ErrorKind>>,
    tips: Option<Both<[u32; 2]>>,
    #[serde(default)]
    rechecks: u32,
    #[serde(default)]
    differences: Vec<Difference>,
    reason: Option<Cow<'static, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Name(BitcoinImplementationType),
    Side(Side),
}

impl TryFrom<Read> for Comparison {
    type Error = &'static str;

    fn try_from(read: Read) -> Result<Self, Self::Error> {
        let is_shared = !read.duration_ns.is_empty() || read.error.is_some() || read.tips.is_some();
        let (primary, secondary) = match (read.primary, read.secondary) {
            (Named::Side(_), _) if is_shared => {
                return Err("what both sides share stands beside sides of version 2");
            }
            (Named::Side(primary), None) => (primary, None),
            (Named::Side(primary), Some(Named::Side(secondary))) => (primary, Some(secondary)),
            (Named::Name(primary), secondary @ (None | Some(Named::Name(_)))) => {
                let sides = Sides {
                    primary,
                    secondary: match secondary {
                        Some(Named::Name(name)) => Some(name),
                        _ => None,
                    },
                    duration_ns: &read.duration_ns,
                    error: read.error,
                    tips: read.tips,
                };
                sides.split().ok_or(
                    "`duration_ns`, `error` or `tips` is not of as many sides as were asked",
                )?
            }
            _ => return Err("`primary` and `secondary` are of different versions"),
        };
        Ok(Self {
            sequence: read.sequence,
            time_ms: read.time_ms,
            operation: read.operation,
            verdict: read.verdict,
            input: read.input,
            primary,
            secondary,
            rechecks: read.rechecks,
            differences: read.differences,
            reason: read.reason,
        })
    }
}

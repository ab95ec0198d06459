//! `Finding`: what the comparison of one call came to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use btc_iface::ErrorKind;

use crate::compare::{Difference, Kinds, Verdict};
use crate::observation::Observation;
use crate::policy::Policy;

/// The verdict on one call, and what is behind it.
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) differences: Vec<Difference>,
    /// Why nothing was compared.
    pub(crate) reason: Option<String>,
    /// The secondary's answer; none when it was not asked.
    pub(crate) asked: Option<Asked>,
}

/// How the secondary answered: how long it took and how it failed.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) duration: Duration,
    pub(crate) error: Option<ErrorKind>,
}

impl Finding {
    /// What a judgement of both answers found; `primary` is the kind of its error.
    pub(crate) fn of<T>(
        (verdict, differences): (Verdict, Vec<Difference>),
        primary: Option<ErrorKind>,
        secondary: &Observation<T>,
    ) -> Self {
        let asked = secondary.asked();
        Self {
            verdict,
            differences,
            reason: why_uncompared(verdict, (primary, asked.error)),
            asked: Some(asked),
        }
    }

    /// Not compared by rule; the secondary was not asked.
    pub(crate) fn skipped(reason: &str) -> Self {
        Self::unasked(Verdict::Skipped, reason.to_owned())
    }

    /// Nothing can be said, because the primary did not answer; the secondary was not asked.
    pub(crate) fn unreached(primary: ErrorKind) -> Self {
        let verdict = Verdict::Inconclusive;
        let reason = why_uncompared(verdict, (Some(primary), None)).unwrap_or_default();
        Self::unasked(verdict, reason)
    }

    /// Runs a comparison. Unguarded, one that panics would take the primary's answer with it.
    pub(crate) fn guarded(compare: impl FnOnce() -> Self) -> Self {
        catch_unwind(AssertUnwindSafe(compare)).unwrap_or_else(|_| {
            Self::unasked(Verdict::Inconclusive, "the comparison panicked".to_owned())
        })
    }

    fn unasked(verdict: Verdict, reason: String) -> Self {
        Self {
            verdict,
            differences: Vec::new(),
            reason: Some(reason),
            asked: None,
        }
    }

    /// Whether all that differs may change with the next block or transaction.
    pub(crate) fn differs_with_the_tip(&self) -> bool {
        self.verdict == Verdict::Mismatch && self.differences.iter().all(|found| found.tip)
    }

    /// Asks again after each of the waits, as long as a changing tip may explain the difference.
    pub(crate) fn recheck(mut self, policy: &Policy, again: impl FnMut() -> bool) -> Self {
        if self.differs_with_the_tip() && policy.agrees_later(again) {
            self.verdict = Verdict::Recovered;
        }
        self
    }

    /// Asks once more after the last recheck: what differs proves nothing if either side no longer
    /// says what it has just said.
    pub(crate) fn if_it_stays(mut self, again: impl FnOnce() -> Verdict) -> Self {
        if self.differs_with_the_tip() {
            match again() {
                Verdict::Match => self.verdict = Verdict::Recovered,
                Verdict::Inconclusive => {
                    return self.cannot_say("an answer changed while both sides were asked");
                }
                _ => {}
            }
        }
        self
    }

    /// Takes a verdict back that does not follow; the differences stay as they were found.
    pub(crate) fn cannot_say(mut self, reason: &str) -> Self {
        self.verdict = Verdict::Inconclusive;
        self.reason = Some(reason.to_owned());
        self
    }
}

fn why_uncompared(verdict: Verdict, (primary, secondary): Kinds) -> Option<String> {
    let unreached = |kind: Option<ErrorKind>| kind.filter(|kind| kind.is_transport());
    match verdict {
        Verdict::Skipped => Some("unsupported by the secondary".to_owned()),
        Verdict::Inconclusive => match (unreached(primary), unreached(secondary)) {
            (Some(kind), _) => Some(format!("no answer from the primary: {kind}")),
            (None, Some(kind)) => Some(format!("no answer from the secondary: {kind}")),
            (None, None) => None,
        },
        _ => None,
    }
}

//! `Finding`: what the comparison of one call came to.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use btc_iface::ErrorKind;

use super::observation::Observation;
use crate::compare::{Difference, Kinds, Verdict};

/// Why an operation with an effect is not compared where no wallets are given.
pub(crate) const UNWATCHED: &str = "only the primary may act";

/// The verdict on one call, and what is behind it.
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) differences: Vec<Difference>,
    /// Why nothing was compared.
    pub(crate) reason: Option<Cow<'static, str>>,
    /// The secondary's answer; none when it was not asked.
    pub(crate) asked: Option<Asked>,
}

/// How a side answered: when it was asked, how long it took, how it failed, and the heights of the
/// tip that were known before and after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) started: Instant,
    pub(crate) duration: Duration,
    pub(crate) error: Option<ErrorKind>,
    pub(crate) tips: Option<[u32; 2]>,
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
    pub(crate) fn skipped(reason: &'static str) -> Self {
        Self::unasked(Verdict::Skipped, reason.into())
    }

    /// Nothing can be said; the secondary's answer, if there is one, is not known.
    pub(crate) fn inconclusive(reason: &'static str) -> Self {
        Self::unasked(Verdict::Inconclusive, reason.into())
    }

    /// Nothing can be said, because the primary did not answer; the secondary was not asked.
    pub(crate) fn unreached(primary: ErrorKind) -> Self {
        let verdict = Verdict::Inconclusive;
        let reason = why_uncompared(verdict, (Some(primary), None)).unwrap_or_default();
        Self::unasked(verdict, reason)
    }

    fn unasked(verdict: Verdict, reason: Cow<'static, str>) -> Self {
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

    /// Adds differences that were found besides; with any, a match is none.
    pub(crate) fn with(mut self, more: Vec<Difference>) -> Self {
        if self.verdict == Verdict::Match && !more.is_empty() {
            self.verdict = Verdict::Mismatch;
        }
        self.differences.extend(more);
        self
    }

    /// The sides agreed when they were asked again.
    pub(crate) fn recovered(mut self) -> Self {
        self.verdict = Verdict::Recovered;
        self
    }

    /// What follows from asking once more after the last recheck: what differs proves nothing if
    /// either side no longer says what it has just said.
    pub(crate) fn if_it_stays(self, again: Verdict) -> Self {
        match again {
            Verdict::Match => self.recovered(),
            Verdict::Inconclusive => {
                self.cannot_say("an answer changed while both sides were asked")
            }
            _ => self,
        }
    }

    /// Takes a verdict back that does not follow; the differences stay as they were found.
    pub(crate) fn cannot_say(mut self, reason: &'static str) -> Self {
        self.verdict = Verdict::Inconclusive;
        self.reason = Some(reason.into());
        self
    }
}

fn why_uncompared(verdict: Verdict, (primary, secondary): Kinds) -> Option<Cow<'static, str>> {
    let unreached = |kind: Option<ErrorKind>| kind.filter(|kind| kind.is_transport());
    match verdict {
        Verdict::Skipped => Some("unsupported by the secondary".into()),
        Verdict::Inconclusive => match (unreached(primary), unreached(secondary)) {
            (Some(kind), _) => Some(format!("no answer from the primary: {kind}").into()),
            (None, Some(kind)) => Some(format!("no answer from the secondary: {kind}").into()),
            (None, None) => None,
        },
        _ => None,
    }
}

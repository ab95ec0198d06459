//! `Case`: one call to be judged, and the steps in which that happens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use btc_iface::ErrorKind;
use btc_iface::rust_bitcoin::hashes::{Hash, HashEngine, sha256};

use super::finding::{Asked, Finding, UNWATCHED};
use super::sides::Sides;
use crate::record::Digest;

/// A call that the primary has answered. It owns what was asked and answered, so that it can be
/// judged elsewhere and later.
pub(crate) trait Case: Send {
    /// What was asked, as a digest: equal questions have equal ones.
    fn digest(&self) -> Digest;

    /// Asks the secondary, for the first time.
    fn first(&mut self, sides: &Sides) -> Finding;

    /// Asks both sides again, if the tip may explain the difference: whether they agree now.
    fn again(&mut self, _: &Sides) -> bool {
        false
    }

    /// Has the last word on a difference that stayed through the last recheck.
    fn last(&mut self, _: &Sides, finding: Finding) -> Finding {
        finding
    }
}

/// A call that only the primary may make, where there is no twin to ask.
pub(crate) struct Unwatched(pub(crate) Digest);

impl Case for Unwatched {
    fn digest(&self) -> Digest {
        self.0
    }

    fn first(&mut self, _: &Sides) -> Finding {
        Finding::skipped(UNWATCHED)
    }
}

/// A case on its way to a verdict.
pub(crate) struct Examination {
    case: Box<dyn Case>,
    /// Rechecks so far.
    pub(crate) rechecks: usize,
    finding: Option<Finding>,
}

/// How the secondary took a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was not asked.
    NotAsked,
    /// It could not be reached.
    Unreached,
    /// It answered, be it with an error.
    Given,
}

impl Answer {
    pub(crate) fn of(asked: Option<Asked>) -> Self {
        match asked {
            None => Self::NotAsked,
            Some(asked) if asked.error.is_some_and(ErrorKind::is_transport) => Self::Unreached,
            Some(_) => Self::Given,
        }
    }
}

/// Where an examination stands after a step.
pub(crate) enum Step {
    /// The verdict stands.
    Done(Finding),
    /// Both sides are to be asked again after so many milliseconds.
    Wait(u64),
}

impl Examination {
    pub(crate) fn new(case: Box<dyn Case>) -> Self {
        Self {
            case,
            rechecks: 0,
            finding: None,
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.case.digest()
    }

    /// Whether it has asked the secondary already.
    pub(crate) fn has_begun(&self) -> bool {
        self.finding.is_some()
    }

    /// How the secondary answered the first time.
    pub(crate) fn answer(&self) -> Answer {
        Answer::of(self.finding.as_ref().and_then(|finding| finding.asked))
    }

    /// Takes one step; `waits` are those before the rechecks, in milliseconds. A panic in it makes the case inconclusive: unguarded, it would take the
    /// primary's answer with it, or the thread that compares.
    pub(crate) fn step(&mut self, sides: &Sides, waits: &[u64]) -> Step {
        let step = || self.step_unguarded(sides, waits);
        catch_unwind(AssertUnwindSafe(step))
            .unwrap_or_else(|_| Step::Done(Finding::inconclusive("the comparison panicked")))
    }

    fn step_unguarded(&mut self, sides: &Sides, waits: &[u64]) -> Step {
        let finding = match self.finding.take() {
            None => self.case.first(sides),
            Some(finding) => {
                self.rechecks += 1;
                if self.case.again(sides) {
                    return Step::Done(finding.recovered());
                }
                finding
            }
        };
        if !finding.differs_with_the_tip() {
            return Step::Done(finding);
        }
        match waits.get(self.rechecks) {
            Some(wait_ms) => {
                self.finding = Some(finding);
                Step::Wait(*wait_ms)
            }
            None => Step::Done(self.case.last(sides, finding)),
        }
    }

    /// The finding as far as it goes, when there is no time for another step.
    pub(crate) fn cut_short(self, reason: &'static str) -> Finding {
        match self.finding {
            Some(finding) => finding.cannot_say(reason),
            None => Finding::inconclusive(reason),
        }
    }
}

/// A digest of the parts of a question.
pub(crate) fn digest(parts: &[&[u8]]) -> Digest {
    let mut engine = sha256::Hash::engine();
    for part in parts {
        engine.input(part);
    }
    let digest = sha256::Hash::from_engine(engine);
    let first = digest.as_byte_array().first_chunk();
    Digest(u64::from_be_bytes(*first.unwrap_or(&[0; 8])))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use btc_iface::BitcoinInterface;

    use super::*;
    use crate::compare::Verdict;
    use crate::policy::Policy;
    use crate::shadow::{OffPath, Shadow};
    use crate::sink::MemorySink;
    use crate::stub::Five;

    /// A comparator with a defect.
    struct Broken;

    impl Case for Broken {
        fn digest(&self) -> Digest {
            Digest(0)
        }

        fn first(&mut self, _: &Sides) -> Finding {
            std::panic::resume_unwind(Box::new("the comparator breaks"));
        }
    }

    #[test]
    fn a_comparator_that_panics_costs_its_verdict_and_nothing_else() {
        let make = || {
            let sink = Box::new(MemorySink::default());
            Shadow::new(
                Arc::new(Five),
                Arc::new(Five),
                Policy::default(),
                sink,
                true,
            )
        };
        let off_path = make().off_path(OffPath::default()).expect("threads");
        for shadow in [make(), off_path] {
            for _ in 0..10 {
                let answer = shadow.observe(
                    btc_iface::Operation::GetBalance,
                    || Five.get_balance().map(crate::compare::Balance),
                    |_| Box::new(Broken),
                );
                assert_eq!(answer.expect("the primary answers").0, 5);
            }
            shadow.get_balance().expect("the primary answers");
            let books = shadow.books();
            assert!(shadow.finish(std::time::Duration::from_secs(10)));
            let counts = books.counts();
            assert!(counts.close(), "{counts:?}");
            assert_eq!(counts.total(Verdict::Inconclusive), 10);
            assert_eq!(counts.total(Verdict::Match), 1);
        }
    }
}

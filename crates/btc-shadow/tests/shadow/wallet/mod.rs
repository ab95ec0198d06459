//! `Shadow` over wallets: what the primary did, beside what the secondary's twins say.

mod address;
mod balance;
mod broadcast;
mod chain;
mod create;
mod double;
mod honest;
mod in_line;
mod turn;

use std::sync::Arc;

use btc_iface::BitcoinInterface;
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Comparison, Event};
use btc_shadow::sink::MemorySink;
use btc_shadow::{Books, Policy, Shadow};

use self::double::{Primary, Twin, Untouchable};

/// Shadow mode over two wallets, with all its parts in reach.
struct Scene {
    shadow: Shadow,
    primary: Arc<Primary>,
    secondary: Arc<Untouchable>,
    twin: Arc<Twin>,
    sink: Arc<MemorySink>,
}

fn scene(rechecks: usize, primary: Primary, twin: Twin) -> Scene {
    scene_of(rechecks, primary, twin, None)
}

fn scene_of(rechecks: usize, primary: Primary, twin: Twin, primary_twin: Option<Twin>) -> Scene {
    let (primary, twin) = (Arc::new(primary), Arc::new(twin));
    let secondary = Arc::new(Untouchable::default());
    let sink = Arc::new(MemorySink::default());
    let policy = Policy {
        recheck_after_ms: vec![0; rechecks],
    };
    let shadow = Shadow::new(
        Arc::clone(&primary) as Arc<dyn BitcoinInterface>,
        Arc::clone(&secondary) as Arc<dyn BitcoinInterface>,
        policy,
        Box::new(Arc::clone(&sink)),
        true,
    );
    let shadow = shadow.with_wallet(
        Arc::clone(&primary) as _,
        Arc::clone(&twin) as _,
        primary_twin.map(|twin| Arc::new(twin) as _),
    );
    Scene {
        shadow,
        primary,
        secondary,
        twin,
        sink,
    }
}

impl Scene {
    /// The one comparison that was logged; whatever it found, the secondary did not act and the
    /// books close.
    fn comparison(&self) -> Comparison {
        let lines = self.sink.lines().into_iter();
        let mut comparisons: Vec<_> = lines
            .filter_map(|line| match line.event {
                Event::Comparison(comparison) => Some(comparison),
                _ => None,
            })
            .collect();
        assert_eq!(comparisons.len(), 1, "{comparisons:?}");
        assert_eq!(self.secondary.touched(), 0, "the secondary acted");
        let counts = Books::counts(&self.shadow.books());
        assert!(counts.close(), "{counts:?}");
        assert_eq!(counts.total(comparisons[0].verdict), 1);
        comparisons.remove(0)
    }
}

/// The fields that differ, in the order of the log.
fn paths(comparison: &Comparison) -> Vec<&str> {
    let differences = comparison.differences.iter();
    differences.map(|found| found.path.as_str()).collect()
}

#[track_caller]
fn expect(comparison: &Comparison, verdict: Verdict, fields: &[&str]) {
    assert_eq!(comparison.verdict, verdict, "{comparison:?}");
    assert_eq!(paths(comparison), fields, "{comparison:?}");
}

#[track_caller]
fn expect_reason(comparison: &Comparison, verdict: Verdict, reason: &str) {
    assert_eq!(comparison.verdict, verdict, "{comparison:?}");
    assert_eq!(comparison.reason.as_deref(), Some(reason));
}

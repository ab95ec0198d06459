//! `Watched`: a mutant and the Rust implementation in shadow mode, in both roles at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use btc::python::{PythonBitcoin, PythonMode};
use btc::shadow::compare::Verdict;
use btc::shadow::record::Event;
use btc::shadow::sink::MemorySink;
use btc::shadow::{Books, Policy, Shadow};
use btc::{
    BitcoinImplementationType, BitcoinInterface, BitcoinResult, ObservedWallet, Operation,
    WalletTwin,
};
use btc_tests::{WalletFolder, python_config};

use crate::stage::{Failure, Ground};

/// At which fields which operations were found to differ; what stands in brackets left out.
pub(crate) type Found = BTreeMap<Operation, BTreeSet<String>>;

/// What callers have.
pub(crate) type Interface = dyn BitcoinInterface + 'static;

/// Who answers the caller, and who is compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Python answers, Rust shadows it.
    PythonFirst,
    /// Rust answers, Python shadows it.
    RustFirst,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::PythonFirst, Self::RustFirst];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PythonFirst => "python first",
            Self::RustFirst => "rust first",
        }
    }
}

/// The same two implementations, watched in both roles; they share the wallet, if there is one.
pub(crate) struct Watched {
    sides: [Side; 2],
    /// The Python implementation, which may have a fault.
    pub(crate) python: Arc<dyn ObservedWallet>,
    /// The Rust implementation, which tells the truth.
    pub(crate) rust: Arc<dyn ObservedWallet>,
}

struct Side {
    shadow: Shadow,
    books: Arc<Books>,
    sink: Arc<MemorySink>,
}

/// What shadow mode made of all calls.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) mismatches: [Found; 2],
    /// What ended in neither match nor mismatch, with the reason.
    pub(crate) unclear: Vec<String>,
    pub(crate) calls: u64,
}

impl Watched {
    /// A class of the package over the ground's node, without a wallet.
    pub(crate) fn reading(ground: &Ground<'_>, class: &str) -> Result<Self, Failure> {
        let mut config = python_config(&ground.node, PythonMode::Embedded);
        class.clone_into(&mut config.backend);
        let python: Arc<dyn ObservedWallet> = Arc::new(PythonBitcoin::connect(&config)?);
        let rust = Arc::clone(&ground.rust);
        let sides = Role::ALL.map(|role| {
            let (primary, secondary) = in_order(role, &python, &rust);
            Side::watching(&primary, &secondary, quick(), false)
        });
        Ok(Self {
            sides,
            python,
            rust,
        })
    }

    /// The same with a wallet.
    pub(crate) fn with_wallet(
        ground: &Ground<'_>,
        class: &str,
        wallet: &WalletFolder,
        policy: &Policy,
    ) -> Result<Self, Failure> {
        let more = [
            ("PYTHON_BACKEND", class),
            ("WALLET_SELECTION", "largest-first"),
        ];
        let config = wallet.config(&ground.node, &more);
        let connect = |implementation| btc::connect_observed(&config, implementation);
        let python = connect(BitcoinImplementationType::Python)?;
        let rust = connect(BitcoinImplementationType::Rust)?;
        let sides = Role::ALL.map(|role| {
            let (primary, secondary) = in_order(role, &python, &rust);
            Side::watching(&primary, &secondary, policy.clone(), true)
        });
        Ok(Self {
            sides,
            python,
            rust,
        })
    }

    /// What callers have in a role.
    pub(crate) fn first(&self, role: Role) -> &Interface {
        &self.sides[role as usize].shadow
    }

    /// Calls in both roles, Python first.
    pub(crate) fn both<T>(
        &self,
        call: impl Fn(&Interface) -> BitcoinResult<T>,
    ) -> [BitcoinResult<T>; 2] {
        Role::ALL.map(|role| call(self.first(role)))
    }

    /// Ends shadow mode, and checks that it accounts for every call.
    pub(crate) fn end(self) -> Report {
        let mut report = Report::default();
        for (role, side) in Role::ALL.into_iter().zip(self.sides) {
            drop(side.shadow);
            let counts = side.books.counts();
            assert!(counts.close(), "{}: {counts:?}", role.name());
            assert_eq!(counts.lost_lines, 0, "{}", role.name());
            report.calls += counts.total_offered();
            for line in side.sink.lines() {
                let Event::Comparison(comparison) = line.event else {
                    continue;
                };
                let operation = comparison.operation;
                match comparison.verdict {
                    Verdict::Match | Verdict::Recovered => {}
                    Verdict::Mismatch => {
                        let found = report.mismatches[role as usize].entry(operation);
                        let paths = comparison.differences.iter();
                        found.or_default().extend(paths.map(|it| plain(&it.path)));
                    }
                    verdict => report.unclear.push(format!(
                        "{}: {operation} {}: {:?} {:?}",
                        role.name(),
                        verdict.as_str(),
                        comparison.reason,
                        comparison.differences
                    )),
                }
            }
        }
        report
    }
}

impl Side {
    fn watching(
        primary: &Arc<dyn ObservedWallet>,
        secondary: &Arc<dyn ObservedWallet>,
        policy: Policy,
        has_wallet: bool,
    ) -> Self {
        let sink = Arc::new(MemorySink::default());
        let mut shadow = Shadow::new(
            Arc::clone(primary) as Arc<dyn BitcoinInterface>,
            Arc::clone(secondary) as Arc<dyn BitcoinInterface>,
            policy,
            Box::new(Arc::clone(&sink)),
            true,
        );
        if has_wallet {
            let twin = Arc::clone(primary) as Arc<dyn WalletTwin>;
            shadow = shadow.with_wallet(primary.clone(), secondary.clone(), Some(twin));
        }
        Self {
            books: shadow.books(),
            shadow,
            sink,
        }
    }
}

/// Nothing moves while a mutant is asked, so there is nothing to wait for.
pub(crate) fn quick() -> Policy {
    Policy {
        recheck_after_ms: vec![1],
    }
}

fn in_order(
    role: Role,
    python: &Arc<dyn ObservedWallet>,
    rust: &Arc<dyn ObservedWallet>,
) -> (Arc<dyn ObservedWallet>, Arc<dyn ObservedWallet>) {
    match role {
        Role::PythonFirst => (Arc::clone(python), Arc::clone(rust)),
        Role::RustFirst => (Arc::clone(rust), Arc::clone(python)),
    }
}

/// A path without what stands in brackets, and without the place in a block at its beginning.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    let mut is_inside = false;
    for letter in path.chars() {
        match letter {
            '[' => {
                is_inside = true;
                plain.push_str("[]");
            }
            ']' => is_inside = false,
            _ if is_inside => {}
            _ => plain.push(letter),
        }
    }
    plain
        .strip_prefix("[].")
        .map(ToOwned::to_owned)
        .unwrap_or(plain)
}

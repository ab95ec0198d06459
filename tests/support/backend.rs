//! `Backend`: every implementation and every decorator that a case runs over.

use std::sync::{Arc, OnceLock};

use btc::python::{PythonBitcoin, PythonMode};
use btc::rust::RustBitcoin;
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Comparison, Event};
use btc::shadow::sink::MemorySink;
use btc::shadow::{Books, Counts, Policy, Shadow};
use btc::{
    BitcoinImplementationType, BitcoinInterface, BitcoinResult, FeeEstimator, NodeConfig, Operation,
};

use crate::node::python_config;

/// A way to stand behind the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The Rust implementation.
    Rust,
    /// The Python implementation in this process.
    PythonEmbedded,
    /// The Python implementation in processes of its own.
    PythonWorker,
    /// Shadow mode: Python answers, Rust is compared.
    ShadowPythonFirst,
    /// Shadow mode: Rust answers, Python is compared.
    ShadowRustFirst,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 5] = [
        Self::Rust,
        Self::PythonEmbedded,
        Self::PythonWorker,
        Self::ShadowPythonFirst,
        Self::ShadowRustFirst,
    ];

    /// Those that ask a node themselves.
    pub const REAL: [Self; 3] = [Self::Rust, Self::PythonEmbedded, Self::PythonWorker];

    /// The name in a trial.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::PythonEmbedded => "python-embedded",
            Self::PythonWorker => "python-worker",
            Self::ShadowPythonFirst => "shadow-python-first",
            Self::ShadowRustFirst => "shadow-rust-first",
        }
    }

    /// The implementation whose answer comes back.
    pub const fn implementation(self) -> BitcoinImplementationType {
        match self {
            Self::Rust | Self::ShadowRustFirst => BitcoinImplementationType::Rust,
            Self::PythonEmbedded | Self::PythonWorker | Self::ShadowPythonFirst => {
                BitcoinImplementationType::Python
            }
        }
    }

    /// Where the Python implementation runs.
    pub const fn mode(self) -> PythonMode {
        match self {
            Self::PythonWorker => PythonMode::Worker,
            _ => PythonMode::Embedded,
        }
    }

    /// Connects one of [`Backend::REAL`] to this node.
    ///
    /// # Errors
    /// The implementation's own.
    pub fn connect(self, node: &NodeConfig) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
        if self == Self::Rust {
            return Ok(Arc::new(RustBitcoin::connect(node)?));
        }
        let config = python_config(node, self.mode());
        Ok(Arc::new(PythonBitcoin::connect(&config)?))
    }

    /// Connects one of [`Backend::REAL`] for fee rates with their source.
    ///
    /// # Errors
    /// The implementation's own.
    pub fn connect_fees(self, node: &NodeConfig) -> BitcoinResult<Arc<dyn FeeEstimator>> {
        if self == Self::Rust {
            return Ok(Arc::new(RustBitcoin::connect(node)?));
        }
        let config = python_config(node, self.mode());
        Ok(Arc::new(PythonBitcoin::connect(&config)?))
    }
}

/// Connections to one node, each made when it is first needed and then shared.
pub struct Backends {
    node: NodeConfig,
    made: [OnceLock<BitcoinResult<Arc<dyn BitcoinInterface>>>; Backend::REAL.len()],
}

impl Backends {
    /// Over this node.
    pub fn new(node: NodeConfig) -> Self {
        Self {
            node,
            made: Default::default(),
        }
    }

    /// One of [`Backend::REAL`].
    ///
    /// # Errors
    /// The implementation's own.
    pub fn real(&self, backend: Backend) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
        self.made[backend as usize]
            .get_or_init(|| backend.connect(&self.node))
            .clone()
    }

    /// Any backend. Shadow mode gets books of its own each time.
    ///
    /// # Errors
    /// The implementation's own.
    pub fn connect(&self, backend: Backend) -> BitcoinResult<Connected> {
        let (primary, secondary) = match backend {
            Backend::ShadowPythonFirst => (Backend::PythonEmbedded, Backend::Rust),
            Backend::ShadowRustFirst => (Backend::Rust, Backend::PythonEmbedded),
            real => {
                return Ok(Connected {
                    bitcoin: self.real(real)?,
                    shadow: None,
                });
            }
        };
        let (primary, secondary) = (self.real(primary)?, self.real(secondary)?);
        Ok(Connected::shadow(primary, secondary, Policy::default()))
    }
}

/// A backend, and in shadow mode what it wrote down.
pub struct Connected {
    /// The interface.
    pub bitcoin: Arc<dyn BitcoinInterface>,
    shadow: Option<(Arc<Books>, Arc<MemorySink>)>,
}

impl Connected {
    /// Shadow mode over two implementations, recorded in memory.
    pub fn shadow(
        primary: Arc<dyn BitcoinInterface>,
        secondary: Arc<dyn BitcoinInterface>,
        policy: Policy,
    ) -> Self {
        let sink = Arc::new(MemorySink::default());
        let shadow = Shadow::new(
            primary,
            secondary,
            policy,
            Box::new(Arc::clone(&sink)),
            true,
        );
        Self::recorded(shadow, sink)
    }

    /// One implementation on its own.
    pub fn alone(bitcoin: Arc<dyn BitcoinInterface>) -> Self {
        Self {
            bitcoin,
            shadow: None,
        }
    }

    /// Shadow mode that records in this memory.
    pub fn recorded(shadow: Shadow, sink: Arc<MemorySink>) -> Self {
        let books = shadow.books();
        Self {
            bitcoin: Arc::new(shadow),
            shadow: Some((books, sink)),
        }
    }

    /// How many comparisons matched or recovered, by operation; nothing outside shadow mode.
    pub fn matches(&self, operation: Operation) -> usize {
        let lines = self.shadow.iter().flat_map(|(_, sink)| sink.lines());
        lines
            .filter(|line| match &line.event {
                Event::Comparison(comparison) => {
                    comparison.operation == operation
                        && matches!(comparison.verdict, Verdict::Match | Verdict::Recovered)
                }
                _ => false,
            })
            .count()
    }

    /// In shadow mode: how many calls ended in which verdict.
    pub fn counts(&self) -> Option<Counts> {
        self.shadow.as_ref().map(|(books, _)| books.counts())
    }

    /// The comparisons that came to anything but a match.
    pub fn differences(&self) -> Vec<Comparison> {
        let lines = self.shadow.iter().flat_map(|(_, sink)| sink.lines());
        let comparisons = lines.filter_map(|line| match line.event {
            Event::Comparison(comparison) => Some(comparison),
            _ => None,
        });
        comparisons
            .filter(|it| !matches!(it.verdict, Verdict::Match | Verdict::Recovered))
            .collect()
    }

    /// In shadow mode: that both sides agreed in everything, and that the books close.
    pub fn assert_agreement(&self) {
        let Some((books, sink)) = &self.shadow else {
            return;
        };
        let counts = books.counts();
        assert!(
            counts.close(),
            "calls without exactly one verdict: {counts:?}"
        );
        for line in sink.lines() {
            if let Event::Comparison(comparison) = line.event {
                let is_well = matches!(
                    comparison.verdict,
                    Verdict::Match | Verdict::Recovered | Verdict::Skipped
                );
                assert!(is_well, "the two sides differ: {comparison:#?}");
            }
        }
    }
}

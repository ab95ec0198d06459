//! Every mutant, and where it must be caught.

mod reads;
mod wallet;

use btc::Operation;

/// A faulty copy of the Python implementation.
pub(crate) struct Mutant {
    /// Module and class within `btc_legacy.mutants`.
    pub(crate) class: &'static str,
    pub(crate) scene: Scene,
    /// Where it is caught as the primary.
    pub(crate) python_first: &'static [Caught],
    /// Where it is caught as the secondary.
    pub(crate) rust_first: &'static [Caught],
}

/// What the mutant goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scene {
    /// Fee rates of a node without a history.
    Bare,
    /// Everything that reads.
    Reading,
    /// A wallet that receives.
    Receiving,
    /// The same, and pays.
    Paying,
    /// The same, and the chain takes back and replaces.
    Living,
    /// The same, and payments are lost, wait in long chains, and the node is started again.
    Enduring,
}

/// An operation, and the fields at which it differs, without what stands in brackets.
pub(crate) struct Caught {
    pub(crate) operation: Operation,
    /// At all of these.
    pub(crate) at: &'static [&'static str],
    /// And perhaps at these, which follow from them.
    pub(crate) and: &'static [&'static str],
}

/// Every mutant that shadow mode catches.
pub(crate) fn caught() -> impl Iterator<Item = &'static Mutant> {
    reads::MUTANTS.iter().chain(wallet::MUTANTS)
}

const fn at(operation: Operation, at: &'static [&'static str]) -> Caught {
    Caught {
        operation,
        at,
        and: &[],
    }
}

impl Caught {
    const fn and(self, and: &'static [&'static str]) -> Self {
        Self { and, ..self }
    }
}

const fn reading(class: &'static str, caught: &'static [Caught]) -> Mutant {
    Mutant {
        class,
        scene: Scene::Reading,
        python_first: caught,
        rust_first: caught,
    }
}

const fn bare(class: &'static str, caught: &'static [Caught]) -> Mutant {
    Mutant {
        scene: Scene::Bare,
        ..reading(class, caught)
    }
}

const fn receiving(class: &'static str, caught: &'static [Caught]) -> Mutant {
    Mutant {
        scene: Scene::Receiving,
        ..reading(class, caught)
    }
}

const fn living(
    class: &'static str,
    python_first: &'static [Caught],
    rust_first: &'static [Caught],
) -> Mutant {
    Mutant {
        scene: Scene::Living,
        ..paying(class, python_first, rust_first)
    }
}

const fn enduring(
    class: &'static str,
    python_first: &'static [Caught],
    rust_first: &'static [Caught],
) -> Mutant {
    Mutant {
        scene: Scene::Enduring,
        ..paying(class, python_first, rust_first)
    }
}

const fn paying(
    class: &'static str,
    python_first: &'static [Caught],
    rust_first: &'static [Caught],
) -> Mutant {
    Mutant {
        class,
        scene: Scene::Paying,
        python_first,
        rust_first,
    }
}

//! Faults on request: each breaks one rule of the wallet, for the simulation to find.
//!
//! Compiled with the feature `planted` alone, which nothing but the tests asks for; without a
//! [`plant`], nothing is broken.

use std::sync::OnceLock;

/// A rule of the wallet, broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Planted {
    /// A missing payment leaves history, and with it its coins.
    ForgetsMissing,
    /// The coins of a missing payment are free, though history lists it.
    FreesCoins,
    /// A replacement says nothing of the payments that are lost with it.
    BumpsOverDescendants,
    /// Pending coins are chosen before confirmed ones.
    PendingFirst,
    /// Blocks that were read with a smaller window are not read again.
    ReadsOnce,
    /// A replacement does not pay for its own relay.
    WrongMinimum,
    /// What was reserved for a payment that the node refuses stays the payment's.
    KeepsRefused,
    /// An address is given out again.
    ReusesIndex,
    /// What others pay is trusted while it is not confirmed.
    TrustsOthers,
    /// A coin that is reserved for another transaction is chosen.
    TakesReserved,
    /// What was in blocks that were undone counts still.
    KeepsUndone,
    /// A transaction is handed over that takes coins from another open payment.
    HandsOverTwice,
    /// A change index does not go back when its reservation ends unspent.
    KeepsChangeIndex,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ForgetsMissing,
        Self::FreesCoins,
        Self::BumpsOverDescendants,
        Self::PendingFirst,
        Self::ReadsOnce,
        Self::WrongMinimum,
        Self::KeepsRefused,
        Self::ReusesIndex,
        Self::TrustsOthers,
        Self::TakesReserved,
        Self::KeepsUndone,
        Self::HandsOverTwice,
        Self::KeepsChangeIndex,
    ];

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForgetsMissing => "forgets-missing",
            Self::FreesCoins => "frees-coins",
            Self::BumpsOverDescendants => "bumps-over-descendants",
            Self::PendingFirst => "pending-first",
            Self::ReadsOnce => "reads-once",
            Self::WrongMinimum => "wrong-minimum",
            Self::KeepsRefused => "keeps-refused",
            Self::ReusesIndex => "reuses-index",
            Self::TrustsOthers => "trusts-others",
            Self::TakesReserved => "takes-reserved",
            Self::KeepsUndone => "keeps-undone",
            Self::HandsOverTwice => "hands-over-twice",
            Self::KeepsChangeIndex => "keeps-change-index",
        }
    }
}

static CHOSEN: OnceLock<Planted> = OnceLock::new();

/// Breaks a rule in this process, for good. Only the first call counts.
pub fn plant(fault: Planted) {
    // A second one would be found for the sake of the first.
    let _ = CHOSEN.set(fault);
}

/// Whether this rule is broken.
pub(crate) fn is(fault: Planted) -> bool {
    CHOSEN.get() == Some(&fault)
}

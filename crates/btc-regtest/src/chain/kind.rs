//! `Kind`: what a transaction of the factory is an example of.

use std::fmt;

use serde::{Serialize, Serializer};

use super::lock::Lock;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// What a transaction is an example of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind, in the order of the definition.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name, as in reports and JSON.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

kinds! {
    /// Splits coinbases into the coins that the others spend.
    Funding => "funding",
    /// Spends a bare compressed key.
    P2pk => "p2pk",
    /// Spends a bare uncompressed key.
    P2pkUncompressed => "p2pk_uncompressed",
    /// Spends a key hash.
    P2pkh => "p2pkh",
    /// Spends bare two-of-three multisig.
    Multisig => "multisig",
    /// Spends two-of-three multisig behind a script hash.
    P2shMultisig => "p2sh_multisig",
    /// Spends nested single-key segwit.
    P2shP2wpkh => "p2sh_p2wpkh",
    /// Spends native single-key segwit.
    P2wpkh => "p2wpkh",
    /// Spends two-of-three multisig behind a witness script hash.
    P2wsh => "p2wsh",
    /// Spends the same, nested.
    P2shP2wsh => "p2sh_p2wsh",
    /// Spends taproot with its key.
    P2trKeyPath => "p2tr_key_path",
    /// Spends taproot through a leaf.
    P2trScriptPath => "p2tr_script_path",
    /// Makes a pay-to-anchor output.
    AnchorCreate => "anchor_create",
    /// Spends one, with an empty proof.
    AnchorSpend => "anchor_spend",
    /// Carries data, of several sizes.
    OpReturn => "op_return",
    /// Pays to a witness version without rules.
    FutureWitness => "future_witness",
    /// Many inputs of every lock.
    ManyInputs => "many_inputs",
    /// Many outputs.
    ManyOutputs => "many_outputs",
    /// A tapscript with a large envelope.
    BigWitness => "big_witness",
    /// Replaced a transaction that paid less (BIP125).
    Replacement => "replacement",
    /// Its inputs are final: no replacement, no lock time.
    Final => "final",
    /// Locked until a height.
    HeightLock => "height_lock",
    /// Locked until a time.
    TimeLock => "time_lock",
    /// An input locked by depth (BIP68).
    RelativeHeightLock => "relative_height_lock",
    /// An input locked by age (BIP68).
    RelativeTimeLock => "relative_time_lock",
    /// Version 1.
    Version1 => "version_1",
    /// Version 3 (BIP431).
    Version3 => "version_3",
    /// Signatures that cover less than everything.
    SighashType => "sighash_type",
    /// A link of a chain of unconfirmed transactions.
    Descendant => "descendant",
    /// Valid, but no node would relay it: mined directly.
    NonStandard => "non_standard",
    /// One of the many of a full block.
    FullBlock => "full_block",
    /// A payment that a caller asked for.
    Payment => "payment",
}

impl Kind {
    /// The lock that the kind is named after.
    pub(crate) fn lock(self) -> Option<Lock> {
        Some(match self {
            Self::P2pk => Lock::P2pk,
            Self::P2pkUncompressed => Lock::P2pkUncompressed,
            Self::P2pkh => Lock::P2pkh,
            Self::Multisig => Lock::Multisig,
            Self::P2shMultisig => Lock::P2shMultisig,
            Self::P2shP2wpkh => Lock::P2shP2wpkh,
            Self::P2wpkh => Lock::P2wpkh,
            Self::P2wsh => Lock::P2wsh,
            Self::P2shP2wsh => Lock::P2shP2wsh,
            Self::P2trKeyPath => Lock::P2trKey,
            Self::P2trScriptPath => Lock::P2trScript,
            Self::AnchorSpend => Lock::Anchor,
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

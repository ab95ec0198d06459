//! `Lock` and `Coin`: the ways in which the factory's coins are locked, and one such coin.

use bitcoin::{Amount, OutPoint, TxOut};

use super::keys::Keys;

/// How an output of the factory is locked, and so how it is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lock {
    /// A bare compressed public key.
    P2pk,
    /// A bare uncompressed public key.
    P2pkUncompressed,
    /// The hash of a public key.
    P2pkh,
    /// Two of three bare public keys.
    Multisig,
    /// Two of three keys behind a script hash.
    P2shMultisig,
    /// Nested single-key segwit.
    P2shP2wpkh,
    /// Native single-key segwit.
    P2wpkh,
    /// Two of three keys behind a witness script hash.
    P2wsh,
    /// The same, nested.
    P2shP2wsh,
    /// Taproot, to be spent with the key.
    P2trKey,
    /// Taproot, to be spent through the first of two leaves.
    P2trScript,
    /// Taproot with one leaf that carries this many bytes of payload in an envelope.
    Envelope(u32),
    /// Pay to anchor: anyone may spend it.
    Anchor,
    /// A witness version without rules: anyone may spend it, but no node relays that.
    Future,
}

impl Lock {
    /// Those that a plain payment may use: every one with a fixed size and a key.
    pub(crate) const COMMON: [Self; 11] = [
        Self::P2wpkh,
        Self::P2trKey,
        Self::P2pkh,
        Self::P2shP2wpkh,
        Self::P2wsh,
        Self::P2trScript,
        Self::P2shP2wsh,
        Self::P2shMultisig,
        Self::P2pk,
        Self::Multisig,
        Self::P2pkUncompressed,
    ];
}

/// An output that the factory can spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coin {
    pub(crate) outpoint: OutPoint,
    pub(crate) value: Amount,
    pub(crate) lock: Lock,
    pub(crate) key: u32,
}

impl Coin {
    pub(crate) fn output(&self, keys: &Keys) -> TxOut {
        TxOut {
            value: self.value,
            script_pubkey: keys.script(self.lock, self.key),
        }
    }
}

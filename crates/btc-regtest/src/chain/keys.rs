//! `Keys`: every key and script of the factory, computed from its seed.
//!
//! Anyone who knows the seed knows the keys. They are for regtest only and guard nothing.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::key::{Keypair, TapTweak, UntweakedPublicKey};
use bitcoin::opcodes::all::{OP_CHECKMULTISIG, OP_CHECKSIG, OP_CSV, OP_DROP, OP_ENDIF, OP_IF};
use bitcoin::script::{Builder, PushBytesBuf, ScriptBuf};
use bitcoin::secp256k1::{All, Secp256k1, SecretKey};
use bitcoin::taproot::{TaprootBuilder, TaprootSpendInfo};
use bitcoin::{CompressedPublicKey, PublicKey, WScriptHash, opcodes};

use super::lock::Lock;

/// The longest element that a script may push.
const MAX_PUSH: usize = 520;

/// The factory's keys: each coin has a number, and each number four keys.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) secp: Secp256k1<All>,
    seed: u64,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            secp: Secp256k1::new(),
            seed,
        }
    }

    /// The output script of a coin.
    pub(crate) fn script(&self, lock: Lock, key: u32) -> ScriptBuf {
        let compressed = || self.public(key, 0);
        match lock {
            Lock::P2pk => ScriptBuf::new_p2pk(&compressed().into()),
            Lock::P2pkUncompressed => ScriptBuf::new_p2pk(&self.uncompressed(key)),
            Lock::P2pkh => ScriptBuf::new_p2pkh(&compressed().pubkey_hash()),
            Lock::Multisig => self.multisig(key),
            Lock::P2shMultisig | Lock::P2shP2wpkh | Lock::P2shP2wsh => {
                ScriptBuf::new_p2sh(&self.redeem_script(lock, key).script_hash())
            }
            Lock::P2wpkh => ScriptBuf::new_p2wpkh(&compressed().wpubkey_hash()),
            Lock::P2wsh => ScriptBuf::new_p2wsh(&self.witness_script_hash(key)),
            Lock::P2trKey => ScriptBuf::new_p2tr(&self.secp, self.internal(key), None),
            Lock::P2trScript | Lock::Envelope(_) => {
                ScriptBuf::new_p2tr_tweaked(self.spend_info(lock, key).output_key())
            }
            Lock::Anchor => ScriptBuf::new_p2a(),
            Lock::Future => self.future(key),
        }
    }

    /// What the script hash of a P2SH output stands for; empty for the other locks.
    pub(crate) fn redeem_script(&self, lock: Lock, key: u32) -> ScriptBuf {
        match lock {
            Lock::P2shMultisig => self.multisig(key),
            Lock::P2shP2wpkh => ScriptBuf::new_p2wpkh(&self.public(key, 0).wpubkey_hash()),
            Lock::P2shP2wsh => ScriptBuf::new_p2wsh(&self.witness_script_hash(key)),
            _ => ScriptBuf::new(),
        }
    }

    /// Two of the keys 1, 2 and 3.
    pub(crate) fn multisig(&self, key: u32) -> ScriptBuf {
        let script = (1..=3).fold(Builder::new().push_int(2), |script, part| {
            script.push_key(&self.public(key, part).into())
        });
        script
            .push_int(3)
            .push_opcode(OP_CHECKMULTISIG)
            .into_script()
    }

    /// The leaf through which a script-path coin is spent; its key is number 1.
    pub(crate) fn leaf(&self, lock: Lock, key: u32) -> ScriptBuf {
        let script = Builder::new()
            .push_x_only_key(&self.keypair(key, 1).x_only_public_key().0)
            .push_opcode(OP_CHECKSIG);
        match lock {
            Lock::Envelope(size) => self.envelope(script, key, size).into_script(),
            _ => script.into_script(),
        }
    }

    /// The tree of a script-path coin.
    pub(crate) fn spend_info(&self, lock: Lock, key: u32) -> TaprootSpendInfo {
        let leaf = self.leaf(lock, key);
        let tree = if lock == Lock::P2trScript {
            let later = Builder::new()
                .push_int(144)
                .push_opcode(OP_CSV)
                .push_opcode(OP_DROP)
                .push_x_only_key(&self.keypair(key, 2).x_only_public_key().0)
                .push_opcode(OP_CHECKSIG)
                .into_script();
            TaprootBuilder::new()
                .add_leaf(1, leaf)
                .and_then(|tree| tree.add_leaf(1, later))
        } else {
            TaprootBuilder::new().add_leaf(0, leaf)
        };
        tree.expect("one leaf at depth 0 or two at depth 1 are within the limits")
            .finalize(&self.secp, self.internal(key))
            .expect("one leaf at depth 0 or two at depth 1 make a full tree")
    }

    /// One of the keys of a coin: 0 stands alone, 1 to 3 are used in scripts.
    pub(crate) fn keypair(&self, key: u32, part: u8) -> Keypair {
        Keypair::from_secret_key(&self.secp, &self.secret(key, part))
    }

    pub(crate) fn secret(&self, key: u32, part: u8) -> SecretKey {
        let digest = self.digest("key", key, u32::from(part));
        SecretKey::from_slice(&digest).expect("a hash is a valid key but for one in 2^127")
    }

    pub(crate) fn public(&self, key: u32, part: u8) -> CompressedPublicKey {
        CompressedPublicKey(self.secret(key, part).public_key(&self.secp))
    }

    pub(crate) fn uncompressed(&self, key: u32) -> PublicKey {
        PublicKey::new_uncompressed(self.public(key, 0).0)
    }

    /// A hash that depends on the seed and on what it is for.
    pub(crate) fn digest(&self, what: &str, number: u32, part: u32) -> [u8; 32] {
        let mut engine = sha256::Hash::engine();
        engine.input(b"btc-regtest ");
        engine.input(what.as_bytes());
        engine.input(&self.seed.to_le_bytes());
        engine.input(&number.to_le_bytes());
        engine.input(&part.to_le_bytes());
        sha256::Hash::from_engine(engine).to_byte_array()
    }

    /// The key of a taproot output without a tree.
    pub(crate) fn tweaked(&self, key: u32) -> Keypair {
        self.keypair(key, 0)
            .tap_tweak(&self.secp, None)
            .to_keypair()
    }

    fn internal(&self, key: u32) -> UntweakedPublicKey {
        self.keypair(key, 0).x_only_public_key().0
    }

    fn witness_script_hash(&self, key: u32) -> WScriptHash {
        self.multisig(key).wscript_hash()
    }

    /// Versions 2 to 16, programs of 2 to 40 bytes.
    fn future(&self, key: u32) -> ScriptBuf {
        let program = self.digest("program", key, 0);
        let length = 2 + key as usize % 39;
        let program: Vec<u8> = program.into_iter().cycle().take(length).collect();
        let version = 2 + i64::from(key % 15);
        Builder::new()
            .push_int(version)
            .push_slice(push(program))
            .into_script()
    }

    /// A payload between `OP_FALSE OP_IF` and `OP_ENDIF`, as inscriptions carry theirs.
    fn envelope(&self, script: Builder, key: u32, size: u32) -> Builder {
        let mut script = script
            .push_opcode(opcodes::OP_FALSE)
            .push_opcode(OP_IF)
            .push_slice(b"btc-regtest");
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        for part in 0.. {
            if left == 0 {
                break;
            }
            let length = left.min(MAX_PUSH);
            let digest = self.digest("payload", key, part);
            let payload: Vec<u8> = digest.iter().copied().cycle().take(length).collect();
            script = script.push_slice(push(payload));
            left -= length;
        }
        script.push_opcode(OP_ENDIF)
    }
}

/// Bytes as a script element.
pub(crate) fn push(bytes: Vec<u8>) -> PushBytesBuf {
    PushBytesBuf::try_from(bytes).expect("the factory pushes no more than 4 GiB")
}

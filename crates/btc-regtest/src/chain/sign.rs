//! Signing: what proves that an input may be spent, for each kind of lock.

use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, ScriptBuf};
use bitcoin::secp256k1::Message;
use bitcoin::sighash::{Annex, EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::taproot::{LeafVersion, TapLeafHash};
use bitcoin::{Amount, Transaction, TxOut, Witness, ecdsa, taproot};

use super::keys::{Keys, push};
use super::lock::{Coin, Lock};
use crate::NodeError;

/// How all inputs of a transaction are signed.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// What the signatures cover.
    pub(crate) hash_type: EcdsaSighashType,
    /// An annex for the taproot inputs.
    pub(crate) annex: Option<Vec<u8>>,
    /// Zeroes instead of signatures: same size, much faster, for computing the fee.
    pub(crate) blank: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            hash_type: EcdsaSighashType::All,
            annex: None,
            blank: false,
        }
    }
}

/// The size of a DER signature with low R and low S, and its hash type; one in 256 is shorter.
const ECDSA_SIZE: usize = 71;
const SCHNORR_SIZE: usize = 64;

/// Signs every input; `coins` are what they spend, in order.
pub(crate) fn sign(
    keys: &Keys,
    tx: &mut Transaction,
    coins: &[Coin],
    manner: &Manner,
) -> Result<(), NodeError> {
    let prevouts: Vec<_> = coins.iter().map(|coin| coin.output(keys)).collect();
    let mut proofs = Vec::with_capacity(coins.len());
    let mut job = Job {
        keys,
        cache: SighashCache::new(&*tx),
        prevouts: &prevouts,
        manner,
    };
    for (index, coin) in coins.iter().enumerate() {
        let proof = job.prove(index, coin);
        proofs.push(proof.map_err(|e| NodeError::build("signature", e.to_string()))?);
    }
    for (input, (script_sig, witness)) in tx.input.iter_mut().zip(proofs) {
        input.script_sig = script_sig;
        input.witness = witness;
    }
    Ok(())
}

struct Job<'a> {
    keys: &'a Keys,
    cache: SighashCache<&'a Transaction>,
    prevouts: &'a [TxOut],
    manner: &'a Manner,
}

type Failure = Box<dyn std::error::Error>;

impl Job<'_> {
    fn prove(&mut self, index: usize, coin: &Coin) -> Result<(ScriptBuf, Witness), Failure> {
        let (keys, lock, key, value) = (self.keys, coin.lock, coin.key, coin.value);
        let redeem = keys.redeem_script(lock, key);
        let nested = || {
            Builder::new()
                .push_slice(push(redeem.to_bytes()))
                .into_script()
        };
        let none = ScriptBuf::new;
        let proof = match lock {
            Lock::P2pk | Lock::P2pkUncompressed => {
                let sig = self.legacy(index, &keys.script(lock, key), key, 0)?;
                (
                    Builder::new().push_slice(push(sig)).into_script(),
                    Witness::new(),
                )
            }
            Lock::P2pkh => {
                let sig = self.legacy(index, &keys.script(lock, key), key, 0)?;
                let script = Builder::new().push_slice(push(sig));
                let script = script.push_key(&keys.public(key, 0).into());
                (script.into_script(), Witness::new())
            }
            Lock::Multisig | Lock::P2shMultisig => {
                let code = keys.multisig(key);
                let mut script = Builder::new().push_int(0);
                for part in [1, 3] {
                    script = script.push_slice(push(self.legacy(index, &code, key, part)?));
                }
                if lock == Lock::P2shMultisig {
                    script = script.push_slice(push(code.into_bytes()));
                }
                (script.into_script(), Witness::new())
            }
            Lock::P2wpkh => (
                none(),
                self.p2wpkh(index, &keys.script(lock, key), key, value)?,
            ),
            Lock::P2shP2wpkh => (nested(), self.p2wpkh(index, &redeem, key, value)?),
            Lock::P2wsh => (none(), self.p2wsh(index, key, value)?),
            Lock::P2shP2wsh => (nested(), self.p2wsh(index, key, value)?),
            Lock::P2trKey => (none(), self.key_path(index, key)?),
            Lock::P2trScript | Lock::Envelope(_) => (none(), self.script_path(index, coin)?),
            Lock::Anchor => (none(), Witness::new()),
            Lock::Future => (none(), Witness::from_slice(&[b"anyone"])),
        };
        Ok(proof)
    }

    fn legacy(
        &mut self,
        index: usize,
        code: &ScriptBuf,
        key: u32,
        part: u8,
    ) -> Result<Vec<u8>, Failure> {
        if self.manner.blank {
            return Ok(vec![0; ECDSA_SIZE]);
        }
        let hash_type = self.manner.hash_type.to_u32();
        let hash = self.cache.legacy_signature_hash(index, code, hash_type)?;
        Ok(self.ecdsa(hash.to_byte_array(), key, part))
    }

    fn p2wpkh(
        &mut self,
        index: usize,
        program: &ScriptBuf,
        key: u32,
        value: Amount,
    ) -> Result<Witness, Failure> {
        let sig = if self.manner.blank {
            vec![0; ECDSA_SIZE]
        } else {
            let hash_type = self.manner.hash_type;
            let hash = self
                .cache
                .p2wpkh_signature_hash(index, program, value, hash_type)?;
            self.ecdsa(hash.to_byte_array(), key, 0)
        };
        Ok(Witness::from_slice(&[
            sig,
            self.keys.public(key, 0).to_bytes().to_vec(),
        ]))
    }

    fn p2wsh(&mut self, index: usize, key: u32, value: Amount) -> Result<Witness, Failure> {
        let code = self.keys.multisig(key);
        let mut witness = Witness::new();
        witness.push([]);
        for part in [1, 3] {
            let sig = if self.manner.blank {
                vec![0; ECDSA_SIZE]
            } else {
                let hash_type = self.manner.hash_type;
                let hash = self
                    .cache
                    .p2wsh_signature_hash(index, &code, value, hash_type)?;
                self.ecdsa(hash.to_byte_array(), key, part)
            };
            witness.push(sig);
        }
        witness.push(code);
        Ok(witness)
    }

    fn key_path(&mut self, index: usize, key: u32) -> Result<Witness, Failure> {
        let mut witness = Witness::new();
        witness.push(self.schnorr(index, key, None)?);
        self.push_annex(&mut witness);
        Ok(witness)
    }

    fn script_path(&mut self, index: usize, coin: &Coin) -> Result<Witness, Failure> {
        let leaf = self.keys.leaf(coin.lock, coin.key);
        let hash = TapLeafHash::from_script(&leaf, LeafVersion::TapScript);
        let control = self
            .keys
            .spend_info(coin.lock, coin.key)
            .control_block(&(leaf.clone(), LeafVersion::TapScript))
            .ok_or("the leaf is not in its tree")?;
        let mut witness = Witness::new();
        witness.push(self.schnorr(index, coin.key, Some(hash))?);
        witness.push(leaf);
        witness.push(control.serialize());
        self.push_annex(&mut witness);
        Ok(witness)
    }

    fn push_annex(&self, witness: &mut Witness) {
        if let Some(annex) = &self.manner.annex {
            witness.push(annex);
        }
    }

    /// RFC 6979 with low R: the same message gives the same signature.
    fn ecdsa(&self, hash: [u8; 32], key: u32, part: u8) -> Vec<u8> {
        let secret = self.keys.secret(key, part);
        let signature = self
            .keys
            .secp
            .sign_ecdsa_low_r(&Message::from_digest(hash), &secret);
        ecdsa::Signature {
            signature,
            sighash_type: self.manner.hash_type,
        }
        .to_vec()
    }

    /// Without auxiliary randomness, for the same reason.
    fn schnorr(
        &mut self,
        index: usize,
        key: u32,
        leaf: Option<TapLeafHash>,
    ) -> Result<Vec<u8>, Failure> {
        let sighash_type = taproot_type(self.manner.hash_type);
        if self.manner.blank {
            let suffix = usize::from(sighash_type != TapSighashType::Default);
            return Ok(vec![0; SCHNORR_SIZE + suffix]);
        }
        let annex = self.manner.annex.as_deref().map(Annex::new).transpose()?;
        let hash = self.cache.taproot_signature_hash(
            index,
            &Prevouts::All(self.prevouts),
            annex,
            leaf.map(|hash| (hash, NO_CODE_SEPARATOR)),
            sighash_type,
        )?;
        let pair = if leaf.is_some() {
            self.keys.keypair(key, 1)
        } else {
            self.keys.tweaked(key)
        };
        let message = Message::from_digest(hash.to_byte_array());
        let signature = self.keys.secp.sign_schnorr_no_aux_rand(&message, &pair);
        Ok(taproot::Signature {
            signature,
            sighash_type,
        }
        .to_vec())
    }
}

/// What BIP342 puts in place of a position when no `OP_CODESEPARATOR` was executed.
const NO_CODE_SEPARATOR: u32 = 0xffff_ffff;

fn taproot_type(hash_type: EcdsaSighashType) -> TapSighashType {
    match hash_type {
        EcdsaSighashType::All => TapSighashType::Default,
        EcdsaSighashType::None => TapSighashType::None,
        EcdsaSighashType::Single => TapSighashType::Single,
        EcdsaSighashType::AllPlusAnyoneCanPay => TapSighashType::AllPlusAnyoneCanPay,
        EcdsaSighashType::NonePlusAnyoneCanPay => TapSighashType::NonePlusAnyoneCanPay,
        EcdsaSighashType::SinglePlusAnyoneCanPay => TapSighashType::SinglePlusAnyoneCanPay,
    }
}

//! Signatures for a draft, straight into the transaction.

use std::collections::BTreeSet;

use bitcoin::key::{Keypair, TapTweak};
use bitcoin::secp256k1::{Message, PublicKey, SecretKey};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::{
    Amount, EcdsaSighashType, PubkeyHash, Script, ScriptBuf, TapSighashType, Transaction, TxOut,
    WPubkeyHash, Witness, consensus::encode, ecdsa, script, taproot,
};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, BitcoinTransaction, ErrorKind, Operation,
};

use super::draft::Draft;
use super::internal;
use crate::convert::decode_transaction;
use crate::wallet::keys::{Keychain, Keyring, SECP, Signer};

/// Signs every input of a draft.
///
/// # Behavior
/// - ECDSA with RFC6979 and SIGHASH_ALL, ground for a low R as Bitcoin Core does; Schnorr with
///   SIGHASH_DEFAULT and no auxiliary randomness (BIP340, BIP341, key path). The same draft gives
///   the same bytes every time.
/// - Secret keys are erased before this returns.
///
/// # Errors
/// `Unsupported`: no account of a coin's type. `InvalidInput`: an index of 2^31 or more.
/// `Configuration`: the signer's keys are not those of the keyring's descriptors.
pub fn sign(draft: &Draft, keyring: &Keyring, signer: &Signer) -> BitcoinResult<Transaction> {
    let mut transaction = draft.transaction.clone();
    let spent = transaction.input.iter().map(|input| input.previous_output);
    if !spent.eq(draft.inputs.iter().map(|coin| coin.outpoint)) {
        return Err(internal("the draft's coins are not those of its inputs"));
    }
    let mut keys = Vec::with_capacity(draft.inputs.len());
    let mut prevouts = Vec::with_capacity(draft.inputs.len());
    let mut checked = BTreeSet::new();
    for coin in &draft.inputs {
        let keychain = (coin.address_type, coin.chain);
        let key = Key::derive(signer, keychain, coin.index)?;
        if checked.insert(keychain) {
            key.check(keyring, keychain, coin.index)?;
        }
        prevouts.push(TxOut {
            value: Amount::from_sat(coin.value_sat),
            script_pubkey: key.script_pubkey.clone(),
        });
        keys.push(key);
    }
    let mut unlocked = Vec::with_capacity(keys.len());
    let mut cache = SighashCache::new(&transaction);
    for (index, key) in keys.iter().enumerate() {
        unlocked.push(key.unlock(&mut cache, index, &prevouts)?);
    }
    for (input, (script_sig, witness)) in transaction.input.iter_mut().zip(unlocked) {
        input.script_sig = script_sig;
        input.witness = witness;
    }
    Ok(transaction)
}

/// A signed transaction as the interface hands it out, with its fee in satoshi.
///
/// # Errors
/// `Internal`: larger than a block, which no draft is.
pub fn to_bitcoin_transaction(
    transaction: &Transaction,
    fee_sat: u64,
) -> BitcoinResult<BitcoinTransaction> {
    let mut plain = decode_transaction(&encode::serialize(transaction)).map_err(|cause| {
        internal("the transaction does not survive its own serialisation").with_source(cause)
    })?;
    plain.fee_sat = Some(fee_sat);
    Ok(plain)
}

/// The key of one script, erased when dropped.
pub(super) struct Key {
    address_type: AddressType,
    secret: SecretKey,
    public: PublicKey,
    /// Of taproot only: the key with the tweak of an empty script tree (BIP341, BIP86).
    tweaked: Option<Keypair>,
    script_pubkey: ScriptBuf,
}

impl Key {
    /// The key at this place of the wallet.
    pub(super) fn derive(signer: &Signer, keychain: Keychain, index: u32) -> BitcoinResult<Self> {
        let secret = signer
            .key(keychain, index)
            .map_err(|error| error.during(Operation::CreateTransaction))?;
        let address_type = keychain.0;
        let public = secret.public_key(&SECP);
        let mut tweaked = None;
        let script_pubkey = match address_type {
            AddressType::P2shP2wpkh => ScriptBuf::new_p2sh(&redeem_script(&public).script_hash()),
            AddressType::P2wpkh => redeem_script(&public),
            AddressType::P2tr => {
                let mut keypair = Keypair::from_secret_key(&SECP, &secret);
                let pair = keypair.tap_tweak(&SECP, None);
                keypair.non_secure_erase();
                tweaked = Some(pair.to_keypair());
                ScriptBuf::new_p2tr_tweaked(pair.into())
            }
            _ => ScriptBuf::new_p2pkh(&pubkey_hash(&public)),
        };
        Ok(Self {
            address_type,
            secret,
            public,
            tweaked,
            script_pubkey,
        })
    }

    /// The script this key unlocks.
    pub(super) fn script_pubkey(&self) -> &Script {
        &self.script_pubkey
    }

    /// The public key, before any tweak.
    pub(super) fn public(&self) -> PublicKey {
        self.public
    }

    /// Whether the keyring has this key's script at this place. What holds for one index holds
    /// for its whole chain of keys.
    fn check(&self, keyring: &Keyring, keychain: Keychain, index: u32) -> BitcoinResult<()> {
        let expected = keyring
            .script(keychain, index)
            .map_err(|error| error.during(Operation::CreateTransaction))?;
        if expected == self.script_pubkey {
            return Ok(());
        }
        let message = format!(
            "the secret does not belong to the {} descriptor of type {}; open the wallet with \
             its own secret",
            keychain.1, keychain.0
        );
        Err(BitcoinError::new(
            ErrorKind::Configuration,
            Operation::CreateTransaction,
            message,
        ))
    }

    /// The script and witness that unlock input `index`. All scripts and amounts that the
    /// transaction spends are signed by taproot inputs.
    fn unlock(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        prevouts: &[TxOut],
    ) -> BitcoinResult<(ScriptBuf, Witness)> {
        let value = prevouts[index].value;
        let unlocked = match self.address_type {
            AddressType::P2tr => {
                let sighash_type = TapSighashType::Default;
                let signature = self.sign_schnorr(cache, index, prevouts, sighash_type)?;
                (ScriptBuf::new(), Witness::p2tr_key_spend(&signature))
            }
            AddressType::P2wpkh => {
                let signature = self.sign_segwit(cache, index, value)?;
                (ScriptBuf::new(), Witness::p2wpkh(&signature, &self.public))
            }
            AddressType::P2shP2wpkh => {
                let signature = self.sign_segwit(cache, index, value)?;
                (
                    self.redeem_script_sig(),
                    Witness::p2wpkh(&signature, &self.public),
                )
            }
            _ => {
                let signature = self.sign_legacy(cache, index)?;
                let script_sig = script::Builder::new()
                    .push_slice(signature.serialize())
                    .push_key(&self.public.into())
                    .into_script();
                (script_sig, Witness::new())
            }
        };
        Ok(unlocked)
    }

    /// The signature of a P2PKH input.
    pub(super) fn sign_legacy(
        &self,
        cache: &SighashCache<&Transaction>,
        index: usize,
    ) -> BitcoinResult<ecdsa::Signature> {
        let sighash = cache
            .legacy_signature_hash(index, &self.script_pubkey, EcdsaSighashType::All.to_u32())
            .map_err(no_sighash)?;
        Ok(self.sign_ecdsa(Message::from(sighash)))
    }

    /// The signature of a P2WPKH input, also of one inside P2SH (BIP143).
    pub(super) fn sign_segwit(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        value: Amount,
    ) -> BitcoinResult<ecdsa::Signature> {
        let script = redeem_script(&self.public);
        let sighash = cache
            .p2wpkh_signature_hash(index, &script, value, EcdsaSighashType::All)
            .map_err(no_sighash)?;
        Ok(self.sign_ecdsa(Message::from(sighash)))
    }

    /// The signature of a P2TR input by its key (BIP341).
    pub(super) fn sign_schnorr(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        prevouts: &[TxOut],
        sighash_type: TapSighashType,
    ) -> BitcoinResult<taproot::Signature> {
        let sighash = cache
            .taproot_key_spend_signature_hash(index, &Prevouts::All(prevouts), sighash_type)
            .map_err(no_sighash)?;
        let keypair = self
            .tweaked
            .as_ref()
            .ok_or_else(|| internal("only a taproot key signs a taproot input"))?;
        Ok(taproot::Signature {
            signature: SECP.sign_schnorr_no_aux_rand(&Message::from(sighash), keypair),
            sighash_type,
        })
    }

    fn sign_ecdsa(&self, message: Message) -> ecdsa::Signature {
        ecdsa::Signature {
            signature: SECP.sign_ecdsa_low_r(&message, &self.secret),
            sighash_type: EcdsaSighashType::All,
        }
    }

    fn redeem_script_sig(&self) -> ScriptBuf {
        let redeem = redeem_script(&self.public);
        let bytes =
            script::PushBytesBuf::try_from(redeem.into_bytes()).expect("22 bytes can be pushed");
        script::Builder::new().push_slice(bytes).into_script()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
        if let Some(tweaked) = &mut self.tweaked {
            tweaked.non_secure_erase();
        }
    }
}

fn pubkey_hash(public: &PublicKey) -> PubkeyHash {
    bitcoin::PublicKey::new(*public).pubkey_hash()
}

/// The P2WPKH script: the output's own, or what a P2SH output hashes (BIP141).
pub(super) fn redeem_script(public: &PublicKey) -> ScriptBuf {
    let hash = WPubkeyHash::from(bitcoin::CompressedPublicKey(*public));
    ScriptBuf::new_p2wpkh(&hash)
}

fn no_sighash(cause: impl std::error::Error + Send + Sync + 'static) -> BitcoinError {
    internal("the transaction has no such input to sign").with_source(cause)
}

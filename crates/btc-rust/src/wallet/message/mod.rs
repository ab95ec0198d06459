//! Signed messages: BIP322 in its final version, and the older form for P2PKH.

mod scripts;
#[cfg(test)]
mod tests;
mod verify;

use std::str::FromStr;

use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::consensus::encode::serialize;
use bitcoin::secp256k1::SecretKey;
use bitcoin::{Address, PrivateKey};
use btc_iface::{AddressType, BitcoinResult, ErrorKind, SignedMessage};

use self::verify::read_address;
pub use self::verify::{Proof, Verdict, verify};
use super::fault;
use super::keys::{Keychain, Keyring, Signer};

/// The prefix and the name of BIP322's third form, which is verified and not made.
const PROOF_OF_FUNDS: (&str, &str) = (bip322::POF_SIGNATURE_PREFIX, "bip322-proof-of-funds");

/// How a signature of a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// BIP322's simple form, prefix `smp`: the witness. For P2WPKH and P2TR.
    Simple,
    /// BIP322's full form, prefix `ful`: a whole transaction. For every type of address.
    Full,
    /// The form of before BIP322, which `verifymessage` of Bitcoin Core reads. For P2PKH.
    Legacy,
    /// The simple form without its prefix, for verifiers of before BIP322's version 2 (2026). They
    /// read it for nested segwit addresses too.
    SimpleUnprefixed,
    /// The full form without its prefix, for verifiers of before BIP322's version 2 (2026).
    FullUnprefixed,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Simple,
        Self::Full,
        Self::Legacy,
        Self::SimpleUnprefixed,
        Self::FullUnprefixed,
    ];

    /// The form that is usual for an address of this type.
    pub fn usual(address_type: AddressType) -> Self {
        match address_type {
            AddressType::P2pkh => Self::Legacy,
            AddressType::P2shP2wpkh => Self::Full,
            _ => Self::Simple,
        }
    }

    /// Its name in [`SignedMessage::format`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "bip322-simple",
            Self::Full => "bip322-full",
            Self::Legacy => "legacy",
            Self::SimpleUnprefixed => "bip322-simple-unprefixed",
            Self::FullUnprefixed => "bip322-full-unprefixed",
        }
    }

    /// What its signatures begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Simple => bip322::SIMPLE_SIGNATURE_PREFIX,
            Self::Full => bip322::FULL_SIGNATURE_PREFIX,
            Self::Legacy | Self::SimpleUnprefixed | Self::FullUnprefixed => "",
        }
    }

    fn is_for(self, address_type: AddressType) -> bool {
        match self {
            Self::Simple => matches!(address_type, AddressType::P2wpkh | AddressType::P2tr),
            Self::SimpleUnprefixed => address_type != AddressType::P2pkh,
            Self::Legacy => address_type == AddressType::P2pkh,
            Self::Full | Self::FullUnprefixed => true,
        }
    }
}

impl FromStr for Form {
    type Err = String;

    /// By its name, with or without `bip322-`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = |form: &Self| form.as_str().trim_start_matches("bip322-");
        let wanted = text.trim_start_matches("bip322-");
        let found = Self::ALL.into_iter().find(|form| name(form) == wanted);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(name).collect();
            format!("write one of {}", names.join(", "))
        })
    }
}

/// Signs a message with the key of one of the wallet's addresses, in the form that is usual for
/// its type or in the one that is asked for. The same input gives the same signature.
///
/// # Errors
/// `Unsupported`: the wallet has no account of this type. `InvalidInput`: an index of 2^31 or
/// more; a form that is not for this type.
///
/// Source: BIP322, version 2.0.0.
pub fn sign(
    signer: &Signer,
    keyring: &Keyring,
    keychain: Keychain,
    index: u32,
    message: &str,
    form: Option<Form>,
) -> BitcoinResult<SignedMessage> {
    let address_type = keychain.0;
    let form = form.unwrap_or(Form::usual(address_type));
    let address = read_address(
        &keyring.address(keychain, index)?.address,
        keyring.network(),
    )?;
    if !form.is_for(address_type) {
        return Err(fault::invalid(format!(
            "a signature of an address of type {address_type} has no form `{}`; use another one, \
             or the usual one, {}",
            form.as_str(),
            Form::usual(address_type).as_str()
        )));
    }
    let mut secret = signer.key(keychain, index)?;
    let result = sign_with(&secret, &address, message, form);
    secret.non_secure_erase();
    result
}

fn sign_with(
    secret: &SecretKey,
    address: &Address,
    message: &str,
    form: Form,
) -> BitcoinResult<SignedMessage> {
    let mut key = [PrivateKey::new(*secret, bitcoin::NetworkKind::Main)];
    let signed = match form {
        Form::Legacy => {
            bip322::sign_legacy(address, message, &key[0]).map(|it| it.serialize().to_vec())
        }
        Form::Simple | Form::SimpleUnprefixed => {
            bip322::sign_simple(address, message, &key, None).map(|it| serialize(&it))
        }
        Form::Full | Form::FullUnprefixed => {
            let always = bip322::LockParams::default();
            bip322::sign_full(address, message, &key, None, always).map(|it| serialize(&it))
        }
    };
    key[0].inner.non_secure_erase();
    let bytes = signed.map_err(|cause| {
        fault::error(ErrorKind::Internal, "the message cannot be signed").with_source(cause)
    })?;
    Ok(SignedMessage {
        address: address.to_string(),
        signature: format!("{}{}", form.prefix(), STANDARD.encode(bytes)),
        format: form.as_str().to_owned(),
    })
}

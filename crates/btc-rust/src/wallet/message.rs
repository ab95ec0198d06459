//! Signed messages.

use std::str::FromStr;

use bip322::Verification;
use bitcoin::address::{AddressType as AddressKind, NetworkUnchecked};
use bitcoin::secp256k1::SecretKey;
use bitcoin::{Address, PrivateKey};
use btc_iface::{AddressType, BitcoinError, BitcoinResult, ErrorKind, Network, SignedMessage};

use super::fault;
use super::keys::{Keychain, Keyring, Signer};

/// The format of a signature for a segwit address, nested ones included.
pub const BIP322_SIMPLE: &str = "bip322-simple";
/// The format of a signature for a P2PKH address, which `verifymessage` of Bitcoin Core reads.
pub const LEGACY: &str = "legacy";

/// Signs a message with the key of one of the wallet's addresses: BIP322 (simple, with the prefix
/// `smp` of its version 2), or the older form for P2PKH. The same input gives the same signature.
///
/// # Errors
/// `Unsupported`: the wallet has no account of this type. `InvalidInput`: an index of 2^31 or more.
pub fn sign(
    signer: &Signer,
    keyring: &Keyring,
    keychain: Keychain,
    index: u32,
    message: &str,
) -> BitcoinResult<SignedMessage> {
    let address = read_address(
        &keyring.address(keychain, index)?.address,
        keyring.network(),
    )?;
    let mut secret = signer.key(keychain, index)?;
    let signed = sign_with(&secret, keychain.0, &address, message);
    secret.non_secure_erase();
    signed
}

/// Says whether the key of this address signed this message: BIP322 (simple, with or without its
/// prefix), or the older form for P2PKH. What is no signature at all is none of this message.
///
/// # Errors
/// `InvalidInput`: not an address, or of another network. `Unsupported`: an address whose script
/// cannot be judged, or a signature in BIP322's full form.
pub fn verify(
    address: &str,
    message: &str,
    signature: &str,
    network: Network,
) -> BitcoinResult<bool> {
    let address = read_address(address, network)?;
    let text = address.to_string();
    let signature = signature.trim();
    match address.address_type() {
        Some(AddressKind::P2pkh) => {
            Ok(bip322::verify_legacy_encoded(&text, message, signature).is_ok())
        }
        Some(_) if is_full(signature) => {
            let message = "signatures in the full form of BIP322 are not supported; ask for the \
                           simple form";
            Err(fault::error(ErrorKind::Unsupported, message))
        }
        Some(_) => match bip322::verify_simple_encoded(&text, message, signature) {
            Ok(Verification::Valid { .. }) => Ok(true),
            Ok(Verification::Inconclusive) => Err(unsupported(&address)),
            Err(_) => Ok(false),
        },
        None => Err(unsupported(&address)),
    }
}

fn sign_with(
    secret: &SecretKey,
    address_type: AddressType,
    address: &Address,
    message: &str,
) -> BitcoinResult<SignedMessage> {
    let mut key = [PrivateKey::new(*secret, bitcoin::NetworkKind::Main)];
    let signed = match address_type {
        AddressType::P2pkh => bip322::sign_legacy(address, message, &key[0])
            .map(|signature| (signature.to_base64(), LEGACY)),
        _ => bip322::sign_simple(address, message, &key, None).map(|witness| {
            let witness = bitcoin::consensus::serialize(&witness);
            let text = bitcoin::base64::Engine::encode(
                &bitcoin::base64::engine::general_purpose::STANDARD,
                witness,
            );
            let text = format!("{}{text}", bip322::SIMPLE_SIGNATURE_PREFIX);
            (text, BIP322_SIMPLE)
        }),
    };
    key[0].inner.non_secure_erase();
    let (signature, format) = signed.map_err(|cause| {
        fault::error(ErrorKind::Internal, "the message cannot be signed").with_source(cause)
    })?;
    Ok(SignedMessage {
        address: address.to_string(),
        signature,
        format: format.to_owned(),
    })
}

fn read_address(text: &str, network: Network) -> BitcoinResult<Address> {
    let parsed = Address::<NetworkUnchecked>::from_str(text.trim()).map_err(|cause| {
        fault::invalid("this is no Bitcoin address; check it for typing errors").with_source(cause)
    })?;
    parsed.require_network(network).map_err(|cause| {
        let message = format!(
            "the address belongs to another network than {}",
            btc_iface::types::network::name(network)
        );
        fault::invalid(message).with_source(cause)
    })
}

fn is_full(signature: &str) -> bool {
    [bip322::FULL_SIGNATURE_PREFIX, bip322::POF_SIGNATURE_PREFIX]
        .iter()
        .any(|prefix| signature.starts_with(prefix))
}

fn unsupported(address: &Address) -> BitcoinError {
    let message = "signatures of this kind of address cannot be checked";
    fault::error(ErrorKind::Unsupported, message).with_context("address", address)
}

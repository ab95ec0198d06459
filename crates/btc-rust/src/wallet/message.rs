//! Signed messages.

use std::str::FromStr;

use bip322::Verification;
use bitcoin::address::{AddressType as AddressKind, NetworkUnchecked};
use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::secp256k1::SecretKey;
use bitcoin::{Address, PrivateKey, Witness};
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
    let result = sign_with(&secret, keychain.0, &address, message);
    secret.non_secure_erase();
    result
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
            let text = format!("{}{}", bip322::SIMPLE_SIGNATURE_PREFIX, encode(&witness));
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

fn encode(witness: &Witness) -> String {
    STANDARD.encode(bitcoin::consensus::serialize(witness))
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        key: &'static str,
        kind: AddressType,
        address: &'static str,
        network: Network,
        message: &'static str,
        signature: &'static str,
    }

    /// Of BIP322: `basic-test-vectors.json` and, for P2TR and the nested type, what bip322-js
    /// publishes. Of Bitcoin Core: `rpc_signmessagewithprivkey.py`.
    const VECTORS: [Vector; 5] = [
        Vector {
            key: "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k",
            kind: AddressType::P2wpkh,
            address: "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l",
            network: Network::Bitcoin,
            message: "",
            signature: "smpAkgwRQIhAPkJ1Q4oYS0htvyuSFHLxRQpFAY56b70UvE7Dxazen0ZAiAtZfFz1S6T6I23MWI2lK/pcNTWncuyL8UL+oMdydVgzAEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
        },
        Vector {
            key: "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k",
            kind: AddressType::P2wpkh,
            address: "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l",
            network: Network::Bitcoin,
            message: "Hello World",
            signature: "smpAkgwRQIhAOzyynlqt93lOKJr+wmmxIens//zPzl9tqIOua93wO6MAiBi5n5EyAcPScOjf1lAqIUIQtr3zKNeavYabHyR8eGhowEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
        },
        Vector {
            key: "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k",
            kind: AddressType::P2tr,
            address: "bc1ppv609nr0vr25u07u95waq5lucwfm6tde4nydujnu8npg4q75mr5sxq8lt3",
            network: Network::Bitcoin,
            message: "Hello World",
            signature: "smpAUHd69PrJQEv+oKTfZ8l+WROBHuy9HKrbFCJu7U1iK2iiEy1vMU5EfMtjc+VSHM7aU0SDbak5IUZRVno2P5mjSafAQ==",
        },
        Vector {
            key: "KwTbAxmBXjoZM3bzbXixEr9nxLhyYSM4vp2swet58i19bw9sqk5z",
            kind: AddressType::P2shP2wpkh,
            address: "3HSVzEhCFuH9Z3wvoWTexy7BMVVp3PjS6f",
            network: Network::Bitcoin,
            message: "Hello World",
            signature: "smpAkgwRQIhAMd2wZSY3x0V9Kr/NClochoTXcgDaGl3OObOR17yx3QQAiBVWxqNSS+CKen7bmJTG6YfJjsggQ4Fa2RHKgBKrdQQ+gEhAxa5UDdQCHSQHfKQv14ybcYm1C9y6b12xAuukWzSnS+w",
        },
        Vector {
            key: "cUeKHd5orzT3mz8P9pxyREHfsWtVfgsfDjiZZBcjUBAaGk1BTj7N",
            kind: AddressType::P2pkh,
            address: "mpLQjfK79b7CCV4VMJWEWAj5Mpx8Up5zxB",
            network: Network::Regtest,
            message: "This is just a test message",
            signature: "INbVnW4e6PeRmsv2Qgu8NuopvrVjkcxob+sX8OcZG0SALhWybUjzMLPdAsXI46YZGb0KQTRii+wWIQzRpG/U+S0=",
        },
    ];

    #[test]
    fn signatures_are_the_published_ones() {
        for vector in VECTORS {
            let address = read_address(vector.address, vector.network).expect("published");
            let key = PrivateKey::from_wif(vector.key).expect("published");
            let signed = sign_with(&key.inner, vector.kind, &address, vector.message);
            let signed = signed.expect("the key of the address");
            assert_eq!(signed.signature, vector.signature, "{}", vector.address);
            let is_legacy = vector.kind == AddressType::P2pkh;
            assert_eq!(
                signed.format,
                if is_legacy { LEGACY } else { BIP322_SIMPLE }
            );
        }
    }

    #[test]
    fn published_signatures_are_right_and_none_else() {
        let check = |vector: &Vector, message: &str, signature: &str| {
            verify(vector.address, message, signature, vector.network).expect("known kinds")
        };
        for (place, vector) in VECTORS.iter().enumerate() {
            let Vector {
                message, signature, ..
            } = *vector;
            assert!(check(vector, message, signature), "{}", vector.address);
            let bare = signature.strip_prefix("smp").unwrap_or(signature);
            assert!(check(vector, message, bare), "without its prefix");
            assert!(!check(vector, "another message", signature));
            assert!(!check(vector, message, ""));
            assert!(!check(vector, message, "not base64!"));
            assert!(!check(vector, message, "smpAA=="));
            for other in VECTORS.iter().skip(place + 1) {
                assert!(!check(vector, message, other.signature), "of another key");
            }
        }
    }

    #[test]
    fn the_low_r_signature_of_the_bip_is_right_too() {
        let vector = &VECTORS[1];
        let signature = "AkcwRAIgZRfIY3p7/DoVTty6YZbWS71bc5Vct9p9Fia83eRmw2QCICK/ENGfwLtptFluMGs2KsqoNSk89pO7F29zJLUx9a/sASECx/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=";
        let is_right = verify(vector.address, "Hello World", signature, vector.network);
        assert!(is_right.expect("a known kind"));
    }

    #[test]
    fn an_address_that_cannot_be_asked_is_an_error() {
        let refused = |address: &str, signature: &str, network| {
            let refused = verify(address, "", signature, network);
            refused.expect_err(address).kind()
        };
        let vector = &VECTORS[0];
        assert_eq!(
            refused("nonsense", "", Network::Bitcoin),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            refused(vector.address, vector.signature, Network::Regtest),
            ErrorKind::InvalidInput
        );
        // BIP322's own example of a signature with the prefix of another form.
        let signature = "fulAUDZwFXUp+adN+/UZj5dVrGAbB3zKs1Vcalz5fCF9srxS63eSWNGvH1NYbrBkPt1BJDUyWUz9zgUxfc63/QheT6M";
        let address = "bc1pyrgrm6cu6n54jrvkdjd9rvyd3xfyu84s2623awu2srn6mxhscwpsm5644w";
        assert_eq!(
            refused(address, signature, Network::Bitcoin),
            ErrorKind::Unsupported
        );
        // A script that only an interpreter of scripts could judge.
        let script = bitcoin::ScriptBuf::from_bytes(vec![0x51]);
        let address = Address::p2wsh(&script, Network::Bitcoin).to_string();
        let nothing: [&[u8]; 2] = [&[], &[]];
        let mut witness = Witness::from_slice(&nothing);
        witness.push(script.as_bytes());
        assert_eq!(
            refused(&address, &encode(&witness), Network::Bitcoin),
            ErrorKind::Unsupported
        );
        // A witness program of version 2, for which there are no rules yet.
        let unknown = "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs";
        assert_eq!(
            refused(unknown, "AUAA", Network::Bitcoin),
            ErrorKind::Unsupported
        );
    }
}

//! BIP39 words: read as people type them, made from entropy.

use bdk_wallet::keys::bip39::{Error as MnemonicError, Language, Mnemonic};
use btc_iface::{BitcoinResult, Secret};

use super::wrong;

/// Reads words as people type them: any white space between them.
///
/// # Errors
/// `InvalidInput`: as [`Signer::from_words`](super::Signer::from_words).
pub fn parse_words(words: &str) -> BitcoinResult<Mnemonic> {
    Mnemonic::parse_in(Language::English, words).map_err(|cause| {
        let message = match &cause {
            MnemonicError::UnknownWord(position) => {
                let word = words.split_whitespace().nth(*position).unwrap_or_default();
                format!(
                    "word {} (`{word}`) is not in the English list of BIP39; check its spelling",
                    position + 1
                )
            }
            MnemonicError::BadWordCount(count) => {
                format!("{count} words; BIP39 has 12, 15, 18, 21 or 24")
            }
            MnemonicError::InvalidChecksum => {
                "the checksum of the words is wrong; check their order and each word".to_owned()
            }
            _ => "the words are not a BIP39 mnemonic in English".to_owned(),
        };
        wrong(message)
    })
}

/// The words that stand for this entropy of 16 to 32 bytes (BIP39). For new wallets,
/// [`generate_words`](crate::wallet::secret::generate_words) takes the operating system's.
///
/// # Errors
/// `InvalidInput`: not 16, 20, 24, 28 or 32 bytes.
pub fn words_from_entropy(entropy: &[u8]) -> BitcoinResult<Secret> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
        .map_err(|cause| wrong("entropy has 16, 20, 24, 28 or 32 bytes").with_source(cause))?;
    Ok(Secret::new(mnemonic.to_string()))
}

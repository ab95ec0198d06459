//! `WalletFile`: `wallet.json`, what is public and never changes about a wallet.

use std::path::Path;

use bitcoin::bip32::Fingerprint;
use btc_iface::{AddressType, BitcoinResult, Chain, Network};
use serde::{Deserialize, Serialize};

use super::WALLET_JSON;
use crate::wallet::fault;
use crate::wallet::keys::{Account, Keyring};

/// The format that this version writes, and the newest it reads.
const FORMAT: u64 = 1;
/// Scanning more unused addresses than this at a time is an accident.
const MAX_GAP_LIMIT: u32 = 1000;
/// Far more than a file with every account takes.
const MAX_BYTES: u64 = 1 << 20;
const ADVICE: &str = "restore it from a backup, or create the wallet anew from its words";

/// What is public and never changes about a wallet. In JSON, `format` comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletFile {
    format: u64,
    /// The network of the wallet's addresses.
    #[serde(with = "btc_iface::types::network::as_name")]
    pub network: Network,
    /// The fingerprint of the master key; `None` where the descriptors do not say.
    pub fingerprint: Option<Fingerprint>,
    /// The height of the first block that may pay the wallet.
    pub birthday: u32,
    /// How many addresses beyond the last used one are watched, on each chain.
    pub gap_limit: u32,
    /// The type of change outputs.
    pub change_type: AddressType,
    /// The public descriptors.
    pub accounts: Vec<Account>,
}

/// The format alone, which says whether the rest can be read.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl WalletFile {
    /// Puts a wallet's facts together and checks them.
    ///
    /// # Errors
    /// `InvalidInput`: a gap limit outside 1 to 1000, a change type without an account, accounts
    /// as [`Keyring::new`] refuses them, a fingerprint that their descriptors contradict.
    pub(super) fn new(
        network: Network,
        fingerprint: Option<Fingerprint>,
        birthday: u32,
        gap_limit: u32,
        change_type: AddressType,
        accounts: Vec<Account>,
    ) -> BitcoinResult<Self> {
        let mut file = Self {
            format: FORMAT,
            network,
            fingerprint,
            birthday,
            gap_limit,
            change_type,
            accounts,
        };
        let keyring = file.check()?;
        if file.fingerprint.is_none() {
            let mut origins = keyring.origins().into_iter();
            if let (Some(only), None) = (origins.next(), origins.next()) {
                file.fingerprint = only;
            }
        }
        Ok(file)
    }

    /// Reads and checks the file in this folder.
    ///
    /// # Errors
    /// `Configuration`: there is none, it cannot be read, is damaged, or a newer version wrote it.
    pub(super) fn read(dir: &Path) -> BitcoinResult<(Self, Keyring)> {
        let path = dir.join(WALLET_JSON);
        let bytes = super::read_whole(&path, MAX_BYTES)?;
        let broken = |cause: serde_json::Error| {
            fault::damaged(&path, "is damaged", ADVICE).with_source(cause)
        };
        let Format { format } = serde_json::from_slice(&bytes).map_err(broken)?;
        if format > FORMAT {
            let what = format!("has format {format}: a newer version wrote it");
            return Err(fault::damaged(&path, &what, "use that version"));
        }
        let file: Self = serde_json::from_slice(&bytes).map_err(broken)?;
        let keyring = file.check().map_err(|cause| {
            let what = format!("is damaged: {}", cause.message());
            fault::damaged(&path, &what, ADVICE).with_source(cause)
        })?;
        Ok((file, keyring))
    }

    /// The file's text.
    pub(super) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data with text keys");
        text.push('\n');
        text
    }

    fn check(&self) -> BitcoinResult<Keyring> {
        if self.format != FORMAT {
            return Err(fault::invalid("the format is 1"));
        }
        if !(1..=MAX_GAP_LIMIT).contains(&self.gap_limit) {
            let message = format!("the gap limit is from 1 to {MAX_GAP_LIMIT}");
            return Err(fault::invalid(message).with_context("gap_limit", self.gap_limit));
        }
        let keyring = Keyring::new(self.network, &self.accounts)?;
        keyring
            .descriptor((self.change_type, Chain::Change))
            .map_err(|_| {
                let message = format!(
                    "change of type {} needs an account of that type; choose another change type",
                    self.change_type
                );
                fault::invalid(message)
            })?;
        if let Some(fingerprint) = self.fingerprint {
            let mut others = keyring.origins().into_iter().flatten();
            if let Some(other) = others.find(|origin| *origin != fingerprint) {
                let message = format!(
                    "a descriptor comes from master key {other}, not from {fingerprint}; \
                     correct the fingerprint"
                );
                return Err(fault::invalid(message));
            }
        }
        Ok(keyring)
    }
}

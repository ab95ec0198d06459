//! `RustWallet`: an open wallet with its books, its reservations, its keys and a chain source.

mod background;
mod conflicts;
mod family;
mod fee_bump;
mod following;
mod give_up;
mod hand_over;
mod interface;
mod listed;
mod locks;
mod operations;
mod payments;
mod promise;
mod sent_again;
mod twin;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, BlockRef, CoinSelection, ErrorKind, FeeRate, Network,
    Operation, Secret,
};
use serde::Serialize;

pub use self::background::BackgroundFollower;
pub use self::fee_bump::{Raise, Replacement};
use self::following::Published;
use super::build::DEFAULT_MAX_FEE_RATE;
use super::folder::Folder;
use super::keys::{Keychain, Keyring, Signer};
use super::ledger::Ledger;
use super::reservations::Reservations;
use super::secret;
use super::source::{ChainSource, Peer};

/// How long the coins of a built transaction stay reserved, in milliseconds.
pub const RESERVATION_MS: u64 = 10 * 60 * 1000;

/// An open wallet. May be used by several threads at once: while one of them follows the chain, the
/// others read and pay from the newest finished view.
pub struct RustWallet {
    folder: Folder,
    signer: Option<Signer>,
    source: Arc<dyn ChainSource>,
    selection: CoinSelection,
    max_fee_rate: FeeRate,
    // Where several are taken: in this order.
    following: Mutex<()>,
    ledger: Mutex<Ledger>,
    reservations: Mutex<Reservations>,
    published: Mutex<Published>,
    /// How many times the chain was begun to be followed.
    begun: AtomicU64,
    /// How old a view may be to be answered on without a follow; 0: of this moment only.
    max_age_ms: AtomicU64,
}

/// What a wallet is, for people.
#[derive(Debug, Clone, Serialize)]
pub struct WalletInfo {
    /// The network of its addresses.
    #[serde(with = "btc_iface::types::network::as_name")]
    pub network: Network,
    /// The fingerprint of the master key (BIP32), when it is known.
    pub fingerprint: Option<String>,
    /// Whether it has no secret.
    pub is_watch_only: bool,
    /// The script types it has accounts of.
    pub address_types: Vec<AddressType>,
    /// The height from which on blocks matter.
    pub birthday: u32,
    /// How many unused addresses in a row are watched.
    pub gap_limit: u32,
    /// The block it has followed the chain to, if it has.
    pub tip: Option<BlockRef>,
    /// The name of the chain source.
    pub source: &'static str,
}

impl RustWallet {
    /// Opens the wallet in this folder for this process alone. With a passphrase, or a secret in
    /// the clear, it can sign; else it watches.
    ///
    /// # Errors
    /// `Configuration`: no wallet there, or a file that is damaged, of another wallet or of a
    /// newer version. `Auth`: a wrong passphrase. `Unavailable`: it is open already.
    pub fn open(
        dir: &Path,
        passphrase: Option<&Secret>,
        selection: CoinSelection,
        source: Arc<dyn ChainSource>,
    ) -> BitcoinResult<Self> {
        let folder = Folder::open(dir)?;
        let can_unlock = passphrase.is_some() || !secret::is_encrypted(dir);
        let signer = if folder.has_secret() && can_unlock {
            Some(folder.unlock(passphrase)?)
        } else {
            None
        };
        let file = folder.file();
        let ledger = Ledger::open(
            &folder.books(),
            folder.keyring(),
            file.birthday,
            file.gap_limit,
        )?;
        let reservations = folder.reservations()?;
        let wallet = Self {
            folder,
            signer,
            source,
            selection,
            max_fee_rate: DEFAULT_MAX_FEE_RATE,
            following: Mutex::new(()),
            published: Mutex::new(Published::new(ledger.view())),
            begun: AtomicU64::new(0),
            max_age_ms: AtomicU64::new(0),
            ledger: Mutex::new(ledger),
            reservations: Mutex::new(reservations),
        };
        wallet.read_at_start()?;
        wallet.prepare_labels()?;
        Ok(wallet)
    }

    /// The same with another highest fee rate than [`DEFAULT_MAX_FEE_RATE`].
    #[must_use]
    pub fn with_max_fee_rate(self, max_fee_rate: FeeRate) -> Self {
        Self {
            max_fee_rate,
            ..self
        }
    }

    /// The highest fee rate that needs no consent.
    pub fn max_fee_rate(&self) -> FeeRate {
        self.max_fee_rate
    }

    /// The wallet's network.
    pub fn network(&self) -> Network {
        self.folder.file().network
    }

    /// What it is and how far it has come.
    pub fn info(&self) -> WalletInfo {
        let file = self.folder.file();
        let tip = self.published().view.tip;
        WalletInfo {
            network: file.network,
            fingerprint: file.fingerprint.map(|fingerprint| fingerprint.to_string()),
            is_watch_only: !self.folder.has_secret(),
            address_types: file
                .accounts
                .iter()
                .map(|account| account.address_type)
                .collect(),
            birthday: file.birthday,
            gap_limit: file.gap_limit,
            tip: Some(tip).filter(|tip| tip.height > 0),
            source: self.source.name(),
        }
    }

    /// Whom to tell how far a scan has come: blocks examined, and all of this pass.
    pub fn on_progress(&self, told: impl FnMut(u32, u32) + Send + 'static) {
        self.ledger().on_progress(Some(Box::new(told)));
    }

    /// The peers of the source.
    ///
    /// # Errors
    /// Those of the source.
    pub fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        self.source.peers()
    }

    /// What was promised and handed over before, so that the first view knows which coins are held.
    fn read_at_start(&self) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        self.read_shared(&mut ledger)?;
        self.publish_change(&ledger);
        Ok(())
    }

    fn keyring(&self) -> &Keyring {
        self.folder.keyring()
    }

    fn signer(&self) -> BitcoinResult<&Signer> {
        self.signer.as_ref().ok_or_else(|| {
            let message = if self.folder.has_secret() {
                "the wallet is locked; set WALLET_PASSPHRASE or WALLET_PASSPHRASE_FILE"
            } else {
                "the wallet is watch-only; sign with `btc psbt` and another signer"
            };
            BitcoinError::new(ErrorKind::Unsupported, Operation::Wallet, message)
        })
    }

    /// The first index of a chain that was neither given out nor seen used.
    fn fresh_index(ledger: &Ledger, keychain: Keychain, next: u32) -> u32 {
        let after_used = ledger.highest_used(keychain).map_or(0, |used| used + 1);
        // The shared file may have been lost; the books remember too.
        next.max(after_used).max(ledger.promised(keychain))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reservations(&self) -> MutexGuard<'_, Reservations> {
        let lock = self.reservations.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

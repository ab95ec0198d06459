//! Wallets of random words in folders of their own, and every backend over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::shadow::parity::Random;
use btc::shadow::sink::MemorySink;
use btc::{
    AddressType, BitcoinImplementationType, BitcoinResult, Config, Credentials, Network,
    NodeConfig, Secret,
};
use tempfile::TempDir;

use crate::backend::{Backend, Connected};

/// The gap limit of test wallets: small, so that its end is soon reached.
pub const GAP_LIMIT: u32 = 10;

/// A wallet's folder, removed with this.
pub struct WalletFolder {
    /// Its words.
    pub words: String,
    /// Its BIP39 passphrase.
    pub passphrase: String,
    home: TempDir,
    dir: PathBuf,
}

impl WalletFolder {
    /// A new wallet of words that nobody has used, on regtest.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn random(birthday: u32) -> BitcoinResult<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // The process id keeps runs apart that share a machine; no two wallets share a chain.
        let seed = NUMBER.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id());
        Self::seeded(&mut Random::new(seed), birthday)
    }

    /// A new wallet of repeatable words.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn seeded(random: &mut Random, birthday: u32) -> BitcoinResult<Self> {
        let entropy: [u8; 32] = random.bytes();
        let length = random.pick(&[16, 20, 24, 28, 32]);
        let words = words_from_entropy(&entropy[..length])?;
        let passphrase = if random.once_in(4) {
            "Überraschung 1"
        } else {
            ""
        };
        let change_type = random.pick(&AddressType::ALL);
        Self::from_words(words.expose(), passphrase, birthday, change_type)
    }

    /// A wallet from words.
    ///
    /// # Errors
    /// Those of the folder.
    ///
    /// # Panics
    /// Without a temporary folder.
    pub fn from_words(
        words: &str,
        passphrase: &str,
        birthday: u32,
        change_type: AddressType,
    ) -> BitcoinResult<Self> {
        let home = tempfile::tempdir().expect("a temporary folder");
        let dir = home.path().join("wallet");
        let new = NewWallet {
            network: Network::Regtest,
            birthday,
            gap_limit: GAP_LIMIT,
            change_type,
            origin: Origin::Words {
                words: Secret::new(words.to_owned()),
                bip39_passphrase: Secret::new(passphrase.to_owned()),
                protection: Protection::PlainRegtestOnly,
            },
        };
        folder::create(&dir, &new)?;
        Ok(Self {
            words: words.to_owned(),
            passphrase: passphrase.to_owned(),
            home,
            dir,
        })
    }

    /// The same words in another folder, as after a restore.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn again(&self, birthday: u32) -> BitcoinResult<Self> {
        let (file, _) = folder::Folder::peek(&self.dir)?;
        Self::from_words(&self.words, &self.passphrase, birthday, file.change_type)
    }

    /// The wallet's folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A folder that goes away with the wallet's, for other files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The configuration as the variables give it: this node, this wallet, these further ones.
    ///
    /// # Panics
    /// When a variable is not allowed.
    pub fn config(&self, node: &NodeConfig, more: &[(&str, &str)]) -> Config {
        wallet_config(&self.dir, node, more)
    }

    /// Opens the wallet through a backend, in the deterministic mode.
    ///
    /// # Errors
    /// The implementation's own.
    pub fn connect(&self, backend: Backend, node: &NodeConfig) -> BitcoinResult<Connected> {
        let mode = match backend {
            Backend::PythonWorker => "worker",
            _ => "embedded",
        };
        let config = self.config(
            node,
            &[("PYTHON_MODE", mode), ("WALLET_SELECTION", "largest-first")],
        );
        match backend {
            Backend::ShadowPythonFirst => Self::shadow(&config, BitcoinImplementationType::Python),
            Backend::ShadowRustFirst => Self::shadow(&config, BitcoinImplementationType::Rust),
            real => Ok(Connected::alone(btc::connect_to(
                &config,
                real.implementation(),
            )?)),
        }
    }

    fn shadow(config: &Config, primary: BitcoinImplementationType) -> BitcoinResult<Connected> {
        let sink = Arc::new(MemorySink::default());
        let log = Arc::clone(&sink);
        let shadow = btc::connect_shadow(config, primary, move || Ok(Box::new(log)), true)?;
        Ok(Connected::recorded(shadow, sink))
    }
}

/// The configuration as the variables give it: this node, the wallet in this folder, these further
/// ones.
///
/// # Panics
/// When a variable is not allowed.
pub fn wallet_config(dir: &Path, node: &NodeConfig, more: &[(&str, &str)]) -> Config {
    let cookie = match &node.credentials {
        Credentials::CookieFile(path) => path.display().to_string(),
        _ => String::new(),
    };
    let dir = dir.display().to_string();
    let venv = std::env::var("PYTHON_VENV").unwrap_or_default();
    let network = btc::types::network::name(node.network);
    let variables = [
        ("BITCOIN_NETWORK", network),
        ("BITCOIN_RPC_URL", &node.url),
        ("BITCOIN_RPC_COOKIE_FILE", &cookie),
        ("PYTHON_VENV", &venv),
        ("WALLET_DIR", &dir),
    ];
    let get = |name: &str| {
        let all = more.iter().chain(&variables);
        let found = all.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::from_sources(get, None).expect("allowed variables")
}

//! A wallet of fixed words: its folder anew for each sync, and its keys for paying it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use btc::bitcoin::ScriptBuf;
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::{Keyring, Signer, parse_words, words_from_entropy};
use btc::rust::wallet::secret::Protection;
use btc::rust::wallet::source::ChainSource;
use btc::rust::wallet::source::core::CoreSource;
use btc::{AddressType, Chain, CoinSelection, Config, Credentials, Network, NodeConfig, Secret};
use tempfile::TempDir;

use crate::Outcome;

/// What wallets have unless told otherwise.
pub(super) const GAP_LIMIT: u32 = 20;
/// Where the wallet is paid.
const RECEIVE: (AddressType, Chain) = (AddressType::P2wpkh, Chain::Receive);

/// The words of a wallet, from which everything else can be restored.
pub(crate) struct Words {
    number: u8,
    text: String,
}

impl Words {
    /// Those of a number.
    pub(crate) fn of(number: u8) -> Outcome<Self> {
        let text = words_from_entropy(&[number; 16])?.expose().to_owned();
        Ok(Self { number, text })
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// BIP39's seed.
    pub(crate) fn seed(&self) -> Outcome<[u8; 64]> {
        Ok(parse_words(&self.text)?.to_seed(""))
    }

    pub(crate) fn signer(&self) -> Outcome<Signer> {
        Ok(Signer::from_words(Network::Regtest, &self.text, "")?)
    }

    pub(crate) fn keyring(&self) -> Outcome<Keyring> {
        Ok(Keyring::new(Network::Regtest, &self.signer()?.accounts())?)
    }

    /// The receiving script of type P2WPKH at this index.
    pub(crate) fn script(&self, index: u32) -> Outcome<ScriptBuf> {
        Ok(self.keyring()?.script(RECEIVE, index)?)
    }

    /// The first ones.
    pub(crate) fn scripts(&self, count: u32) -> Outcome<Vec<ScriptBuf>> {
        let keyring = self.keyring()?;
        let scripts = (0..count).map(|index| Ok(keyring.script(RECEIVE, index)?));
        scripts.collect()
    }

    /// A folder with this wallet that knows nothing of the chain yet.
    pub(crate) fn restore(&self, birthday: u32) -> Outcome<Place> {
        let home = tempfile::tempdir()?;
        let dir = home.path().join("wallet");
        let new = NewWallet {
            network: Network::Regtest,
            birthday,
            gap_limit: GAP_LIMIT,
            change_type: AddressType::P2wpkh,
            origin: Origin::Words {
                words: Secret::new(self.text.clone()),
                bip39_passphrase: Secret::new(String::new()),
                protection: Protection::PlainRegtestOnly,
            },
        };
        folder::create(&dir, &new)?;
        Ok(Place { home, dir })
    }
}

/// A wallet's folder, removed with this.
pub(crate) struct Place {
    home: TempDir,
    dir: PathBuf,
}

impl Place {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder for other files that goes away with the wallet's.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn open(&self, source: Arc<dyn ChainSource>) -> Outcome<RustWallet> {
        let selection = CoinSelection::LargestFirst;
        Ok(RustWallet::open(&self.dir, None, selection, source)?)
    }

    /// Opens it over a node.
    pub(crate) fn open_at(&self, node: &NodeConfig) -> Outcome<RustWallet> {
        self.open(Arc::new(CoreSource::connect(node)?))
    }
}

/// The configuration of both implementations for a wallet's folder, as the variables give it.
pub(crate) fn config(node: &NodeConfig, dir: &Path) -> Outcome<Config> {
    let cookie = match &node.credentials {
        Credentials::CookieFile(path) => path.display().to_string(),
        _ => return Err("the node has no cookie file".into()),
    };
    let (dir, venv) = (
        dir.display().to_string(),
        std::env::var("PYTHON_VENV").unwrap_or_default(),
    );
    let variables = [
        ("BITCOIN_NETWORK", "regtest"),
        ("BITCOIN_RPC_URL", &node.url),
        ("BITCOIN_RPC_COOKIE_FILE", &cookie),
        ("PYTHON_VENV", &venv),
        ("PYTHON_MODE", "embedded"),
        ("WALLET_DIR", &dir),
        ("WALLET_SELECTION", "largest-first"),
    ];
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Ok(Config::from_sources(get, None)?)
}

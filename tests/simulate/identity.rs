//! `Identity`: the words of a wallet with all scripts that a history can meet, derived once and shared.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fs, io};

use btc::bitcoin::ScriptBuf;
use btc::rust::wallet::folder::{self, Folder, NewWallet, Origin};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::shadow::parity::Random;
use btc::{AddressType, Chain, Network, Secret};
use tempfile::TempDir;

use crate::Failure;

/// How many indices of each chain are known: no history gives out or pays a later one.
pub(crate) const RANGE: u32 = 100;
/// How many different words there are.
const WORDS: u64 = 6;

/// One of the eight chains of keys.
pub(crate) type Keychain = (AddressType, Chain);

/// Where a script stands in the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) keychain: Keychain,
    pub(crate) index: u32,
}

/// Words, and the scripts that follow from them.
pub(crate) struct Identity {
    words: Secret,
    places: HashMap<ScriptBuf, Place>,
    scripts: HashMap<Place, ScriptBuf>,
}

/// How a wallet's folder is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) words: u64,
    pub(crate) gap_limit: u32,
    pub(crate) change_type: AddressType,
    pub(crate) birthday: u32,
}

impl Identity {
    /// The identity of a number; the same number means the same words.
    pub(crate) fn get(number: u64) -> Result<Arc<Self>, Failure> {
        static KNOWN: Mutex<Vec<(u64, Arc<Identity>)>> = Mutex::new(Vec::new());
        let number = number % WORDS;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, identity)) = known.iter().find(|(other, _)| *other == number) {
            return Ok(Arc::clone(identity));
        }
        let entropy: [u8; 16] = Random::new(number).bytes();
        let words = words_from_entropy(&entropy)?;
        let shape = Shape {
            words: number,
            gap_limit: 1,
            change_type: AddressType::P2wpkh,
            birthday: 0,
        };
        let home = shared_memory()?;
        let dir = home.path().join("wallet");
        create(&dir, words.expose(), shape)?;
        let (_, keyring) = Folder::peek(&dir)?;
        let mut places = HashMap::new();
        let mut scripts = HashMap::new();
        for address_type in AddressType::ALL {
            for chain in Chain::ALL {
                let keychain = (address_type, chain);
                for index in 0..RANGE {
                    let place = Place { keychain, index };
                    let script = keyring.script(keychain, index)?;
                    places.insert(script.clone(), place);
                    scripts.insert(place, script);
                }
            }
        }
        let identity = Arc::new(Self {
            words,
            places,
            scripts,
        });
        known.push((number, Arc::clone(&identity)));
        Ok(identity)
    }

    /// Where a script stands, if it is the wallet's.
    pub(crate) fn place(&self, script: &ScriptBuf) -> Option<Place> {
        self.places.get(script).copied()
    }

    /// The script of a place below [`RANGE`].
    pub(crate) fn script(&self, place: Place) -> Option<&ScriptBuf> {
        self.scripts.get(&place)
    }
}

/// Puts a new wallet of this shape at `dir`. The first of a shape is created, later ones are
/// copies of it.
pub(crate) fn make(dir: &Path, shape: Shape) -> Result<(), Failure> {
    static MADE: Mutex<Option<(TempDir, HashMap<Shape, PathBuf>)>> = Mutex::new(None);
    let shape = Shape {
        words: shape.words % WORDS,
        ..shape
    };
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.is_none() {
        *made = Some((shared_memory()?, HashMap::new()));
    }
    let Some((home, known)) = made.as_mut() else {
        return Err("there is a home for the models now".into());
    };
    let model = if let Some(model) = known.get(&shape) {
        model.clone()
    } else {
        let model = home.path().join(known.len().to_string());
        let identity = Identity::get(shape.words)?;
        create(&model, identity.words.expose(), shape)?;
        known.insert(shape, model.clone());
        model
    };
    copy(&model, dir)?;
    Ok(())
}

/// Copies a wallet's folder as it is on disk at this moment.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Where a worker makes its folders: they are gone with its master's even when it is killed.
static HOME: OnceLock<PathBuf> = OnceLock::new();

/// Makes all folders of this process in this one.
pub(crate) fn live_in(home: PathBuf) {
    // A process has one home.
    let _ = HOME.set(home);
}

/// A folder in memory where the system has one: what is written there needs no disk.
pub(crate) fn shared_memory() -> io::Result<TempDir> {
    const MEMORY: &str = "/dev/shm";
    let mut builder = tempfile::Builder::new();
    builder.prefix("btc-simulate-");
    if let Some(home) = HOME.get() {
        return builder.tempdir_in(home);
    }
    match builder.tempdir_in(MEMORY) {
        Ok(home) => Ok(home),
        Err(_) => builder.tempdir(),
    }
}

fn create(dir: &Path, words: &str, shape: Shape) -> Result<(), Failure> {
    let new = NewWallet {
        network: Network::Regtest,
        birthday: shape.birthday,
        gap_limit: shape.gap_limit,
        change_type: shape.change_type,
        origin: Origin::Words {
            words: Secret::new(words.to_owned()),
            bip39_passphrase: Secret::new(String::new()),
            protection: Protection::PlainRegtestOnly,
        },
    };
    folder::create(dir, &new)?;
    Ok(())
}

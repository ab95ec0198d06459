//! Wallets that cannot be opened, or not wholly: secrets, folders, files, and others who have them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use btc::bitcoin::{Amount, ScriptBuf};
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::secret::Protection;
use btc::{
    AddressType, BitcoinResult, ErrorKind, Network, NodeConfig, ObservedWallet, Operation, Secret,
};
use btc_regtest::Chain;
use btc_tests::{Backend, Outcome, Reference, WalletFolder, compare, failure, wallet_config};
use serde_json::Value;
use tempfile::TempDir;

use crate::child::{Said, Work, Worker};
use crate::reorg::stranger;
use crate::sides::Sides;

/// A fault that one implementation meets.
pub(crate) type Fault = fn(Backend, &mut Chain<'_>, &NodeConfig) -> Outcome;

pub(crate) const FAULTS: [(&str, Fault); 8] = [
    ("a_wrong_passphrase_is_told", wrong_passphrase),
    ("a_locked_wallet_watches", locked_wallet),
    ("a_wallet_of_another_network_is_refused", another_network),
    ("a_folder_without_a_wallet_is_left_alone", no_wallet),
    ("what_a_newer_version_wrote_is_refused", newer_version),
    (
        "damaged_files_are_named_and_can_be_made_anew",
        damaged_files,
    ),
    ("who_has_the_wallet_open_is_told", open_elsewhere),
    ("a_restored_wallet_gives_out_unused_addresses", restored),
];

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const VALUE_SAT: u64 = 400_000;
/// More indices than a case gives out, and the gap.
const RANGE: u32 = 40;

type Opened = Arc<dyn ObservedWallet>;

/// Opens a wallet by one of the implementations, with further variables.
pub(crate) fn open(
    dir: &Path,
    backend: Backend,
    node: &NodeConfig,
    more: &[(&str, &str)],
) -> BitcoinResult<Opened> {
    let python_mode = match backend {
        Backend::PythonWorker => "worker",
        _ => "embedded",
    };
    let mut all = vec![
        ("PYTHON_MODE", python_mode),
        ("WALLET_SELECTION", "largest-first"),
    ];
    all.extend(more);
    btc::connect_observed(&wallet_config(dir, node, &all), backend.implementation())
}

/// The file in which an implementation keeps what it learned.
fn books(backend: Backend) -> &'static str {
    match backend {
        Backend::Rust => "rust.sqlite",
        _ => "python.sqlite",
    }
}

/// A wallet's folder with its secret encrypted.
fn sealed(network: Network, birthday: u32) -> Result<(TempDir, PathBuf), btc::BitcoinError> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let dir = home.path().join("wallet");
    let secret = |text: &str| Secret::new(text.to_owned());
    folder::create(
        &dir,
        &NewWallet {
            network,
            birthday,
            gap_limit: 10,
            change_type: AddressType::P2tr,
            origin: Origin::Words {
                words: secret(WORDS),
                bip39_passphrase: secret(""),
                protection: Protection::Passphrase {
                    passphrase: secret("open sesame"),
                    // It guards nothing.
                    work_factor: 2,
                },
            },
        },
    )?;
    Ok((home, dir))
}

fn wrong_passphrase(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let (_home, dir) = sealed(Network::Regtest, chain.height())?;
    let with = |passphrase| open(&dir, backend, node, &[("WALLET_PASSPHRASE", passphrase)]);
    let error = failure(with("open says me"), ErrorKind::Auth, "a wrong passphrase");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("open says me"), "{shown}");
    // Nothing is left of the attempt.
    let wallet = with("open sesame")?;
    failure(
        wallet.create_transaction(vec![(stranger(), 1_000)], 1),
        ErrorKind::Rejected,
        "unlocked and empty",
    );
    Ok(())
}

fn locked_wallet(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let (_home, dir) = sealed(Network::Regtest, chain.height())?;
    let wallet = open(&dir, backend, node, &[])?;
    let address = wallet.generate_address(AddressType::P2wpkh)?;
    pay(chain, &[address.script_pubkey])?;
    assert_eq!(wallet.get_balance()?, VALUE_SAT);
    let snapshot = wallet.snapshot()?;
    let requests = [
        ("a payment", vec![(stranger(), 10_000)], 2),
        ("nothing", vec![], 2),
        ("no address", vec![("nowhere".to_owned(), 10_000)], 2),
        ("no fee rate", vec![(stranger(), 10_000)], 0),
        ("more than there is", vec![(stranger(), 10 * VALUE_SAT)], 2),
    ];
    for (what, outputs, fee_rate) in requests {
        let planned = wallet.plan_transaction(&outputs, fee_rate, &snapshot);
        failure(planned, ErrorKind::Unsupported, what);
        let created = wallet.create_transaction(outputs, fee_rate);
        let error = failure(created, ErrorKind::Unsupported, what);
        assert_eq!(error.operation(), Operation::CreateTransaction);
    }
    let next = wallet.generate_address(AddressType::P2wpkh)?.index;
    assert_eq!(next, Some(1));
    drop(wallet);
    // Nothing was reserved on the way.
    let wallet = open(&dir, backend, node, &[("WALLET_PASSPHRASE", "open sesame")])?;
    wallet.create_transaction(vec![(stranger(), 10_000)], 2)?;
    Ok(())
}

fn another_network(backend: Backend, _: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let (_home, dir) = sealed(Network::Signet, 0)?;
    let error = failure(
        open(&dir, backend, node, &[]),
        ErrorKind::Configuration,
        "a wallet of signet at a node of regtest",
    );
    let text = error.to_string();
    assert!(
        text.contains("signet") && text.contains("regtest"),
        "{text}"
    );
    Ok(())
}

fn no_wallet(backend: Backend, _: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = TempDir::new()?;
    for dir in [home.path().join("nothing"), home.path().to_owned()] {
        failure(
            open(&dir, backend, node, &[]),
            ErrorKind::Configuration,
            "no wallet",
        );
    }
    assert_eq!(home.path().read_dir()?.count(), 0, "something was made");
    Ok(())
}

fn newer_version(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let dir = wallet.path();
    open(dir, backend, node, &[])?.get_balance()?;
    let refused = |what: &str| -> Outcome {
        let error = failure(
            open(dir, backend, node, &[]),
            ErrorKind::Configuration,
            what,
        );
        let text = error.to_string();
        assert!(text.contains("newer version"), "{what}: {text}");
        Ok(())
    };
    for file in [books(backend), "reservations.sqlite"] {
        let path = dir.join(file);
        run_sql(&path, "UPDATE meta SET value = '3' WHERE key = 'schema'")?;
        refused(file)?;
        run_sql(&path, "UPDATE meta SET value = '2' WHERE key = 'schema'")?;
        open(dir, backend, node, &[])?.get_balance()?;
    }
    let path = dir.join("wallet.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&path)?)?;
    json["format"] = 2.into();
    fs::write(&path, json.to_string())?;
    refused("wallet.json")
}

fn damaged_files(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let dir = wallet.path();
    let reference = Reference::new(chain.node(), &wallet, RANGE)?;
    let opened = open(dir, backend, node, &[])?;
    let script = opened.generate_address(AddressType::P2tr)?.script_pubkey;
    pay(chain, &[script])?;
    opened.create_transaction(vec![(stranger(), 10_000)], 2)?;
    drop(opened);
    for file in [books(backend), "reservations.sqlite", "wallet.json"] {
        let path = dir.join(file);
        let good = fs::read(&path)?;
        let half = good[..good.len() / 2].to_vec();
        let mut header = good.clone();
        header[..16].fill(b'x');
        for (what, bytes) in [
            ("other bytes", vec![b'x'; good.len()]),
            ("half of it", half),
            ("another beginning", header),
        ] {
            fs::write(&path, bytes)?;
            let opened = open(dir, backend, node, &[]);
            // A database that is cut off may be found so when it is read.
            let used = opened.and_then(|opened| {
                opened.get_balance()?;
                opened.generate_address(AddressType::P2pkh)
            });
            let error = failure(used, ErrorKind::Configuration, &format!("{what} in {file}"));
            let text = error.to_string();
            assert!(text.contains(file), "{what} in {file}: {text}");
        }
        fs::write(&path, &good)?;
    }
    // What was learned can be learned again, and nothing is promised twice on the way.
    fs::remove_file(dir.join(books(backend)))?;
    let opened = open(dir, backend, node, &[])?;
    compare(
        "anew",
        &opened.wallet_state()?,
        &reference.state(chain.node())?,
    )?;
    failure(
        opened.create_transaction(vec![(stranger(), 10_000)], 2),
        ErrorKind::Rejected,
        "the only coin is reserved",
    );
    Ok(())
}

fn open_elsewhere(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let dir = wallet.path();
    let refused = |what: &str, holder: Option<u32>| {
        let error = failure(open(dir, backend, node, &[]), ErrorKind::Unavailable, what);
        let text = error.to_string();
        let expected = holder.map_or("process".to_owned(), |id| format!("process {id}"));
        assert!(text.contains(&expected), "{what}: {text}");
    };
    // A second handle in this process.
    let first = open(dir, backend, node, &[])?;
    let holder = (backend != Backend::PythonWorker).then(std::process::id);
    refused("a second handle", holder);
    first.generate_address(AddressType::P2tr)?;
    // The other implementation has locks of its own.
    let other = match backend {
        Backend::Rust => Backend::PythonEmbedded,
        _ => Backend::Rust,
    };
    let index = open(dir, other, node, &[])?
        .generate_address(AddressType::P2tr)?
        .index;
    assert_eq!(index, Some(1));
    drop(first);
    drop(open(dir, backend, node, &[])?);
    // Another process.
    let btc::Credentials::CookieFile(cookie) = &node.credentials else {
        return Err("the node has no cookie".into());
    };
    let worker = Worker::spawn(&Work {
        dir: dir.to_owned(),
        url: node.url.clone(),
        cookie: cookie.clone(),
        seed: 1,
        backends: vec![backend.name().to_owned()],
        calls: None,
        locks: false,
        orders: None,
    })?;
    let said = worker.line(std::time::Duration::from_mins(1));
    assert!(matches!(said, Ok(Some((_, Said::Open)))), "{said:?}");
    refused(
        "another process",
        (backend != Backend::PythonWorker).then(|| worker.id()),
    );
    Ok(())
}

/// Which addresses were used before is known only when the chain was looked at.
fn restored(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let birthday = chain.height();
    let original = WalletFolder::random(birthday)?;
    let opened = open(original.path(), backend, node, &[])?;
    let mut scripts = Vec::new();
    for _ in 0..3 {
        scripts.push(opened.generate_address(AddressType::P2wpkh)?.script_pubkey);
    }
    pay(chain, &scripts)?;
    drop(opened);
    let twin = original.again(birthday)?;
    let opened = open(twin.path(), backend, node, &[])?;
    let address = opened.generate_address(AddressType::P2wpkh)?;
    assert_eq!(address.index, Some(3), "an address that was used before");
    // In shadow mode the primary gives out, on either side.
    drop(opened);
    if backend == Backend::Rust {
        for backend in [Backend::ShadowRustFirst, Backend::ShadowPythonFirst] {
            let twin = original.again(birthday)?;
            let sides = Sides::open(&twin, backend, node)?;
            let address = sides.bitcoin().generate_address(AddressType::P2wpkh)?;
            assert_eq!(address.index, Some(3), "{}", backend.name());
            sides.close()?;
        }
    }
    Ok(())
}

/// Somebody pays these, which are confirmed then.
pub(crate) fn pay(chain: &mut Chain<'_>, scripts: &[ScriptBuf]) -> Outcome {
    let outputs = scripts.iter().cloned();
    let outputs: Vec<_> = outputs
        .map(|script| (script, Amount::from_sat(VALUE_SAT)))
        .collect();
    chain.pay(&outputs, 2)?;
    chain.mine(1)?;
    Ok(())
}

/// Changes a database that nobody has open. Python's copy of SQLite serves, since this program
/// links none of its own.
fn run_sql(path: &Path, sql: &str) -> Outcome {
    const SCRIPT: &str = "import sqlite3, sys\n\
                          with sqlite3.connect(sys.argv[1]) as it: it.execute(sys.argv[2])";
    let status = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(path)
        .arg(sql)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{sql} on {}: {status}", path.display()).into())
    }
}

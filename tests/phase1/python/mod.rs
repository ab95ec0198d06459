//! A Python class that is not well: raising, hanging, lying or dying; and one that is.

mod ends;
mod lanes;
mod rough;
mod start;
mod trust;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use btc::python::{PythonBitcoin, PythonConfig};
use btc::{BitcoinInterface, BitcoinResult, Credentials, ErrorKind, NodeConfig, Secret};
use btc_tests::{
    Backend, FakeNode, Fault, Outcome, Suite, bounded, eventually, failure, healthy, is_alive,
    python_config,
};
use tempfile::TempDir;

/// A fault of one mode alone.
type Trial = fn() -> Outcome;

const FAULTS: &[(&str, Fault)] = &[
    ("raises", raises),
    ("returns_the_wrong_type", wrong_type),
    ("returns_too_much", huge),
    ("has_no_methods", no_methods),
    ("exits", exits),
    ("hangs", hangs),
    ("hangs_on_the_only_lane", hangs_on_the_only_lane),
    ("own_class", own_class),
    ("secrets_in_exceptions", secrets),
];

const LIMIT: Duration = Duration::from_mins(1);

pub(crate) fn add(suite: &mut Suite) {
    for backend in [Backend::PythonEmbedded, Backend::PythonWorker] {
        for (name, fault) in [ends::OF_PROGRAMS, trust::OF_PROGRAMS]
            .into_iter()
            .flatten()
        {
            suite.add(format!("python::{name}::{}", backend.name()), move || {
                fault(backend)
            });
        }
        let elsewhere = [start::FAULTS, lanes::FAULTS, ends::FAULTS];
        for (name, fault) in elsewhere.into_iter().flatten().chain(FAULTS) {
            suite.add(format!("python::{name}::{}", backend.name()), move || {
                bounded(LIMIT, name, move || fault(backend))
            });
        }
    }
    suite.skip(
        "python::dies::python-embedded",
        "it would end this process, as native code that crashes does; worker mode is for that",
    );
    suite.add("python::dies::python-worker", || {
        bounded(LIMIT, "dies", dies)
    });
    rough::add(suite);
    for (name, trial) in trust::OF_NODES {
        suite.add(format!("children::{name}"), trial);
    }
    for (name, trial) in trust::EMBEDDED {
        suite.add(format!("python::{name}::python-embedded"), trial);
    }
    for (name, trial) in trust::OF_WORKERS {
        suite.add(format!("python::{name}::python-worker"), trial);
    }
    for (name, trial) in lanes::OF_WORKERS.iter().chain(ends::OF_WORKERS) {
        suite.add(format!("python::{name}::python-worker"), move || {
            bounded(LIMIT, name, trial)
        });
    }
    suite.add(
        "python::environment_without_packages::python-worker",
        || bounded(LIMIT, "without packages", start::without_packages),
    );
}

/// The planted class of this name, which needs no node.
fn planted(backend: Backend, class: &str) -> PythonConfig {
    let node = NodeConfig::new(btc::Network::Regtest);
    PythonConfig {
        backend: format!("btc_legacy.planted:{class}"),
        ..python_config(&node, backend.mode())
    }
}

/// A module of our own in a folder of our own. Its name holds the mode, since the embedded
/// interpreter keeps every module that it has seen.
fn written(
    backend: Backend,
    folder: &Path,
    name: &str,
    source: &str,
) -> std::io::Result<PythonConfig> {
    let module = format!("{name}_{}", backend.name().replace('-', "_"));
    std::fs::write(folder.join(format!("{module}.py")), source)?;
    let mut config = planted(backend, "NoMethods");
    config.backend = format!("{module}:Own");
    config.search_path = vec![folder.to_owned()];
    Ok(config)
}

fn connect(config: &PythonConfig) -> BitcoinResult<Arc<PythonBitcoin>> {
    PythonBitcoin::connect(config).map(Arc::new)
}

/// The planted classes still answer this after a call that failed.
fn assert_alive(bitcoin: &PythonBitcoin) {
    assert_eq!(bitcoin.estimate_fee(1).expect("it answers what it can"), 1);
}

fn raises(backend: Backend) -> Outcome {
    let bitcoin = connect(&planted(backend, "Raises"))?;
    let error = failure(bitcoin.get_block_height(), ErrorKind::Internal, "raises");
    assert!(error.message().contains("planted fault"), "{error}");
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    assert!(causes[0].contains("builtins.RuntimeError"), "{causes:?}");
    let traceback = causes.last().ok_or("no traceback")?;
    assert!(
        traceback.contains("Traceback") && traceback.contains("planted.py"),
        "{traceback}"
    );
    assert_alive(&bitcoin);
    Ok(())
}

fn wrong_type(backend: Backend) -> Outcome {
    for class in ["WrongType", "NotANumber"] {
        let bitcoin = connect(&planted(backend, class))?;
        let answer = bitcoin.get_block_height();
        let error = failure(answer, ErrorKind::InvalidResponse, class);
        assert!(error.message().contains(class), "which method: {error}");
        assert_alive(&bitcoin);
    }
    Ok(())
}

fn huge(backend: Backend) -> Outcome {
    let bitcoin = connect(&planted(backend, "Huge"))?;
    let kind = ErrorKind::InvalidResponse;
    let error = failure(bitcoin.get_block_height(), kind, "100 MB of digits");
    assert!(error.to_string().len() < 4_000);
    let answer = bitcoin.get_transaction(&"00".repeat(32));
    let error = failure(answer, kind, "a script of 50 MB");
    assert!(error.to_string().len() < 4_000);
    assert_alive(&bitcoin);
    Ok(())
}

fn no_methods(backend: Backend) -> Outcome {
    let bitcoin = connect(&planted(backend, "NoMethods"))?;
    let kind = ErrorKind::Unsupported;
    let hash = "00".repeat(32);
    let error = failure(bitcoin.get_block_height(), kind, "height");
    assert!(error.message().contains("get_block_height"), "{error}");
    failure(bitcoin.get_transaction(&hash), kind, "transaction");
    failure(bitcoin.get_block(&hash), kind, "block");
    failure(bitcoin.estimate_fee(1), kind, "fee");
    failure(bitcoin.get_balance(), kind, "balance");
    failure(
        bitcoin.generate_address(btc::AddressType::ALL[0]),
        kind,
        "address",
    );
    failure(bitcoin.create_transaction(Vec::new(), 1), kind, "create");
    Ok(())
}

fn exits(backend: Backend) -> Outcome {
    let bitcoin = connect(&planted(backend, "Exits"))?;
    let error = failure(bitcoin.get_block_height(), ErrorKind::Internal, "exits");
    assert!(error.message().contains("planted exit"), "{error}");
    assert_alive(&bitcoin);
    Ok(())
}

fn dies() -> Outcome {
    let bitcoin = connect(&planted(Backend::PythonWorker, "Dies"))?;
    for _ in 0..3 {
        failure(bitcoin.get_block_height(), ErrorKind::Unavailable, "dies");
        assert_alive(&bitcoin);
    }
    Ok(())
}

/// A class that says in which process it hangs.
const HANGING: &str = "
import os, time
class Own:
    def __init__(self, config):
        pass
    def get_block_height(self):
        with open(PLACE, 'w') as file:
            file.write(str(os.getpid()))
        time.sleep(3600)
    def estimate_fee(self, target_blocks):
        return 1
";

fn hanging(backend: Backend, folder: &Path, lanes: usize) -> std::io::Result<PythonConfig> {
    let place = folder.join("pid");
    let source = format!("PLACE = {:?}\n{HANGING}", place.display().to_string());
    let mut config = written(backend, folder, &format!("hanging_{lanes}"), &source)?;
    // Enough for a new worker on a machine that is busy with other trials.
    config.timeout = Some(Duration::from_secs(4));
    config.max_lanes = lanes;
    Ok(config)
}

fn hangs(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let bitcoin = connect(&hanging(backend, folder.path(), 2)?)?;
    let error = failure(bitcoin.get_block_height(), ErrorKind::Timeout, "hangs");
    assert!(error.message().contains("PYTHON_TIMEOUT_SECS"), "{error}");
    assert_alive(&bitcoin);
    let pid: u32 = std::fs::read_to_string(folder.path().join("pid"))?.parse()?;
    if backend == Backend::PythonWorker {
        assert_ne!(pid, std::process::id());
        eventually("the hanging worker is gone", || !is_alive(pid));
    } else {
        assert_eq!(pid, std::process::id());
    }
    Ok(())
}

/// A process can be ended and replaced; a thread inside this process can only be waited for.
fn hangs_on_the_only_lane(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let bitcoin = connect(&hanging(backend, folder.path(), 1)?)?;
    failure(bitcoin.get_block_height(), ErrorKind::Timeout, "hangs");
    if backend == Backend::PythonWorker {
        assert_alive(&bitcoin);
    } else {
        let answer = bitcoin.estimate_fee(1);
        let error = failure(answer, ErrorKind::Unavailable, "no lane");
        assert!(error.message().contains("busy"), "{error}");
    }
    Ok(())
}

/// What a team brings: dictionaries, its own exceptions, a method that is not there.
const OWN: &str = "
from btc_legacy.errors import BitcoinError, ErrorKind

class Own:
    def __init__(self, config):
        self.url = config.rpc_url
        print('a line that must not get between the frames', flush=True)

    def get_block_height(self):
        return 840_000

    def get_block(self, block_hash):
        return []

    def get_transaction(self, txid):
        if txid == 'ff' * 32:
            raise BitcoinError(ErrorKind.NOT_FOUND, f'not at {self.url}')
        if txid == 'ee' * 32:
            raise KeyError(txid)
        return {
            'txid': txid, 'wtxid': txid, 'version': 2, 'lock_time': 0,
            'inputs': [{'previous_output': '11' * 32 + ':1', 'script_sig': '', 'sequence': 7,
                        'witness': ['', 'AB']}],
            'outputs': [{'value_sat': 21, 'script_pubkey': '51'}],
            'size': 100, 'weight': 400,
        }

    def get_balance(self):
        return 2 ** 64 - 1
";

fn own_class(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let config = written(backend, folder.path(), "own", OWN)?;
    let bitcoin = connect(&config)?;
    assert_eq!(bitcoin.get_block_height()?, 840_000);
    assert_eq!(bitcoin.get_balance()?, u64::MAX);
    assert_eq!(bitcoin.get_block(&"00".repeat(32))?, []);
    let txid = "ab".repeat(32);
    let transaction = bitcoin.get_transaction(&txid)?;
    assert_eq!(transaction.txid.to_string(), txid);
    assert_eq!(transaction.inputs[0].previous_output.vout, 1);
    assert_eq!(transaction.inputs[0].witness.to_vec(), [vec![], vec![0xab]]);
    assert_eq!(transaction.outputs[0].value_sat, 21);
    assert_eq!(transaction.fee_sat, None);
    let answer = bitcoin.get_transaction(&"ff".repeat(32));
    let error = failure(answer, ErrorKind::NotFound, "its own kind");
    assert!(error.message().contains(&config.node.url), "{error}");
    let answer = bitcoin.get_transaction(&"ee".repeat(32));
    failure(answer, ErrorKind::Internal, "a KeyError");
    let answer = bitcoin.estimate_fee(6);
    failure(answer, ErrorKind::Unsupported, "a method it lacks");
    Ok(())
}

/// Neither message nor traceback may show the password, whatever the class prints.
fn secrets(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let source = "
class Own:
    def __init__(self, config):
        self.config = config
    def get_block_height(self):
        raise RuntimeError(f'http://{self.config.rpc_user}:{self.config.rpc_password}@host')
";
    let node = FakeNode::start(healthy);
    let mut config = written(backend, folder.path(), "telling", source)?;
    config.node = NodeConfig {
        credentials: Credentials::UserPassword {
            user: "someone".to_owned(),
            password: Secret::new("not-to-be-seen".to_owned()),
        },
        ..node.config()
    };
    let bitcoin = connect(&config)?;
    let error = failure(bitcoin.get_block_height(), ErrorKind::Internal, "tells");
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    let text = format!("{error} {error:?} {causes:?} {config:?}");
    assert!(text.contains("http://someone:***@host"), "{text}");
    assert!(!text.contains("not-to-be-seen"), "{text}");
    Ok(())
}

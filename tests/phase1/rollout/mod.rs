//! `Rollout` and `Fallback` over a real node: planted faults end a roll-out, honest sides never.

mod limits;
mod money;
mod status;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use btc::python::{PythonBitcoin, PythonConfig, PythonMode};
use btc::rust::RustBitcoin;
use btc::shadow::record::{Event, Line};
use btc::shadow::rollout::{Consent, Control, Judge, Limits, Salt, StateFile};
use btc::shadow::sink::MemorySink;
use btc::shadow::{Fallback, OffPath, Policy, Rollout, Shadow};
use btc::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, ErrorKind, Operation,
};
use btc_tests::{
    Backend, FakeNode, Fixture, Outcome, Program, Suite, eventually, failure, healthy,
    python_config,
};
use tempfile::TempDir;

use crate::Phase;

/// A class behind one of the two sides, and where it must be caught; nowhere without a fault.
const CLASSES: &[(&str, Option<&str>)] = &[
    ("backend:LegacyBackend", None),
    ("mutants.reads:OffByOneSat", Some("value_sat")),
    ("mutants.reads:DroppedWitness", Some("witness.length")),
    ("mutants.reads:ReversedTxid", Some("txid")),
    // A height is no money.
    ("mutants.blocks:StaleTip", None),
];

type OverNode = fn(&Fixture) -> Outcome;

const OVER_NODE: &[(&str, OverNode)] = &[
    ("reads_fail_over_to_the_side_that_answers", fails_over),
    ("the_program_sets_and_follows_the_share", program),
    ("status_shows_share_and_rollback", status::shown),
];

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    for (class, path) in CLASSES {
        let name = class.rsplit(':').next().unwrap_or(class);
        for (is_off_path, way) in [(false, "in-line"), (true, "off-path")] {
            for faulty in SIDES {
                let phase = Arc::clone(phase);
                suite.add(format!("rollout::{name}::{faulty}::{way}"), move || {
                    phase.reading(|fixture| judged(fixture, class, faulty, is_off_path, *path))
                });
            }
        }
    }
    for (name, trial) in OVER_NODE {
        let phase = Arc::clone(phase);
        suite.add(format!("rollout::{name}"), move || phase.reading(trial));
    }
    suite.add("rollout::configured_limits_roll_back", limits::configured);
    suite.add(
        "rollout::both_sides_pay_from_one_wallet_in_turn".to_owned(),
        money::pays,
    );
}

const SIDES: [BitcoinImplementationType; 2] = [
    BitcoinImplementationType::Python,
    BitcoinImplementationType::Rust,
];

/// A side under another name, so that a planted fault can be on either.
struct Named(Arc<dyn BitcoinInterface>, BitcoinImplementationType);

impl BitcoinInterface for Named {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.0.get_transaction(txid)
    }
    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.0.get_block(hash)
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.0.get_block_height()
    }
    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.0.generate_address(address_type)
    }
    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.0.create_transaction(outputs, fee_rate)
    }
    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.0.broadcast_transaction(transaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        self.0.get_balance()
    }
    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.0.estimate_fee(target_blocks)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.1
    }
}

const JUMP: Consent = Consent {
    to_jump: true,
    after_rollback: false,
};

fn state_at(folder: &TempDir, percent: u8) -> BitcoinResult<StateFile> {
    let file = StateFile::new(folder.path().join("rollout.json"));
    file.open()?;
    file.update(|state| state.set(percent, JUMP, "the test wants it"))?;
    Ok(file)
}

/// A key below or above half of the buckets.
fn key(salt: Salt, is_rust: bool) -> Result<String, &'static str> {
    (0..1000)
        .map(|number| format!("customer-{number}"))
        .find(|key| (salt.bucket(key) < 5_000) == is_rust)
        .ok_or("half of them are")
}

/// Reads the chain at 50 %, with a class behind one side: it is rolled back at the first wrong
/// amount, and not before.
fn judged(
    fixture: &Fixture,
    class: &str,
    faulty: BitcoinImplementationType,
    is_off_path: bool,
    path: Option<&str>,
) -> Outcome {
    let config = PythonConfig {
        backend: format!("btc_legacy.{class}"),
        ..python_config(&fixture.config(), PythonMode::Embedded)
    };
    let planted: Arc<dyn BitcoinInterface> = Arc::new(PythonBitcoin::connect(&config)?);
    let honest = fixture.backends.real(Backend::Rust)?;
    let [python, rust] = SIDES.map(|side| -> Arc<dyn BitcoinInterface> {
        let inner = if side == faulty { &planted } else { &honest };
        Arc::new(Named(Arc::clone(inner), side))
    });
    let folder = TempDir::new()?;
    let file = state_at(&folder, 50)?;
    let control = Control::open(file.clone(), None)?;
    let judge = Arc::new(Judge::new(Arc::clone(&control), Limits::default()));
    let route = |primary: &Arc<dyn BitcoinInterface>, secondary: &Arc<dyn BitcoinInterface>| {
        let policy = Policy {
            recheck_after_ms: vec![1],
        };
        let (primary, secondary) = (Arc::clone(primary), Arc::clone(secondary));
        let sink = Box::new(MemorySink::default());
        let shadow =
            Shadow::new(primary, secondary, policy, sink, true).watched_by(vec![judge.clone()]);
        if is_off_path {
            shadow.off_path(OffPath::default()).map(Arc::new)
        } else {
            Ok(Arc::new(shadow))
        }
    };
    let routes = [route(&python, &rust)?, route(&rust, &python)?];
    let [python_first, rust_first] = routes.clone();
    let rollout = Rollout::new(Arc::clone(&control), python_first, rust_first, "test");

    let txids: Vec<_> = fixture.summary.kinds.values().flatten().collect();
    let mut after_rollback = 0;
    for txid in txids.iter().map(ToString::to_string) {
        let is_over = control.percent() == 0;
        let found = rollout.get_transaction(&txid)?;
        if is_over {
            after_rollback += 1;
            assert_eq!(found, python.get_transaction(&txid)?, "python answers");
        }
        rollout.get_block_height()?;
    }
    let state = || file.read();
    if path.is_some() {
        eventually("it is rolled back", || control.percent() == 0);
        assert!(is_off_path || after_rollback > 0, "at once, in line");
    }
    // Off the path, everything is judged when the shadows have ended.
    drop(rollout);
    drop(routes);
    let state = state()?;
    match path {
        Some(path) => {
            assert_eq!((state.percent, state.is_rolled_back), (0, true));
            let is_named = state.reason.contains("mismatch in get_transaction at ");
            assert!(is_named && state.reason.contains(path), "{}", state.reason);
        }
        None => assert_eq!((state.percent, state.is_rolled_back), (50, false)),
    }
    Ok(())
}

/// Rust's node is gone, Python's is there.
fn fails_over(fixture: &Fixture) -> Outcome {
    let gone = FakeNode::start(healthy);
    let rust: Arc<dyn BitcoinInterface> = Arc::new(RustBitcoin::connect(&gone.config())?);
    drop(gone);
    let python = fixture.backends.real(Backend::PythonEmbedded)?;
    failure(
        rust.get_block_height(),
        ErrorKind::Unavailable,
        "a node that is gone",
    );
    let fallback = Fallback::new(Arc::clone(&rust), Arc::clone(&python));
    assert_eq!(fallback.get_block_height()?, python.get_block_height()?);
    let hash = fixture.block_hashes()?[1].to_string();
    assert_eq!(fallback.get_block(&hash)?, python.get_block(&hash)?);
    let counts = fallback.counts();
    assert_eq!(counts.answered(Operation::GetBlockHeight), 1);
    assert_eq!(
        (counts.answered(Operation::GetBlock), counts.total()),
        (1, 2)
    );
    // Sending goes to the primary or nowhere.
    let txid = fixture.summary.kinds.values().flatten().next();
    let known = python.get_transaction(&txid.ok_or("a transaction")?.to_string())?;
    let sent = fallback.broadcast_transaction(&known);
    assert!(sent.is_err_and(|error| error.kind().is_transport()));
    assert_eq!(counts.total(), 2);
    // Neither: what the other one says is at hand.
    let nobody = Fallback::new(rust, fixture.backends.real(Backend::Rust)?);
    let error = failure(
        nobody.get_transaction(&"ff".repeat(32)),
        ErrorKind::Unavailable,
        "an unknown transaction",
    );
    assert!(error.to_string().contains("not_found"), "{error}");
    Ok(())
}

/// The verbs over a state file, and a program that follows it.
fn program(fixture: &Fixture) -> Outcome {
    let folder = TempDir::new()?;
    let file = folder.path().join("rollout.json");
    let log = folder.path().join("shadow.log");
    let program = |arguments: &str| {
        Program::new(arguments)
            .env("ROLLOUT_FILE", &file)
            .env("LOG_FILE", &log)
            .node(&fixture.config())
    };
    Program::new("rollout")
        .run()
        .code(3)
        .says(&["ROLLOUT_FILE"]);
    program("rollout").run().code(3).says(&["no state yet"]);
    program("rollout set 1").run().code(3);
    let answers = |name: &str| {
        let status = program("status --json").run().code(0).json();
        assert_eq!(status["implementation"], name);
        assert_eq!(status["shadow_mode"], true);
    };
    answers("python");
    let json = |arguments: &str| program(arguments).run().code(0).json();
    assert_eq!(json("rollout --json")["state"]["percent"], 0);
    program("rollout set 100")
        .run()
        .code(2)
        .says(&["--jump", "1 %"]);
    let set = program("rollout set 1 --reason first").run().code(0);
    assert!(set.stdout.starts_with("0 % → 1 %"), "{set:?}");
    let held = program("rollout hold").run().code(0);
    assert!(held.stdout.starts_with("1 %, held; "), "{held:?}");
    program("rollout set 5").run().code(1).says(&["resume"]);
    program("rollout resume").run().code(0);
    assert_eq!(json("rollout set 100 --jump --json")["from_percent"], 1);
    answers("rust");
    program("rollout set 101").run().code(2);
    // Python by name overrules the file, Rust by name contradicts it.
    let overruled = program("status --json").env("PRIMARY_IMPL", "python");
    assert_eq!(overruled.run().code(0).json()["implementation"], "python");
    let contradicted = program("status").env("PRIMARY_IMPL", "rust");
    contradicted.run().code(3).says(&["ROLLOUT_FILE"]);
    // A fault ends it, and asks for a word before it goes on.
    let txid = fixture.summary.kinds.values().flatten().next();
    let tx = format!("tx {} --json", txid.ok_or("a transaction")?);
    let faulty = program(&tx).env("PYTHON_BACKEND", "btc_legacy.mutants.reads:OffByOneSat");
    faulty.run().code(0);
    let state = &json("rollout --json")["state"];
    assert_eq!(
        (&state["percent"], &state["is_rolled_back"]),
        (&0.into(), &true.into())
    );
    let status = program("rollout status").run().code(0).stdout;
    assert!(status.contains("rolled back automatically"), "{status}");
    assert!(
        status.contains("mismatch in get_transaction at outputs"),
        "{status}"
    );
    program("rollout set 1")
        .run()
        .code(2)
        .says(&["--after-rollback", "value_sat"]);
    program("rollout set 1 --after-rollback").run().code(0);
    let lines = lines(&log)?;
    let automatic = |line: &&Line| matches!(&line.event, Event::Rollout(it) if it.is_automatic);
    assert_eq!(lines.iter().filter(automatic).count(), 1);
    // A file that is damaged is refused, and made anew by a rollback alone.
    fs::write(&file, "{")?;
    for verb in ["rollout", "rollout set 5", "status"] {
        program(verb)
            .run()
            .code(3)
            .says(&["damaged", "btc rollout rollback"]);
    }
    let again = program("rollout rollback --reason again").run().code(0);
    let again = again.says(&["damaged", "made anew"]);
    assert!(again.stdout.starts_with("0 %; running"), "{again:?}");
    assert_eq!(json("rollout --json")["state"]["percent"], 0);
    Ok(())
}

/// The lines of a comparison log.
fn lines(log: &Path) -> Result<Vec<Line>, Box<dyn std::error::Error + Send + Sync>> {
    let text = fs::read_to_string(log)?;
    let lines = text.lines().filter(|line| !line.is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

//! A broadcast whose turn to be compared comes when another block has the tip's height.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use btc::bitcoin::Amount;
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Comparison, Event};
use btc::shadow::sink::MemorySink;
use btc::shadow::{OffPath, Policy, Shadow};
use btc::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BroadcastCheck, NodeConfig, ObservedWallet, Operation, PlannedTransaction, WalletSnapshot,
    WalletState, WalletTwin,
};
use btc_regtest::Chain;
use btc_tests::{Outcome, WalletFolder};

use crate::reorg::stranger;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Far more than any of this takes.
const LIMIT: Duration = Duration::from_mins(2);
const OPERATION: Operation = Operation::BroadcastTransaction;
const HONEST: &str = "btc_legacy.backend:LegacyBackend";
const NEVER_SENDS: &str = "btc_legacy.mutants.sending:NeverSends";

/// A twin that waits with its word on a broadcast until it may go on.
struct Held {
    twin: Arc<dyn ObservedWallet>,
    arrivals: SyncSender<SyncSender<()>>,
}

impl WalletTwin for Held {
    fn derive_address(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> BitcoinResult<BitcoinAddress> {
        self.twin.derive_address(address_type, index)
    }
    fn plan_transaction(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        self.twin.plan_transaction(outputs, fee_rate, snapshot)
    }
    fn check_broadcast(&self, bytes: &[u8]) -> BitcoinResult<BroadcastCheck> {
        let (go, may_go) = mpsc::sync_channel(1);
        // Nobody holds it any more once the test has ended.
        if self.arrivals.send(go).is_ok() {
            let _ = may_go.recv();
        }
        self.twin.check_broadcast(bytes)
    }
    fn wallet_state(&self) -> BitcoinResult<WalletState> {
        self.twin.wallet_state()
    }
    fn snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        self.twin.snapshot()
    }
}

/// Shadow mode over one wallet, off the caller's path.
struct Scene {
    shadow: Shadow,
    primary: Arc<dyn ObservedWallet>,
    sink: Arc<MemorySink>,
    arrivals: Receiver<SyncSender<()>>,
}

impl Scene {
    fn open(
        wallet: &WalletFolder,
        node: &NodeConfig,
        class: &str,
        roles: [BitcoinImplementationType; 2],
    ) -> BitcoinResult<Self> {
        let variables = [
            ("WALLET_SELECTION", "largest-first"),
            ("PYTHON_BACKEND", class),
        ];
        let config = wallet.config(node, &variables);
        let [ours, theirs] = roles.map(|role| btc::connect_observed(&config, role));
        let (primary, secondary) = (ours?, theirs?);
        let (arrive, arrivals) = mpsc::sync_channel(64);
        let held = Arc::new(Held {
            twin: Arc::clone(&secondary),
            arrivals: arrive,
        });
        let sink = Arc::new(MemorySink::default());
        let policy = Policy {
            recheck_after_ms: vec![50, 200],
        };
        let settings = OffPath {
            timeout: LIMIT,
            look_every: Duration::ZERO,
            report_every: Duration::ZERO,
            ..OffPath::default()
        };
        let log = Box::new(Arc::clone(&sink));
        let shadow = Shadow::new(primary.clone(), secondary, policy, log, true);
        let twin = Arc::clone(&primary) as Arc<dyn WalletTwin>;
        let shadow = shadow.with_wallet(primary.clone(), held, Some(twin));
        Ok(Self {
            shadow: shadow.off_path(settings)?,
            primary,
            sink,
            arrivals,
        })
    }

    /// Builds a payment and sends it: the primary answers while the secondary waits.
    fn pay(&self) -> Outcome {
        self.shadow.get_block_height()?;
        let outputs = vec![(stranger(), 40_000)];
        let transaction = self.shadow.create_transaction(outputs, 3)?;
        let txid = self.shadow.broadcast_transaction(&transaction)?;
        assert_eq!(txid, transaction.txid.to_string());
        Ok(())
    }

    /// Lets the secondary go on until every call has its verdict: that on the broadcast.
    fn judge(self) -> Result<Comparison, Failure> {
        let books = self.shadow.books();
        let started = Instant::now();
        while !books.counts().close() {
            if started.elapsed() > LIMIT {
                return Err(format!("calls without a verdict: {:?}", books.counts()).into());
            }
            if let Ok(go) = self.arrivals.recv_timeout(Duration::from_millis(5)) {
                // It waits for nothing else.
                let _ = go.send(());
            }
        }
        assert!(self.shadow.finish(LIMIT));
        drop(self.shadow);
        let counts = books.counts();
        assert!(counts.close(), "{counts:?}");
        let lines = self.sink.lines().into_iter();
        let mut found = lines.filter_map(|line| match line.event {
            Event::Comparison(comparison) => Some(comparison),
            _ => None,
        });
        let found = found.find(|comparison| comparison.operation == OPERATION);
        Ok(found.ok_or("the broadcast has no line")?)
    }
}

pub(crate) fn run(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    use BitcoinImplementationType::{Python, Rust};
    for roles in [[Python, Rust], [Rust, Python]] {
        thrown_out(chain, node, roles)?;
    }
    never_sent(chain, node, [Python, Rust])
}

/// Both nodes have thrown the payment out since, with the coin that it spent: another block of the
/// same height has that coin's own input go elsewhere.
fn thrown_out(
    chain: &mut Chain<'_>,
    node: &NodeConfig,
    roles: [BitcoinImplementationType; 2],
) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let scene = Scene::open(&wallet, node, HONEST, roles)?;
    let script = scene
        .primary
        .derive_address(AddressType::P2wpkh, 0)?
        .script_pubkey;
    let funding = chain.spend_to(&script, Amount::from_sat(100_000))?;
    chain.mine_transactions(std::slice::from_ref(&funding))?;
    let height = chain.height();
    scene.pay()?;

    let rival = chain.double_spend(&funding)?;
    chain.disconnect(1)?;
    chain.mine_transactions(&[rival])?;
    assert_eq!(chain.height(), height, "the same height, another block");
    let found = scene.judge()?;
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    let reason = "the chain moved, and both sides' nodes say the same now";
    assert_eq!(found.reason.as_deref(), Some(reason));
    Ok(())
}

/// On a chain that stands still, a payment that no node has was never sent.
fn never_sent(
    chain: &mut Chain<'_>,
    node: &NodeConfig,
    roles: [BitcoinImplementationType; 2],
) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let scene = Scene::open(&wallet, node, NEVER_SENDS, roles)?;
    let script = scene
        .primary
        .derive_address(AddressType::P2wpkh, 0)?
        .script_pubkey;
    let funding = chain.spend_to(&script, Amount::from_sat(100_000))?;
    chain.mine_transactions(&[funding])?;
    chain.reorg(1)?;
    scene.pay()?;
    let found = scene.judge()?;
    assert_eq!(found.verdict, Verdict::Mismatch, "{found:#?}");
    assert_eq!(found.differences[0].path, "verdict");
    Ok(())
}

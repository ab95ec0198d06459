//! `World`: a private Bitcoin Core, and Lightning nodes of ours over it.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use btc_iface::lightning::{
    Channel, ChannelHandle, ChannelSize, EventDetail, Health, InvoiceRequest, LightningBalances,
    LightningEvent, LightningInterface, Msat, NodeId, OpenChannel, PayInvoice, Payment,
    PaymentStatus,
};
use btc_iface::{Credentials, Network, NodeConfig, Secret};
use btc_lightning::{LightningConfig, LightningNode, NodeSeed};
use btc_regtest::{Node, RpcAuth};
use futures_lite::future::block_on;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const BTC: u64 = 100_000_000;
const USER: &str = "lightning";
const PASSWORD: &str = "only for a private node";
/// An address of no wallet in these tests.
const ELSEWHERE: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// The same, for blocks that must not be those of another chain.
pub(crate) const AWAY: &str = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry";
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `look` says yes.
pub(crate) fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) struct World {
    pub(crate) core: Node,
}

impl World {
    pub(crate) fn start() -> Self {
        let auth = RpcAuth::UserPassword {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let exe = std::env::var_os("BITCOIND_EXE");
        let exe = btc_regtest::exe::find(exe.as_deref().map(Path::new)).expect("a bitcoind");
        let core = Node::builder()
            .exe(exe)
            .auth(auth)
            // What ldk-node does without: no index, no REST.
            .txindex(false)
            .rest(false)
            .arg("-fallbackfee=0.00001")
            .start()
            .expect("a private node");
        let world = Self { core };
        world.mine(1);
        world
    }

    pub(crate) fn call(&self, method: &str, params: &[Value]) -> Value {
        self.core.call(method, params).expect("an answer")
    }

    pub(crate) fn mine(&self, blocks: u32) {
        self.mine_to(blocks, ELSEWHERE);
    }

    pub(crate) fn mine_to(&self, blocks: u32, address: &str) {
        self.call("generatetoaddress", &[json!(blocks), json!(address)]);
    }

    pub(crate) fn height(&self) -> u32 {
        let height = self.call("getblockcount", &[]);
        u32::try_from(height.as_u64().expect("a number")).expect("small")
    }

    pub(crate) fn node_config(&self) -> NodeConfig {
        NodeConfig {
            url: self.core.rpc_url(),
            credentials: Credentials::UserPassword {
                user: USER.to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
            },
            ..NodeConfig::new(Network::Regtest)
        }
    }

    /// A node with its own directory and port.
    pub(crate) fn ln(&self, name: &str) -> Ln {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = LightningConfig::new(dir.path().join("node"), self.node_config());
        config.listen = vec![format!("127.0.0.1:{}", free_port())];
        config.alias = Some(name.to_owned());
        let seed = seed(name);
        let node = LightningNode::start(config.clone(), seed.clone()).expect("a node");
        Ln {
            node: Some(node),
            config,
            seed,
            _dir: dir,
        }
    }

    /// Two nodes with money, and a channel from the first to the second.
    pub(crate) fn pair(&self, size_sat: u64, push_msat: u64) -> (Ln, Ln, ChannelHandle) {
        let (a, b) = (self.ln("alice"), self.ln("bob"));
        self.fund(&[&a, &b]);
        let handle = self.open(&a, &b, size_sat, push_msat);
        (a, b, handle)
    }

    /// Mines one block's reward to each, and as many as it takes to mature.
    pub(crate) fn fund(&self, nodes: &[&Ln]) {
        for ln in nodes {
            let address = block_on(ln.node().new_address()).expect("an address");
            self.call("generatetoaddress", &[json!(1), json!(address)]);
        }
        self.mine(100);
        self.synced(nodes);
        for ln in nodes {
            eventually("the reward can be spent", || {
                ln.balances().onchain_spendable_sat >= 25 * BTC
            });
        }
    }

    pub(crate) fn synced(&self, nodes: &[&Ln]) {
        let height = self.height();
        for ln in nodes {
            eventually("the node follows the chain", || ln.height() >= height);
        }
    }

    /// Opens a channel and waits until both sides can use it.
    pub(crate) fn open(&self, from: &Ln, to: &Ln, size_sat: u64, push_msat: u64) -> ChannelHandle {
        let handle = block_on(from.node().open_channel(OpenChannel {
            peer: to.id(),
            address: to.address(),
            size: ChannelSize::Sat(size_sat),
            push_msat: Msat::new(push_msat),
            is_announced: true,
            fees: None,
        }))
        .expect("an opening");
        self.confirm(from, to, handle);
        handle
    }

    /// The same between nodes that lose their connections: an opening that was being negotiated
    /// comes to nothing then, and is asked for again.
    pub(crate) fn open_again(&self, from: &Ln, to: &Ln, size_sat: u64) {
        eventually("a channel is opened", || {
            let request = OpenChannel {
                peer: to.id(),
                address: to.address(),
                size: ChannelSize::Sat(size_sat),
                push_msat: Msat::ZERO,
                is_announced: true,
                fees: None,
            };
            let Ok(handle) = block_on(from.node().open_channel(request)) else {
                return false;
            };
            let mut is_there = false;
            eventually("it is funded, or came to nothing", || {
                let Some(channel) = from.channel(handle) else {
                    return true;
                };
                let pool = self.mempool();
                is_there = channel
                    .funding
                    .is_some_and(|funding| pool.contains(&json!(funding.txid)));
                is_there
            });
            if is_there {
                self.confirm(from, to, handle);
            }
            is_there
        });
    }

    /// Waits for the funding in the mempool, mines it, and waits until both sides can use it.
    pub(crate) fn confirm(&self, from: &Ln, to: &Ln, handle: ChannelHandle) {
        eventually("the funding is in the mempool", || {
            let Some(channel) = from.channel(handle) else {
                let last = |ln: &Ln| ln.events().pop();
                unreachable!("it came to nothing: {:?}, {:?}", last(from), last(to));
            };
            channel
                .funding
                .is_some_and(|funding| self.mempool().contains(&json!(funding.txid)))
        });
        self.mine(6);
        self.synced(&[from, to]);
        eventually("the channel is usable", || {
            let channel = from.channel(handle);
            channel.is_some_and(|channel| {
                channel.is_usable
                    && to
                        .channels()
                        .iter()
                        .any(|other| other.channel_id == channel.channel_id && other.is_usable)
            })
        });
    }

    pub(crate) fn mempool(&self) -> Vec<Value> {
        let pool = self.call("getrawmempool", &[]);
        pool.as_array().cloned().unwrap_or_default()
    }

    /// The fees of all blocks.
    pub(crate) fn mined_fees_sat(&self) -> u64 {
        (1..=self.height())
            .map(|height| {
                let stats = self.call("getblockstats", &[json!(height), json!(["totalfee"])]);
                stats["totalfee"].as_u64().expect("satoshi")
            })
            .sum()
    }
}

pub(crate) fn seed(name: &str) -> NodeSeed {
    let mut bytes = [0x5a; 64];
    for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    NodeSeed::from_bytes(bytes.into())
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// A Lightning node that can be stopped and started again.
pub(crate) struct Ln {
    node: Option<LightningNode>,
    pub(crate) config: LightningConfig,
    pub(crate) seed: NodeSeed,
    _dir: TempDir,
}

impl Ln {
    pub(crate) fn node(&self) -> &LightningNode {
        self.node.as_ref().expect("running")
    }

    pub(crate) fn id(&self) -> NodeId {
        block_on(self.node().info()).expect("info").node_id
    }

    pub(crate) fn address(&self) -> String {
        self.config.listen[0].clone()
    }

    pub(crate) fn height(&self) -> u32 {
        block_on(self.node().info()).expect("info").height
    }

    pub(crate) fn health(&self) -> Health {
        block_on(self.node().info()).expect("info").health
    }

    pub(crate) fn balances(&self) -> LightningBalances {
        block_on(self.node().balances()).expect("balances")
    }

    pub(crate) fn channels(&self) -> Vec<Channel> {
        block_on(self.node().channels()).expect("channels")
    }

    pub(crate) fn channel(&self, handle: ChannelHandle) -> Option<Channel> {
        self.channels()
            .into_iter()
            .find(|channel| channel.handle == handle)
    }

    pub(crate) fn events(&self) -> Vec<LightningEvent> {
        block_on(self.node().events(0, u32::MAX)).expect("events")
    }

    pub(crate) fn saw(&self, what: impl Fn(&EventDetail) -> bool) -> usize {
        self.events()
            .iter()
            .filter(|event| what(&event.detail))
            .count()
    }

    pub(crate) fn invoice(&self, amount_msat: Option<u64>) -> String {
        let made = block_on(self.node().create_invoice(InvoiceRequest {
            amount_msat: amount_msat.map(Msat::new),
            description: "a coffee".to_owned(),
            is_description_hashed: false,
            expiry_seconds: 3_600,
            hold: None,
        }));
        made.expect("an invoice").invoice
    }

    /// Pays and waits for the end.
    pub(crate) fn pay(&self, invoice: &str, amount_msat: Option<u64>) -> Payment {
        let payment = block_on(self.node().pay_invoice(PayInvoice {
            invoice: invoice.to_owned(),
            amount_msat: amount_msat.map(Msat::new),
            max_fee_msat: None,
            key: None,
        }));
        self.end_of(&payment.expect("handed over"))
    }

    pub(crate) fn end_of(&self, payment: &Payment) -> Payment {
        let name = payment.key.clone().expect("a payment of ours");
        block_on(self.node().wait_payment(name, PATIENCE)).expect("an end")
    }

    pub(crate) fn paid(&self, invoice: &str, amount_msat: Option<u64>) -> Payment {
        let payment = self.pay(invoice, amount_msat);
        assert_eq!(payment.status, PaymentStatus::Succeeded, "{payment:?}");
        payment
    }

    pub(crate) fn stop(&mut self) {
        drop(self.node.take());
    }

    pub(crate) fn start(&mut self) {
        let node = LightningNode::start(self.config.clone(), self.seed.clone());
        self.node = Some(node.expect("it starts again"));
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }
}

//! A node, an oracle and two parties with wallets of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use btc::bitcoin::{Address, Script, Txid};
use btc::discreet::{Dlc, DlcConfig, Oracle, Parts, Seed, WalletFunding};
use btc::dlc::{
    ContractId, ContractState, ContractTerms, DlcInterface, DlcMessage, Event, EventKind,
    OracleInterface, Oracles, Payout,
};
use btc::rust::RustBitcoin;
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::rust::wallet::source::core::CoreSource;
use btc::{
    AddressType, BitcoinInterface, BitcoinResult, CoinSelection, Credentials, Network, NodeConfig,
    Secret, WalletInterface,
};
use btc_regtest::Node;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::home::{Home, copy_files, rand_byte};

pub(crate) const RATE: u64 = 3;

/// A node whose clock the test sets.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) clock: Arc<AtomicU64>,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A node with these settings.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let mut node = Node::builder();
        for setting in settings {
            node = node.arg(*setting);
        }
        let node = node.start().expect("a node");
        let world = Self {
            node,
            clock: Arc::new(AtomicU64::new(0)),
            folder: tempfile::tempdir().expect("a folder"),
        };
        let start = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        world.set_clock(start);
        world.mine(1);
        world
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Sets the clock of the node and of every party.
    pub(crate) fn set_clock(&self, time: u64) {
        self.clock.store(time, Ordering::SeqCst);
        let _: Value = self.call("setmocktime", &[json!(time)]);
    }

    pub(crate) fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: &'static str,
        parameters: &[Value],
    ) -> T {
        self.node.call(method, parameters).expect("an answer")
    }

    /// Mines to an address of no party's.
    pub(crate) fn mine(&self, blocks: u32) {
        let address = Address::p2wsh(Script::new(), Network::Regtest).to_string();
        let _: Vec<String> = self.call("generatetoaddress", &[json!(blocks), json!(address)]);
    }

    /// Mines late enough that this time has passed for the chain, too.
    pub(crate) fn mine_past(&self, time: u64) {
        self.set_clock(time + 1);
        self.mine(12);
    }

    pub(crate) fn config(&self) -> NodeConfig {
        NodeConfig {
            url: self.node.rpc_url(),
            credentials: Credentials::CookieFile(self.node.cookie_file().expect("a cookie")),
            ..NodeConfig::new(Network::Regtest)
        }
    }

    /// Lets the node take this transaction whatever its fee is.
    pub(crate) fn favour(&self, txid: &str) {
        let parameters = [json!(txid), json!(0), json!(10_000)];
        let _: Value = self.call("prioritisetransaction", &parameters);
    }

    pub(crate) fn mempool(&self) -> Vec<Txid> {
        let all: Vec<String> = self.call("getrawmempool", &[]);
        all.iter()
            .map(|txid| txid.parse().expect("a txid"))
            .collect()
    }

    /// Two parties with a coin each, confirmed.
    pub(crate) fn parties(&self) -> (Party, Party) {
        let (alice, bob) = (Party::new(self), Party::new(self));
        for party in [&alice, &bob] {
            party.receive(self, AddressType::P2wpkh);
        }
        self.mine(100);
        for party in [&alice, &bob] {
            party.wallet.sync().expect("a sync");
        }
        (alice, bob)
    }

    pub(crate) fn oracle(&self) -> Oracle {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = self.folder.path().join(format!("oracle-{number}.sqlite"));
        Oracle::open(&path, &Seed::from_bytes([number; 32])).expect("an oracle")
    }

    /// An event of names that matures in a day.
    pub(crate) fn coin_toss(&self, oracle: &Oracle, name: &str) -> String {
        let event = Event {
            name: name.to_owned(),
            maturity_time: u32::try_from(self.now() + 86_400).expect("before 2106"),
            outcomes: EventKind::Enumerated {
                names: vec!["heads".to_owned(), "tails".to_owned()],
            },
        };
        oracle.announce(&event).expect("an announcement")
    }

    /// An event about a number that matures in a day.
    pub(crate) fn number(&self, oracle: &Oracle, name: &str, digits: u16) -> String {
        let event = Event {
            name: name.to_owned(),
            maturity_time: u32::try_from(self.now() + 86_400).expect("before 2106"),
            outcomes: EventKind::Numeric {
                base: 2,
                digits,
                unit: "usd".to_owned(),
                precision: 0,
            },
        };
        oracle.announce(&event).expect("an announcement")
    }
}

/// One side with a wallet and a store.
pub(crate) struct Party {
    pub(crate) dlc: Dlc,
    pub(crate) wallet: Arc<RustWallet>,
    pub(crate) bitcoin: Arc<RustBitcoin>,
    pub(crate) home: Home,
    config: NodeConfig,
    clock: Arc<AtomicU64>,
}

impl Party {
    pub(crate) fn new(world: &World) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        Self::make_wallet(home.path());
        Self::open(world.config(), &world.clock, Home::Own(home))
    }

    fn make_wallet(home: &Path) {
        let entropy: [u8; 16] = std::array::from_fn(|_| rand_byte());
        let words = words_from_entropy(&entropy).expect("words");
        let new = NewWallet {
            network: Network::Regtest,
            birthday: 0,
            gap_limit: 20,
            change_type: AddressType::P2wpkh,
            origin: Origin::Words {
                words: Secret::new(words.expose().to_owned()),
                bip39_passphrase: Secret::new(String::new()),
                protection: Protection::PlainRegtestOnly,
            },
        };
        folder::create(&home.join("wallet"), &new).expect("a wallet");
    }

    /// Opens what is in a party's folder, which stays when the party goes.
    pub(crate) fn open_at(config: NodeConfig, clock: &Arc<AtomicU64>, home: &Path) -> Self {
        Self::open(config, clock, Home::Lent(home.to_owned()))
    }

    /// Closes wallet and store and leaves their folder.
    pub(crate) fn leave(self) -> Home {
        self.home
    }

    fn open(config: NodeConfig, clock: &Arc<AtomicU64>, home: Home) -> Self {
        let source = Arc::new(CoreSource::connect(&config).expect("a node"));
        let selection = CoinSelection::LargestFirst;
        let wallet = RustWallet::open(&home.path().join("wallet"), None, selection, source);
        let wallet = Arc::new(wallet.expect("an open wallet"));
        let bitcoin = RustBitcoin::connect(&config).expect("a node");
        let bitcoin = Arc::new(bitcoin.with_wallet(Arc::clone(&wallet)));
        let clock = Arc::clone(clock);
        let dlc = open(&home.path().join("dlc"), &wallet, &bitcoin, &config, &clock);
        Self {
            dlc,
            wallet,
            bitcoin,
            home,
            config,
            clock,
        }
    }

    /// The store opened anew, as after a crash.
    pub(crate) fn restart(&mut self) {
        let folder = self.folder();
        self.dlc = open(
            &folder,
            &self.wallet,
            &self.bitcoin,
            &self.config,
            &self.clock,
        );
    }

    /// The store opened with this seed.
    pub(crate) fn open_with_seed(&self, seed: Seed) -> BitcoinResult<Dlc> {
        let (wallet, bitcoin) = (&self.wallet, &self.bitcoin);
        open_with(
            &self.folder(),
            seed,
            wallet,
            bitcoin,
            &self.config,
            &self.clock,
        )
    }

    /// A copy of the store as it stands.
    pub(crate) fn backup(&mut self) -> TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        self.close();
        copy_files(&self.folder(), copy.path());
        self.restart();
        copy
    }

    /// Puts a copy of the store back, as if nothing had happened since.
    pub(crate) fn restore(&mut self, copy: &TempDir) {
        self.close();
        copy_files(copy.path(), &self.folder());
        self.restart();
    }

    /// Closes the store: another one, which is empty, takes its place.
    fn close(&mut self) {
        let empty = self.home.path().join("empty");
        self.dlc = open(
            &empty,
            &self.wallet,
            &self.bitcoin,
            &self.config,
            &self.clock,
        );
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("dlc")
    }

    /// Mines a coin of 50 bitcoin to the wallet; it matures with 100 more blocks.
    pub(crate) fn receive(&self, world: &World, address_type: AddressType) {
        let address = self
            .bitcoin
            .generate_address(address_type)
            .expect("one")
            .address;
        let _: Vec<String> = world.call("generatetoaddress", &[json!(1), json!(address)]);
    }

    pub(crate) fn state(&self, id: ContractId) -> ContractState {
        self.dlc.get(id).expect("a contract").state
    }

    /// What the wallet has after following the chain.
    pub(crate) fn balance(&self) -> u64 {
        self.wallet.sync().expect("a sync");
        let balance = self.wallet.balance().expect("a balance");
        balance.confirmed_sat
    }

    /// How many coins are reserved for contracts.
    pub(crate) fn reserved(&self) -> usize {
        let coins = self.wallet.unspent().expect("coins");
        let reasons = coins.iter().filter_map(|coin| coin.reserved_for.as_deref());
        reasons.filter(|reason| reason.contains("dlc:")).count()
    }
}

fn open(
    folder: &Path,
    wallet: &Arc<RustWallet>,
    bitcoin: &Arc<RustBitcoin>,
    config: &NodeConfig,
    clock: &Arc<AtomicU64>,
) -> Dlc {
    std::fs::create_dir_all(folder).expect("a folder");
    let seed = Seed::open_or_create(&folder.join("seed")).expect("a seed");
    open_with(folder, seed, wallet, bitcoin, config, clock).expect("a store")
}

fn open_with(
    folder: &Path,
    seed: Seed,
    wallet: &Arc<RustWallet>,
    bitcoin: &Arc<RustBitcoin>,
    config: &NodeConfig,
    clock: &Arc<AtomicU64>,
) -> BitcoinResult<Dlc> {
    let bare = Arc::new(RustBitcoin::connect(config).expect("a node"));
    let clock = Arc::clone(clock);
    let wallet: Arc<dyn WalletInterface> = Arc::clone(wallet) as _;
    let parts = Parts {
        network: Network::Regtest,
        index: Arc::clone(&bare) as _,
        node: bare,
        funding: Arc::new(WalletFunding::new(wallet, Arc::clone(bitcoin) as _)),
    };
    let terms = DlcConfig {
        now: Arc::new(move || clock.load(Ordering::SeqCst)),
        ..DlcConfig::default()
    };
    Dlc::open(folder, seed, parts, terms)
}

/// The id of the specification that a sign message names.
pub(crate) fn signed_id(sign: &DlcMessage) -> ContractId {
    let id = sign.as_bytes()[6..38].try_into().expect("32 bytes");
    ContractId(id)
}

/// Terms of a coin toss of equal stakes: heads pays everything to the offering side.
pub(crate) fn toss(announcement: String, offer: u64, accept: u64) -> ContractTerms {
    let payout = Payout::enumerated([("heads", offer + accept), ("tails", 0)]);
    ContractTerms::new(offer, accept, RATE).branch(Oracles::one(announcement), payout)
}

/// From the offer to the funding in a block.
pub(crate) fn fund(world: &World, alice: &Party, bob: &Party, terms: &ContractTerms) -> ContractId {
    let offer = alice.dlc.offer(terms).expect("an offer");
    fund_offer(world, alice, bob, &offer)
}

pub(crate) fn fund_offer(
    world: &World,
    alice: &Party,
    bob: &Party,
    offer: &DlcMessage,
) -> ContractId {
    let accept = bob.dlc.accept(offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    let txid = bob.dlc.finalize(&sign).expect("a funding");
    let id = newest(alice);
    assert_eq!(world.mempool(), [txid]);
    assert_eq!(bob.state(id), ContractState::Broadcast);
    world.mine(1);
    for party in [alice, bob] {
        party.dlc.sync().expect("a sync");
        assert_eq!(party.state(id), ContractState::Confirmed);
        assert_eq!(party.dlc.get(id).expect("it").funding_txid, Some(txid));
    }
    id
}

pub(crate) fn newest(party: &Party) -> ContractId {
    party.dlc.list().expect("a list")[0].id
}

/// Mines and lets both look.
pub(crate) fn settle_down(world: &World, alice: &Party, bob: &Party) {
    world.mine(1);
    for party in [alice, bob] {
        party.dlc.sync().expect("a sync");
    }
}

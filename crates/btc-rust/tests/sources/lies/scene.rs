//! `Scene`: a chain that pays a wallet, its node, and a server over it that may lie.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Amount, ScriptBuf, Transaction, Txid};
use btc_iface::{AddressType, Chain as KeyChain, ErrorKind, Network};
use btc_regtest::{Chain, ElectrumServer, EsploraServer, Node};
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::source::ChainSource;
use serde_json::json;

use super::forge::{self, Lies};
use super::{electrum, esplora};
use crate::books::{Books, core};
use crate::setup;

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
/// What an answer may take; contradictions are looked at again as long.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1_500);
/// Below the first payment.
const BIRTHDAY: u32 = 20;

/// The kind of the error that an answer which cannot be true is.
pub(crate) const LIE: ErrorKind = ErrorKind::InvalidResponse;

/// What kind of server tells the lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Electrum,
    Esplora,
}

pub(crate) struct Scene<'n> {
    pub(crate) node: &'n Node,
    pub(crate) chain: Chain<'n>,
    pub(crate) keyring: Keyring,
    server: Server,
    lies: Arc<Mutex<Lies>>,
    url: String,
}

enum Server {
    Electrum(ElectrumServer),
    Esplora(EsploraServer),
}

pub(crate) fn node() -> Node {
    let builder = Node::builder()
        .listen(true)
        .block_filters(true)
        .spender_index(true);
    builder.start().expect("a node starts")
}

impl<'n> Scene<'n> {
    /// A chain with three payments to the wallet, in a block each.
    pub(crate) fn new(kind: Kind, node: &'n Node, seed: u64) -> Self {
        let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
        let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own accounts");
        let mut chain = Chain::new(node, seed).expect("a chain");
        chain.mine(110).expect("blocks");
        let lies = Arc::new(Mutex::new(Lies::default()));
        let (server, url) = match kind {
            Kind::Electrum => {
                let server = ElectrumServer::start(node).expect("a server");
                let url = electrum::liar(&server, Arc::clone(&lies));
                (Server::Electrum(server), url)
            }
            Kind::Esplora => {
                let server = esplora::liar(node, Arc::clone(&lies));
                let url = server.url();
                (Server::Esplora(server), url)
            }
        };
        let mut scene = Self {
            node,
            chain,
            keyring,
            server,
            lies,
            url,
        };
        for index in 0..3 {
            scene.pay(index);
            scene.mine(2);
        }
        scene.settle();
        scene
    }

    pub(crate) fn script(&self, index: u32) -> ScriptBuf {
        let keychain = (AddressType::P2wpkh, KeyChain::Receive);
        self.keyring.script(keychain, index).expect("a small index")
    }

    /// Pays an address of the wallet, without a block.
    pub(crate) fn pay(&mut self, index: u32) -> Txid {
        let output = (
            self.script(index),
            Amount::from_sat(100_000 + u64::from(index)),
        );
        self.chain.pay(&[output], 2).expect("the node takes it")
    }

    pub(crate) fn mine(&mut self, count: u32) {
        self.chain.mine(count).expect("blocks");
    }

    /// Waits until the server is where the node is.
    pub(crate) fn settle(&self) {
        match &self.server {
            Server::Electrum(server) => server.wait_for_tip(self.node).expect("it follows"),
            // It answers with what the node has.
            Server::Esplora(_) => {}
        }
    }

    /// From now on the server tells these lies.
    pub(crate) fn lie(&self, mut lies: Lies) {
        if !lies.headers.is_empty() {
            lies.honest = (0..=self.height())
                .map(|height| self.header(height))
                .collect();
        }
        *self.lies.lock().unwrap_or_else(PoisonError::into_inner) = lies;
    }

    pub(crate) fn source(&self) -> Box<dyn ChainSource> {
        match &self.server {
            Server::Electrum(_) => {
                let source = setup::electrum(&self.url, Network::Regtest, TIMEOUT);
                Box::new(source.expect("it answers"))
            }
            Server::Esplora(server) => Box::new(setup::esplora(&server.url(), TIMEOUT)),
        }
    }

    /// New books over the server.
    pub(crate) fn books(&self) -> Books {
        Books::new(&self.keyring, BIRTHDAY, self.source())
    }

    pub(crate) fn height(&self) -> u32 {
        self.node.call("getblockcount", &[]).expect("a number")
    }

    pub(crate) fn header(&self, height: u32) -> Header {
        let hash: String = self
            .node
            .call("getblockhash", &[json!(height)])
            .expect("the node has it");
        let hex: String = self
            .node
            .call("getblockheader", &[json!(hash), json!(false)])
            .expect("the node has it");
        deserialize_hex(&hex).expect("a header")
    }

    /// The heights of the wallet's payments, and their transactions.
    pub(crate) fn history_of(&self, index: u32) -> (Txid, u32) {
        let mut books = Books::new(&self.keyring, BIRTHDAY, Box::new(core(self.node)));
        let view = books.sync();
        let script = self.script(index);
        let coin = view.coins.iter().find(|coin| coin.script_pubkey == script);
        let coin = coin.expect("it was paid");
        let block = coin.block.expect("in a block");
        (coin.outpoint.txid, block.height)
    }

    /// A payment to the wallet's address, told as confirmed at this height, with a proof for a block
    /// of its own; at height 0, as unconfirmed.
    pub(crate) fn confirmed(&self, index: u32, payment: &Transaction, height: u32) -> Lies {
        let txid = payment.compute_txid();
        Lies {
            histories: [(self.script(index), vec![(txid, height)])].into(),
            transactions: [(txid, payment.clone())].into(),
            proofs: [(txid, (Vec::new(), 0))].into(),
            ..Lies::default()
        }
    }

    /// Blocks with work above this height, the first with a payment to the wallet's address 5.
    pub(crate) fn branch(&self, fork: u32, length: u32, payment: &Transaction) -> Lies {
        let mut last = self.header(fork);
        let mut lies = self.confirmed(5, payment, fork + 1);
        for height in fork + 1..=fork + length {
            last = forge::above(last.block_hash(), last.time + 1, payment);
            lies.headers.insert(height, last);
        }
        lies.tip = Some((fork + length, last));
        lies
    }

    /// These lies are refused with this kind of error, by books that have followed the honest
    /// server before and by books that begin; nothing of them is left, and the honest server is
    /// followed again.
    #[track_caller]
    pub(crate) fn refuse(&self, lies: &Lies, kind: ErrorKind, said: &str) {
        let mut old = self.books();
        let before = old.sync();
        assert!(!before.coins.is_empty());
        self.refuse_with(&mut old, lies, kind, said);
        let mut new = self.books();
        self.refuse_with(&mut new, lies, kind, said);
        assert_eq!(new.sync(), before);
    }

    #[track_caller]
    pub(crate) fn refuse_with(&self, books: &mut Books, lies: &Lies, kind: ErrorKind, said: &str) {
        let before = books.view();
        self.lie(lies.clone());
        let error = books.follow().expect_err("a lie");
        self.lie(Lies::default());
        let text = format!("{error:?}");
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(said), "{text}");
        assert_eq!(books.view(), before, "nothing of it is left");
    }

    /// Over the node the books are what books say that never heard of the server.
    #[track_caller]
    pub(crate) fn heal(&self, books: &mut Books) {
        self.lie(Lies::default());
        books.source = Box::new(core(self.node));
        let mut honest = Books::new(&self.keyring, BIRTHDAY, Box::new(core(self.node)));
        assert_eq!(books.sync(), honest.sync());
        assert_eq!(books.ledger.history(), honest.ledger.history());
    }
}

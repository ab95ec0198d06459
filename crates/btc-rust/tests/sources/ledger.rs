//! The wallet's real books over each source: what is confirmed is the same, whoever told it.

use bitcoin::{Amount, ScriptBuf};
use btc_iface::{AddressType, Chain as KeyChain, Network};
use btc_regtest::{Chain, ElectrumServer, EsploraServer, Node};
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::ledger::View;
use btc_rust::wallet::source::ChainSource;

use crate::books::{Books, core};
use crate::setup::{self, TIMEOUT, source};

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// The servers that are not the node itself.
type Servers<'s> = (&'s ElectrumServer, &'s EsploraServer);

fn sources(node: &Node, (server, esplora): Servers<'_>) -> [Box<dyn ChainSource>; 4] {
    let electrum = setup::electrum(&server.url(), Network::Regtest, TIMEOUT);
    [
        Box::new(core(node)),
        Box::new(source(node)),
        Box::new(electrum.expect("a server")),
        Box::new(setup::esplora(&esplora.url(), TIMEOUT)),
    ]
}

/// All books agree, with each other and with books that begin now.
fn assert_agree(
    books: &mut [Books],
    keyring: &Keyring,
    birthday: u32,
    (node, servers): (&Node, Servers<'_>),
) -> View {
    let (server, _) = servers;
    server.wait_for_tip(node).expect("it follows");
    let mut views: Vec<_> = books
        .iter_mut()
        .map(|books| (books.source.name(), books.sync()))
        .collect();
    for source in sources(node, servers) {
        let name = source.name();
        views.push((name, Books::new(keyring, birthday, source).sync()));
    }
    let (_, first) = views.remove(0);
    for (name, view) in views {
        assert_eq!(view.tip, first.tip, "{name}");
        assert_eq!(view.coins, first.coins, "{name}");
        assert_eq!(view.balance, first.balance, "{name}");
    }
    first
}

#[test]
fn all_sources_tell_the_same() {
    let builder = Node::builder().listen(true).block_filters(true);
    let node = builder.spender_index(true).start().expect("a node");
    let server = ElectrumServer::start(&node).expect("a server");
    let esplora = EsploraServer::start(&node).expect("a server");
    let servers = (&server, &esplora);
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own accounts");
    let script = |chain, index| -> ScriptBuf {
        let keychain = (AddressType::P2tr, chain);
        keyring.script(keychain, index).expect("a small index")
    };
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let birthday = 104;
    let mut books: Vec<_> = sources(&node, servers)
        .into_iter()
        .map(|source| Books::new(&keyring, birthday, source))
        .collect();
    let pay = |chain: &mut Chain<'_>, indices: &[u32]| {
        let outputs: Vec<_> = indices
            .iter()
            .flat_map(|at| [(KeyChain::Receive, *at), (KeyChain::Change, *at)])
            .map(|(kind, at)| (script(kind, at), Amount::from_sat(100_000 + u64::from(at))))
            .collect();
        chain.pay(&outputs, 2).expect("the node takes it");
        chain.mine(1).expect("a block");
    };
    let both = (&node, servers);

    chain.mine(102).expect("blocks");
    pay(&mut chain, &[0]);
    // An index that is watched only after a later block, and one before the birthday.
    pay(&mut chain, &[14]);
    pay(&mut chain, &[2, 9]);
    let view = assert_agree(&mut books, &keyring, birthday, both);
    assert_eq!(view.coins.len(), 6);

    for index in [3, 4, 20, 28] {
        pay(&mut chain, &[index]);
    }
    chain.mine(3).expect("blocks");
    let view = assert_agree(&mut books, &keyring, birthday, both);
    assert_eq!(view.coins.len(), 14);

    for depth in [1, 4, 8] {
        chain.reorg(depth).expect("a reorganisation");
        let view = assert_agree(&mut books, &keyring, birthday, both);
        assert_eq!(view.coins.len(), 14, "depth {depth}");
    }
}

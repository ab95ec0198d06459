//! Lies about the chain, each over each kind of server.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget};
use btc_iface::{ErrorKind, Network};
use btc_regtest::{ElectrumServer, EsploraServer};
use btc_rust::wallet::source::ChainSource;

use super::forge::{self, FORGED_SAT, Lies, invented};
use super::scene::{Kind, LIE, Scene, TIMEOUT, node};
use crate::books::{Books, core};
use crate::setup;

lies! {
    a_header_without_work_is_refused,
    a_header_with_work_that_does_not_connect_is_refused,
    a_header_with_work_at_another_difficulty_is_refused,
    a_true_header_at_a_height_that_is_not_its_own_is_refused,
    a_tip_that_is_higher_than_it_says_is_refused,
    a_chain_that_ends_below_the_wallet_is_an_error_and_undoes_nothing,
    another_chain_without_more_work_undoes_nothing,
    a_reorganisation_below_the_birthday_takes_more_work,
    work_that_was_done_for_a_lie_is_undone_over_the_node,
    work_that_was_done_for_a_lie_is_undone_over_every_other_source,
}

fn a_header_without_work_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 1);
    let (tip, payment) = (scene.height(), invented(1, scene.script(5)));
    let last = scene.header(tip);
    let next = forge::idle(forge::above(last.block_hash(), last.time + 1, &payment));
    let lies = Lies {
        tip: Some((tip + 1, next)),
        headers: [(tip + 1, next)].into(),
        ..scene.confirmed(5, &payment, tip + 1)
    };
    scene.refuse(&lies, LIE, "no proof of work");
    // In the middle of the chain.
    let lies = Lies {
        headers: [(40, forge::idle(scene.header(40)))].into(),
        ..Lies::default()
    };
    let mut books = scene.books();
    scene.refuse_with(&mut books, &lies, LIE, "no proof of work");
    scene.heal(&mut books);
}

fn a_header_with_work_that_does_not_connect_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 2);
    let (tip, payment) = (scene.height(), invented(1, scene.script(5)));
    let elsewhere = BlockHash::from_byte_array([3; 32]);
    let next = forge::above(elsewhere, scene.header(tip).time + 1, &payment);
    let lies = Lies {
        tip: Some((tip + 1, next)),
        headers: [(tip + 1, next)].into(),
        ..scene.confirmed(5, &payment, tip + 1)
    };
    scene.refuse(&lies, LIE, "does not connect");
}

fn a_header_with_work_at_another_difficulty_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 3);
    let (tip, payment) = (scene.height(), invented(1, scene.script(5)));
    let last = scene.header(tip);
    let mut next = forge::above(last.block_hash(), last.time + 1, &payment);
    next.bits = CompactTarget::from_consensus(0x203f_ffff);
    let next = forge::worked(next);
    let lies = Lies {
        tip: Some((tip + 1, next)),
        headers: [(tip + 1, next)].into(),
        ..scene.confirmed(5, &payment, tip + 1)
    };
    scene.refuse(&lies, LIE, "bits");
}

fn a_true_header_at_a_height_that_is_not_its_own_is_refused(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 4);
    let txid = scene.pay(4);
    scene.mine(1);
    scene.settle();
    let height = scene.height();
    let header = scene.header(height);
    // The payment with its true header and its true proof, many blocks earlier.
    for claimed in [60, height - 1] {
        let lies = Lies {
            headers: [(claimed, header)].into(),
            histories: [(scene.script(4), vec![(txid, claimed)])].into(),
            ..Lies::default()
        };
        let mut books = scene.books();
        scene.refuse_with(&mut books, &lies, LIE, "connect");
    }
    // The same without a word about headers: the proof is of another block.
    let lies = Lies {
        histories: [(scene.script(4), vec![(txid, 60)])].into(),
        ..Lies::default()
    };
    let mut books = scene.books();
    scene.refuse_with(&mut books, &lies, LIE, "");
    scene.heal(&mut books);
}

fn a_tip_that_is_higher_than_it_says_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 5);
    let tip = scene.height();
    let last = scene.header(tip);
    for claimed in [tip + 1, tip + 1_000] {
        // The last header again and again.
        let lies = Lies {
            tip: Some((claimed, last)),
            headers: (tip + 1..=claimed).map(|height| (height, last)).collect(),
            ..Lies::default()
        };
        scene.refuse(&lies, LIE, "does not connect");
        // Nor is it the tip that a new wallet's birthday is counted from.
        let source = scene.source();
        scene.lie(lies);
        let error = source.tip().expect_err("a lie");
        assert_eq!(error.kind(), LIE, "{error}");
        scene.lie(Lies::default());
        assert_eq!(source.tip().expect("a tip").height, tip);
    }
}

fn a_chain_that_ends_below_the_wallet_is_an_error_and_undoes_nothing(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 15);
    let stale = scene.height();
    let late = Lies {
        tip: Some((stale, scene.header(stale))),
        ..Lies::default()
    };
    scene.pay(5);
    scene.mine(3);
    scene.settle();
    let mut books = scene.books();
    let before = books.sync();
    let begun = std::time::Instant::now();
    scene.refuse_with(&mut books, &late, ErrorKind::Unavailable, "is behind");
    // It had time to catch up, and not for ever.
    let took = begun.elapsed().as_secs();
    assert!((1..20).contains(&took), "{took} s");
    assert_eq!(books.sync(), before);
    scene.heal(&mut books);
}

fn another_chain_without_more_work_undoes_nothing(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 16);
    let mut books = scene.books();
    let before = books.sync();
    let tip = scene.height();
    let payment = invented(1, scene.script(5));
    for depth in [1, 4, 60] {
        let lies = scene.branch(tip - depth, depth, &payment);
        scene.refuse_with(&mut books, &lies, ErrorKind::Unavailable, "no more work");
        assert_eq!(books.view(), before);
    }
    scene.heal(&mut books);
}

fn a_reorganisation_below_the_birthday_takes_more_work(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 17);
    let mut books = scene.books();
    books.sync();
    let tip = scene.height();
    let payment = invented(1, scene.script(5));
    for length in [1, tip - 5] {
        let lies = scene.branch(5, length, &payment);
        let mut cautious = scene.books();
        cautious.sync();
        scene.refuse_with(&mut cautious, &lies, ErrorKind::Unavailable, "");
    }
    // All its work was done: this is the chain, as far as anybody can tell without another.
    let mut lies = scene.branch(5, tip - 4, &payment);
    for index in 0..3 {
        lies.histories.insert(scene.script(index), Vec::new());
    }
    // Each of its blocks holds the payment.
    let told = vec![(payment.compute_txid(), 30)];
    lies.histories.insert(scene.script(5), told);
    scene.lie(lies);
    let view = books.sync();
    assert_eq!(
        (view.tip.height, view.balance.confirmed_sat),
        (tip + 1, FORGED_SAT)
    );
    scene.heal(&mut books);
}

fn work_that_was_done_for_a_lie_is_undone_over_the_node(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 18);
    let mut books = scene.books();
    books.sync();
    let payment = invented(1, scene.script(5));
    // On regtest a block costs two hashes, and nothing tells this one from a mined one.
    scene.lie(scene.branch(scene.height(), 2, &payment));
    let view = books.sync();
    assert!(view.balance.confirmed_sat > FORGED_SAT);
    scene.heal(&mut books);
}

/// No other source is believed more than this one was: the true chain needs the more work.
fn work_that_was_done_for_a_lie_is_undone_over_every_other_source(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 19);
    let payment = invented(1, scene.script(5));
    let mut believing = [scene.books(), scene.books(), scene.books()];
    scene.lie(scene.branch(scene.height(), 2, &payment));
    for books in &mut believing {
        let view = books.sync();
        assert!(view.balance.confirmed_sat > FORGED_SAT);
    }
    scene.lie(Lies::default());
    let electrum = ElectrumServer::start(&node).expect("a server");
    let esplora = EsploraServer::start(&node).expect("a server");
    let others: [Box<dyn ChainSource>; 3] = [
        Box::new(setup::electrum(&electrum.url(), Network::Regtest, TIMEOUT).expect("it answers")),
        Box::new(setup::esplora(&esplora.url(), TIMEOUT)),
        Box::new(setup::source(&node)),
    ];
    scene.mine(3);
    electrum.wait_for_tip(&node).expect("it follows");
    for (books, other) in believing.iter_mut().zip(others) {
        books.source = other;
        let mut honest = Books::new(&scene.keyring, 0, Box::new(core(&node)));
        let (healed, right) = (books.sync(), honest.sync());
        assert_eq!((healed.tip, &healed.coins), (right.tip, &right.coins));
        assert_eq!(healed.balance, right.balance);
        assert_eq!(books.ledger.history(), honest.ledger.history());
    }
}

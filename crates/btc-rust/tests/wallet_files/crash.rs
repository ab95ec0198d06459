//! kill -9 in the middle of the work.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use btc_iface::Network;
use btc_rust::wallet::folder::{Folder, create};
use btc_rust::wallet::reservations::Reservations;
use btc_rust::wallet::secret::Protection;

use crate::child;
use crate::support::{RECEIVE, from_words, names, plain_wallet};

/// Delays that differ from round to round, so that the kill hits different places.
fn wait(round: u64) {
    thread::sleep(Duration::from_micros(round * 7919 % 40_000));
}

#[test]
fn an_index_that_was_given_out_is_never_given_again() {
    const ROUNDS: u64 = 12;
    const AT_LEAST: usize = 3;
    let (_parent, dir) = plain_wallet();
    let mut given = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut worker = child::spawn("take", &dir);
        for _ in 0..AT_LEAST {
            let index: u32 = worker.line("took").parse().expect("an index");
            assert!(given.insert(index), "{index} was given out twice");
        }
        wait(round);
        worker.kill();
        while let Ok(index) = worker.line("took").parse() {
            assert!(given.insert(index), "{index} was given out twice");
        }
        let mut reservations = Reservations::open(&dir).expect("sound after a kill");
        let index = reservations.take_index(RECEIVE, 0).expect("sound");
        assert!(given.insert(index), "{index} was given out twice");
        assert_eq!(given.last(), Some(&index), "it never goes back");
    }
}

#[test]
fn a_wallet_is_created_whole_or_not_at_all() {
    const ROUNDS: u64 = 200;
    const ENOUGH: usize = 12;
    let parent = tempfile::tempdir().expect("a folder for the test");
    let (mut whole, mut cut_off) = (0, 0);
    for round in 0..ROUNDS {
        let place = parent.path().join(format!("round-{round}"));
        std::fs::create_dir(&place).expect("a new folder");
        let mut worker = child::spawn("create", &place);
        worker.line("created");
        wait(round);
        worker.kill();
        for name in names(&place) {
            if let Some(rest) = name.strip_prefix('.') {
                let (owner, _) = rest.split_once(".new-").expect("a draft's name");
                cut_off += 1;
                let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
                create(&place.join(owner), &new).expect("its place is free");
                let left = names(&place);
                assert!(!left.contains(&name), "{name} is cleared away");
            } else {
                let folder = Folder::open(&place.join(&name)).expect("a whole wallet");
                folder.unlock(None).expect("with its secret");
                folder.reservations().expect("and its reservations");
                whole += 1;
            }
        }
        if cut_off >= ENOUGH {
            break;
        }
    }
    println!("{whole} whole wallets, {cut_off} creations cut off");
    assert!(whole > 0 && cut_off > 0, "the kills never hit");
}

#[test]
fn a_creation_under_way_is_left_alone() {
    let parent = tempfile::tempdir().expect("a folder for the test");
    let draft = parent.path().join(".wallet.new-1-0");
    std::fs::create_dir(&draft).expect("a new folder");
    let lock = std::fs::File::create(draft.join("rust.lock")).expect("a new file");
    lock.try_lock().expect("a new file");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    create(&parent.path().join("wallet"), &new).expect("a free place");
    assert_eq!(names(&draft), ["rust.lock"]);
    drop(lock);
    // The next creation under that name takes the leftover along.
    std::fs::rename(parent.path().join("wallet"), parent.path().join("first"))
        .expect("a free name");
    create(&parent.path().join("wallet"), &new).expect("a free place");
    assert_eq!(names(parent.path()), ["first", "wallet"]);
}

//! A wallet on a disk that is full: a program of its own, which may begin again where it may mount
//! one, and says which tests it had to leave out.

use std::fs;
use std::process::ExitCode;

use btc_iface::{ErrorKind, Network};
use btc_regtest::Disk;
use btc_regtest::disk::{NO_DISK, enter_namespace};
use btc_rust::wallet::folder::{Folder, create};
use btc_rust::wallet::reservations::{End, now_ms};
use btc_rust::wallet::secret::Protection;
use libtest_mimic::{Arguments, Completion, Trial};

use crate::support::{RECEIVE, from_words, names, refused};

#[path = "../wallet_files/support.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

type Test = fn(&Disk);

/// The tests, each with the size of its disk in KiB.
const TESTS: [(&str, u32, Test); 3] = [
    (
        "a_wallet_that_does_not_fit_is_not_there",
        256,
        a_wallet_that_does_not_fit_is_not_there,
    ),
    (
        "an_index_that_cannot_be_stored_is_not_given_out",
        512,
        an_index_that_cannot_be_stored_is_not_given_out,
    ),
    (
        "a_full_disk_does_not_keep_a_wallet_shut",
        512,
        a_full_disk_does_not_keep_a_wallet_shut,
    ),
];

fn main() -> ExitCode {
    enter_namespace();
    let trials = TESTS.map(|(name, kib, test)| {
        Trial::ignorable_test(name, move || {
            let Some(disk) = Disk::mount(kib)? else {
                return Ok(Completion::ignored_with(NO_DISK));
            };
            test(&disk);
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn a_wallet_that_does_not_fit_is_not_there(disk: &Disk) {
    let dir = disk.path().join("wallet");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    for free_kib in [0, 4, 8, 16, 32] {
        let filler = disk.fill(free_kib).expect("room for an empty file");
        let failed = create(&dir, &new);
        refused(failed, ErrorKind::Internal, "");
        assert_eq!(names(disk.path()), ["filler"], "with {free_kib} KiB free");
        fs::remove_file(filler).expect("there");
    }
    create(&dir, &new).expect("room now");
    Folder::open(&dir)
        .expect("whole")
        .unlock(None)
        .expect("whole");
}

fn an_index_that_cannot_be_stored_is_not_given_out(disk: &Disk) {
    let dir = disk.path().join("wallet");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    create(&dir, &new).expect("room");
    let folder = Folder::open(&dir).expect("a new wallet");
    let mut reservations = folder.reservations().expect("a new wallet");
    let first = reservations.take_index(RECEIVE, 0).expect("room");

    let filler = disk.fill(0).expect("room for an empty file");
    let coins: Vec<bitcoin::OutPoint> = (0..2000)
        .map(|vout| bitcoin::OutPoint::new(bitcoin::hashes::Hash::all_zeros(), vout))
        .collect();
    let txid = bitcoin::hashes::Hash::all_zeros();
    let booking = reservations.begin(now_ms()).expect("nothing written yet");
    let booked = booking.set_next(RECEIVE, first + 100);
    let booked =
        booked.and_then(|()| booking.reserve(&coins, End::after(now_ms(), 1_000_000), txid));
    let booked = booked.and_then(|()| booking.commit());
    refused(booked, ErrorKind::Internal, "the disk is full");

    fs::remove_file(filler).expect("there");
    assert!(reservations.reserved(0).expect("readable").is_empty());
    let next = reservations.take_index(RECEIVE, 0).expect("room again");
    assert_eq!(next, first + 1, "nothing of the failed booking is left");
    drop((reservations, folder));
    Folder::open(&dir)
        .and_then(|folder| folder.reservations())
        .expect("sound");
}

fn a_full_disk_does_not_keep_a_wallet_shut(disk: &Disk) {
    let dir = disk.path().join("wallet");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    create(&dir, &new).expect("room");
    disk.fill(0).expect("room for an empty file");
    let folder = Folder::open(&dir).expect("reading takes no room");
    folder.unlock(None).expect("reading takes no room");
}

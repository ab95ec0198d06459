//! A full disk: a small file system of its own, where that may be mounted.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use btc_iface::{ErrorKind, Network};
use btc_rust::wallet::folder::{Folder, create};
use btc_rust::wallet::reservations::now_ms;
use btc_rust::wallet::secret::Protection;
use tempfile::TempDir;

use crate::support::{RECEIVE, from_words, names, refused};

struct Disk(TempDir);

impl Disk {
    fn mount(kib: u32) -> Option<Self> {
        let place = tempfile::tempdir().expect("a folder for the test");
        let size = format!("size={kib}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(place.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(place));
        }
        println!("skipped: mounting a small tmpfs takes root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that leaves this many KiB free; removing it frees the rest.
    fn fill(&self, free_kib: u64) -> std::path::PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("room for an empty file");
        while file.write_all(&[0; 1024]).is_ok() {}
        let length = file.metadata().expect("open").len();
        file.set_len(length.saturating_sub(free_kib << 10))
            .expect("shorter");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "still in use");
    }
}

#[test]
fn a_wallet_that_does_not_fit_is_not_there() {
    let Some(disk) = Disk::mount(256) else { return };
    let dir = disk.path().join("wallet");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    for free_kib in [0, 4, 8, 16, 32] {
        let filler = disk.fill(free_kib);
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

#[test]
fn an_index_that_cannot_be_stored_is_not_given_out() {
    let Some(disk) = Disk::mount(512) else { return };
    let dir = disk.path().join("wallet");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    create(&dir, &new).expect("room");
    let folder = Folder::open(&dir).expect("a new wallet");
    let mut reservations = folder.reservations().expect("a new wallet");
    let first = reservations.take_index(RECEIVE, 0).expect("room");

    let filler = disk.fill(0);
    let coins: Vec<bitcoin::OutPoint> = (0..2000)
        .map(|vout| bitcoin::OutPoint::new(bitcoin::hashes::Hash::all_zeros(), vout))
        .collect();
    let txid = bitcoin::hashes::Hash::all_zeros();
    let booking = reservations.begin(now_ms()).expect("nothing written yet");
    let booked = booking.set_next(RECEIVE, first + 100);
    let booked = booked.and_then(|()| booking.reserve(&coins, u64::MAX, txid));
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

#[test]
fn a_full_disk_does_not_keep_a_wallet_shut() {
    let Some(disk) = Disk::mount(512) else { return };
    let dir = disk.path().join("wallet");
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    create(&dir, &new).expect("room");
    disk.fill(0);
    let folder = Folder::open(&dir).expect("reading takes no room");
    folder.unlock(None).expect("reading takes no room");
}

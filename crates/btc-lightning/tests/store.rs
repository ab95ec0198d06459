//! The store's contract with LDK: order, absence, durability, and one refusal after which there is no other write.

use std::fs;
use std::path::Path;

use btc_lightning::Store;
use futures_lite::future::block_on;
use lightning::io::ErrorKind;
use lightning::util::persist::{KVStore, KVStoreSync};

fn open(directory: &Path) -> Store {
    Store::open(directory, |cause| unreachable!("{cause}")).expect("a store")
}

fn read(store: &Store, name: &str) -> Option<Vec<u8>> {
    match KVStoreSync::read(store, "monitors", "", name) {
        Ok(value) => Some(value),
        Err(cause) if cause.kind() == ErrorKind::NotFound => None,
        Err(cause) => unreachable!("{cause}"),
    }
}

#[test]
fn what_is_absent_is_not_found_and_a_wrong_place_is_something_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    assert_eq!(read(&store, "nothing"), None);
    let wrong = KVStoreSync::write(&store, "", "secondary", "name", vec![1]);
    assert_ne!(
        wrong.expect_err("a wrong place").kind(),
        ErrorKind::NotFound
    );
    KVStoreSync::write(&store, "monitors", "", "one", vec![1]).expect("written");
    KVStoreSync::remove(&store, "monitors", "", "one", false).expect("removed");
    KVStoreSync::remove(&store, "monitors", "", "one", false)
        .expect("nothing to remove is no failure");
    assert_eq!(read(&store, "one"), None);
    KVStoreSync::write(&store, "monitors", "", "", vec![]).expect_err("no name");
    KVStoreSync::write(&store, "", "", "events", vec![9])
        .expect("LDK keeps some without a namespace");
    assert_eq!(
        KVStoreSync::list(&store, "", "").expect("a list"),
        ["events"]
    );
}

#[test]
fn writes_of_one_key_take_effect_in_call_order_however_their_futures_are_polled() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let mut later: Vec<_> = (0..=200_u8)
        .map(|value| KVStore::write(&store, "monitors", "", "same", vec![value]))
        .collect();
    KVStoreSync::write(&store, "monitors", "", "same", vec![201]).expect("after all of them");
    assert_eq!(read(&store, "same"), Some(vec![201]));
    while let Some(future) = later.pop() {
        block_on(future).expect("written");
    }
    assert_eq!(
        read(&store, "same"),
        Some(vec![201]),
        "none comes after a later one"
    );
    // One that is never polled is written, too.
    drop(KVStore::write(&store, "monitors", "", "dropped", vec![7]));
    drop(KVStore::remove(&store, "monitors", "", "same", true));
    KVStoreSync::write(&store, "monitors", "", "last", vec![8]).expect("written");
    assert_eq!(read(&store, "dropped"), Some(vec![7]));
    assert_eq!(read(&store, "same"), None);
}

#[test]
fn many_threads_write_at_once_and_all_of_it_is_there_after_a_new_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..50_u8 {
                    let name = format!("{thread}-{number}");
                    KVStoreSync::write(store, "monitors", "", &name, vec![number; 1_000])
                        .expect("written");
                }
            });
        }
    });
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        KVStoreSync::list(&store, "monitors", "")
            .expect("a list")
            .len(),
        400
    );
    assert_eq!(read(&store, "7-49"), Some(vec![49; 1_000]));
}

#[test]
fn a_log_that_is_torn_anywhere_is_read_up_to_its_last_whole_commit() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in 0..20_u8 {
        KVStoreSync::write(
            &store,
            "monitors",
            "",
            &format!("{number:02}"),
            vec![number; 500],
        )
        .expect("written");
    }
    let files = ["node.sqlite", "node.sqlite-wal"];
    let wal = fs::read(dir.path().join(files[1])).expect("a write-ahead log");
    let mut most = 0;
    for part in 1..=16 {
        let torn = tempfile::tempdir().expect("a folder");
        fs::copy(dir.path().join(files[0]), torn.path().join(files[0])).expect("copied");
        let length = wal.len() * part / 16;
        let mut bytes = wal[..length].to_vec();
        if part % 2 == 1 && part < 16 {
            // Not only cut off: the disk wrote something else there.
            let end = bytes.len();
            bytes[end - 100..].fill(0xa5);
        }
        fs::write(torn.path().join(files[1]), &bytes).expect("written");
        let Ok(store) = Store::open(torn.path(), |_| {}) else {
            unreachable!("a torn log is no damage (part {part})");
        };
        let names = KVStoreSync::list(&store, "monitors", "").expect("a list");
        let expected: Vec<_> = (0..names.len())
            .map(|number| format!("{number:02}"))
            .collect();
        assert_eq!(
            names, expected,
            "a prefix of what was written, without holes"
        );
        most = most.max(names.len());
    }
    assert_eq!(most, 20, "the whole log has everything that was answered");
}

#[test]
fn another_programs_file_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(
        dir.path().join("node.sqlite"),
        b"not a database, but long enough to be read as one",
    )
    .expect("written");
    assert!(Store::open(dir.path(), |_| {}).is_err());
}

#[test]
fn a_file_of_the_version_before_is_taken_over_and_one_of_a_newer_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    KVStoreSync::write(&store, "a", "", "name", vec![7]).expect("written");
    drop(store);
    let file = rusqlite::Connection::open(dir.path().join("node.sqlite")).expect("its file");
    file.execute_batch("DROP TABLE withdrawals; PRAGMA user_version = 1")
        .expect("as the first version made it");
    assert_eq!(
        KVStoreSync::read(&open(dir.path()), "a", "", "name").expect("kept"),
        [7]
    );
    let tables = "SELECT count(*) FROM withdrawals";
    let rows = file.query_row(tables, [], |row| row.get::<_, u32>(0));
    assert_eq!(rows.expect("it is there"), 0);
    file.pragma_update(None, "user_version", 99).expect("set");
    drop(file);
    let refused = Store::open(dir.path(), |_| {});
    assert!(refused.is_err_and(|cause| cause.to_string().contains("newer")));
}

//! Labels (BIP329): their table in the wallet's books, and imports.

mod import;
mod jsonl;

use std::collections::HashMap;
use std::str::FromStr;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, OutPoint, Txid};
use btc_iface::{BitcoinError, BitcoinResult, Label, LabelKind};
use rusqlite::Connection;
use serde::Deserialize;
use serde::de::value::{Error as NameError, StrDeserializer};

pub(super) use self::import::held_by;
pub use self::import::{finish_import, has_unfinished_import, import_with_locks};
pub use self::jsonl::{format_jsonl, parse_jsonl};
use super::fault;

/// Makes the table of labels unless it is there.
///
/// # Errors
/// `Internal`: the disk is full or failed. `Configuration`: the file is damaged. All that follow
/// have these too.
pub fn init(books: &Connection) -> BitcoinResult<()> {
    let sql = "CREATE TABLE IF NOT EXISTS labels (
        kind TEXT NOT NULL, ref TEXT NOT NULL,
        label TEXT NOT NULL, origin TEXT,
        PRIMARY KEY (kind, ref))";
    books
        .execute_batch(sql)
        .map_err(|cause| failed(books, cause))?;
    import::init(books)
}

/// All labels, in the order of BIP329's types and then of their references. `spendable`, which
/// the reservations know, is left out.
pub fn get_all(books: &Connection) -> BitcoinResult<Vec<Label>> {
    let read = || {
        let mut statement =
            books.prepare_cached("SELECT kind, ref, label, origin FROM labels ORDER BY ref")?;
        let rows = statement.query_map((), |row| {
            let name: String = row.get(0)?;
            let kind = kind_of(&name).ok_or_else(|| {
                let what = rusqlite::types::Type::Text;
                rusqlite::Error::InvalidColumnType(0, name, what)
            })?;
            Ok(Label {
                kind,
                reference: row.get(1)?,
                label: row.get(2)?,
                origin: row.get(3)?,
                spendable: None,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let mut labels = read().map_err(|cause| failed(books, cause))?;
    labels.sort_by_key(|label| label.kind);
    Ok(labels)
}

/// The texts of all labels of a kind, by what they are about.
pub fn texts_of(books: &Connection, kind: LabelKind) -> BitcoinResult<HashMap<String, String>> {
    let read = || {
        books
            .prepare_cached("SELECT ref, label FROM labels WHERE kind = ?1")?
            .query_map([name_of(kind)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()
    };
    read().map_err(|cause| failed(books, cause))
}

/// Sets one label's text; an empty text removes it. Returns whether that changed something.
///
/// # Errors
/// `InvalidInput`: not a reference of this kind.
pub fn set(
    books: &Connection,
    kind: LabelKind,
    reference: &str,
    text: &str,
) -> BitcoinResult<bool> {
    let label = Label {
        kind,
        reference: reference.to_owned(),
        label: Some(text.to_owned()),
        origin: None,
        spendable: None,
    };
    Ok(import(books, &[label])? > 0)
}

/// Adds or replaces labels, all or none; an empty text removes one, no text leaves it as it is,
/// and so does no origin. Returns how many changed something. `spendable` is for the caller.
///
/// # Errors
/// `InvalidInput`: not a reference of its kind.
pub fn import(books: &Connection, labels: &[Label]) -> BitcoinResult<usize> {
    transaction(books, || {
        labels.iter().try_fold(0, |count, label| {
            Ok(count + usize::from(import_one(books, label)?))
        })
    })
}

/// Does this work on the books as a whole or not at all; may be within another.
fn transaction<T>(books: &Connection, work: impl FnOnce() -> BitcoinResult<T>) -> BitcoinResult<T> {
    let run = |sql| {
        books
            .execute_batch(sql)
            .map_err(|cause| failed(books, cause))
    };
    run("SAVEPOINT labels")?;
    let done = work().and_then(|value| run("RELEASE labels").map(|()| value));
    if done.is_err() {
        // Fails when SQLite has taken everything back already, as on a full disk.
        let _ = run("ROLLBACK TO labels; RELEASE labels");
    }
    done
}

fn import_one(books: &Connection, label: &Label) -> BitcoinResult<bool> {
    let reference = canonical(label.kind, &label.reference)?;
    let key = (name_of(label.kind), &reference);
    let write = || match label.label.as_deref() {
        None => Ok(0),
        Some("") => books
            .prepare_cached("DELETE FROM labels WHERE kind = ?1 AND ref = ?2")?
            .execute(key),
        Some(text) => books
            .prepare_cached(
                "INSERT INTO labels (kind, ref, label, origin) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind, ref) DO UPDATE
                 SET label = excluded.label, origin = coalesce(excluded.origin, origin)
                 WHERE label <> excluded.label
                    OR origin IS NOT coalesce(excluded.origin, origin)",
            )?
            .execute((key.0, key.1, text, &label.origin)),
    };
    let changed = write().map_err(|cause| failed(books, cause))?;
    Ok(changed > 0)
}

/// The one way in which this reference is written here, so that it is found again.
fn canonical(kind: LabelKind, reference: &str) -> BitcoinResult<String> {
    let text = reference.trim();
    let wrong = |what: &str| {
        let message = format!("the ref of type `{}` is not {what}", name_of(kind));
        fault::invalid(message).with_context("ref", text)
    };
    match kind {
        LabelKind::Tx => Txid::from_str(text)
            .map(|txid| txid.to_string())
            .map_err(|cause| wrong("a txid").with_source(cause)),
        LabelKind::Input | LabelKind::Output => {
            // The letters of a txid may be upper case; OutPoint's reader takes both.
            OutPoint::from_str(text)
                .map(|place| place.to_string())
                .map_err(|cause| wrong("a txid and a number, txid:n").with_source(cause))
        }
        _ if text.is_empty() => Err(wrong("there; it is empty")),
        LabelKind::Addr => Ok(Address::<NetworkUnchecked>::from_str(text)
            // Another kind of address than ours is kept as it is.
            .map_or_else(|_| text.to_owned(), |it| it.assume_checked().to_string())),
        LabelKind::Pubkey => Ok(text.to_ascii_lowercase()),
        LabelKind::Xpub => Ok(text.to_owned()),
    }
}

/// The name of a type in BIP329, the order of the enum.
const fn name_of(kind: LabelKind) -> &'static str {
    match kind {
        LabelKind::Tx => "tx",
        LabelKind::Addr => "addr",
        LabelKind::Pubkey => "pubkey",
        LabelKind::Input => "input",
        LabelKind::Output => "output",
        LabelKind::Xpub => "xpub",
    }
}

fn kind_of(name: &str) -> Option<LabelKind> {
    LabelKind::deserialize(StrDeserializer::<NameError>::new(name)).ok()
}

fn failed(books: &Connection, cause: rusqlite::Error) -> BitcoinError {
    const ADVICE: &str = "close the wallet and restore this file from a backup, or move it, with \
         its -wal and -shm, out of the folder; the next start scans the chain anew, and the \
         labels are lost";
    let path = books.path().unwrap_or("the wallet's books");
    fault::database(path.as_ref(), ADVICE, cause)
}

#[cfg(test)]
mod tests {
    use super::jsonl::EXAMPLE;
    use super::*;
    use btc_iface::ErrorKind;

    fn books() -> Connection {
        let books = Connection::open_in_memory().expect("memory");
        init(&books).expect("a new table");
        init(&books).expect("is there already");
        books
    }

    #[test]
    fn the_example_of_the_bip_is_imported_and_exported_again() {
        let labels = parse_jsonl(EXAMPLE).expect("BIP329's own");
        assert_eq!(labels.len(), 6, "{labels:?}");
        assert_eq!(labels[4].spendable, Some(false));
        let books = books();
        assert_eq!(import(&books, &labels).expect("valid"), 6);
        assert_eq!(
            import(&books, &labels).expect("valid"),
            0,
            "nothing changes"
        );
        let mut expected = labels;
        expected[4].spendable = None;
        assert_eq!(get_all(&books).expect("readable"), expected);
        let text = format_jsonl(&get_all(&books).expect("readable"));
        assert_eq!(parse_jsonl(&text).expect("own output"), expected);
    }

    #[test]
    fn a_label_is_replaced_removed_and_left_alone() {
        let books = books();
        let address = "BC1Q34AQ5DRPUWY3WGL9LHUP9892QP6SVR8LDZYY7C";
        let lower = address.to_ascii_lowercase();
        let get = || {
            let texts = texts_of(&books, LabelKind::Addr).expect("readable");
            texts.get(&lower).cloned()
        };
        assert!(set(&books, LabelKind::Addr, address, "rent").expect("valid"));
        assert_eq!(get().as_deref(), Some("rent"));
        let mut label = get_all(&books).expect("readable").remove(0);
        label.label = None;
        assert_eq!(
            import(&books, std::slice::from_ref(&label)).expect("valid"),
            0
        );
        assert_eq!(get().as_deref(), Some("rent"), "no text leaves it");
        assert!(!set(&books, LabelKind::Addr, &lower, "rent").expect("valid"));
        label.label = Some("rent".to_owned());
        label.origin = Some("wpkh([d34db33f/84'/0'/0'])".to_owned());
        assert_eq!(
            import(&books, std::slice::from_ref(&label)).expect("valid"),
            1
        );
        assert!(set(&books, LabelKind::Addr, &lower, "food").expect("valid"));
        label.label = Some("food".to_owned());
        assert_eq!(
            get_all(&books).expect("readable"),
            [label],
            "no origin leaves it"
        );
        assert!(set(&books, LabelKind::Addr, &lower, "").expect("valid"));
        assert_eq!(get(), None);
    }

    #[test]
    fn an_import_is_all_or_nothing() {
        let books = books();
        let mut labels = parse_jsonl(EXAMPLE).expect("BIP329's own");
        labels[5].kind = LabelKind::Tx;
        let error = import(&books, &labels).expect_err("an xpub is no txid");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(get_all(&books).expect("readable").is_empty());
        // Inside a caller's transaction too, which goes on.
        books.execute_batch("BEGIN").expect("none is open");
        set(&books, LabelKind::Xpub, "xpub1", "kept").expect("valid");
        import(&books, &labels).expect_err("still wrong");
        books.execute_batch("COMMIT").expect("still open");
        assert_eq!(get_all(&books).expect("readable").len(), 1);
    }

    #[test]
    fn names_are_those_of_the_bip() {
        let kinds = [
            LabelKind::Tx,
            LabelKind::Addr,
            LabelKind::Pubkey,
            LabelKind::Input,
            LabelKind::Output,
            LabelKind::Xpub,
        ];
        assert!(kinds.is_sorted());
        for kind in kinds {
            assert_eq!(kind_of(name_of(kind)), Some(kind));
        }
        assert_eq!(kind_of("spscan"), None);
    }
}

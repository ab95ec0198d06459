//! Which `wallet.json` is read: the table that the Python side is held to as well, and any text.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use bitcoin::bip32::Fingerprint;
use btc_iface::{AddressType, ErrorKind, Network};
use btc_rust::wallet::folder::{Folder, NewWallet, Origin, WALLET_JSON, create};
use btc_rust::wallet::keys::{Account, Keyring, watch_account};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::secret::Protection;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::{from_words, names, plain_wallet, refused, watch_only};

/// What is read and what is refused, for both implementations.
#[derive(Deserialize)]
struct Table {
    keys: std::collections::BTreeMap<String, String>,
    accounts: Vec<AccountCase>,
    fields: Vec<FieldsCase>,
    unlocked: Vec<UnlockedCase>,
}

#[derive(Deserialize)]
struct AccountCase {
    is_read: bool,
    #[serde(flatten)]
    account: Account,
}

#[derive(Deserialize)]
struct FieldsCase {
    is_read: bool,
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
struct UnlockedCase {
    is_own: bool,
    fields: Map<String, Value>,
}

/// The table, with its keys put into the texts.
fn table() -> Table {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../btc-python/python/tests/wallets.json");
    let mut text = fs::read_to_string(&path).expect("the table is in the repository");
    let keys: Table = serde_json::from_str(&text).expect("the table is JSON");
    for (name, key) in &keys.keys {
        text = text.replace(&format!("{{{name}}}"), key);
    }
    serde_json::from_str(&text).expect("the table stays JSON")
}

fn watching(account: &Account) -> NewWallet {
    NewWallet {
        change_type: account.address_type,
        origin: Origin::WatchOnly {
            accounts: vec![account.clone()],
            fingerprint: None,
        },
        ..watch_only()
    }
}

/// Opens what is there as a wallet does, up to its first addresses.
fn open(dir: &Path) -> Result<(), String> {
    let folder = Folder::open(dir).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        error.to_string()
    })?;
    let file = folder.file();
    Ledger::open(
        &folder.books(),
        folder.keyring(),
        file.birthday,
        file.gap_limit,
    )
    .map_err(|error| format!("opened, and has no books: {error}"))?;
    for (keychain, _) in folder.keyring().keychains() {
        for index in [0, 1, 20, (1 << 31) - 1] {
            let address = folder.keyring().address(keychain, index);
            address.map_err(|error| format!("opened, and does not derive: {error}"))?;
        }
    }
    Ok(())
}

/// The wallet of the test's words, with `wallet.json` as some program wrote it.
fn written(fields: &Map<String, Value>) -> (TempDir, PathBuf) {
    let (parent, dir) = plain_wallet();
    let path = dir.join(WALLET_JSON);
    let text = fs::read_to_string(&path).expect("a new wallet");
    let mut content: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    content.extend(fields.clone());
    fs::write(&path, Value::Object(content).to_string()).expect("the test's folder");
    (parent, dir)
}

fn open_with(fields: &Map<String, Value>) -> Result<(), String> {
    let (_parent, dir) = written(fields);
    open(&dir)
}

#[test]
fn descriptors_that_cannot_be_watched_are_refused_at_creation_and_at_opening() {
    let mut wrong = Vec::new();
    for case in table().accounts {
        let AccountCase { is_read, account } = case;
        let parent = tempfile::tempdir().expect("a folder for the test");
        let dir = parent.path().join("wallet");
        let made = create(&dir, &watching(&account));
        if made.is_ok() != is_read {
            wrong.push(format!("created is {}: {account:?}", made.is_ok()));
        }
        match made {
            Ok(()) => {
                if let Err(said) = open(&dir) {
                    wrong.push(format!("made, and not opened: {said}: {account:?}"));
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(!error.to_string().contains("prv"), "{error}");
                assert!(names(parent.path()).is_empty(), "{account:?}");
            }
        }
        let fields = json!({
            "fingerprint": null, "change_type": account.address_type, "accounts": [account],
        });
        let fields = fields.as_object().expect("an object");
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| open_with(fields)));
        match opened {
            Ok(Ok(())) if is_read => {}
            Ok(Err(said)) if !is_read && !said.starts_with("opened") => {}
            other => wrong.push(format!("opened is {other:?}: {account:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_description_may_say_is_what_the_table_says() {
    let mut wrong = Vec::new();
    for case in table().fields {
        let opened = open_with(&case.fields);
        if opened.is_ok() != case.is_read {
            wrong.push(format!("{opened:?}: {:?}", case.fields));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn descriptors_of_other_words_are_found_when_the_wallet_is_unlocked() {
    let mut wrong = Vec::new();
    for case in table().unlocked {
        let (_parent, dir) = written(&case.fields);
        open(&dir).expect("watched without its words");
        let folder = Folder::open(&dir).expect("opened before");
        let unlocked = folder.unlock(None);
        if unlocked.is_ok() != case.is_own {
            wrong.push(format!(
                "unlocked is {}: {:?}",
                unlocked.is_ok(),
                case.fields
            ));
        }
        if unlocked.is_err() {
            refused(unlocked, ErrorKind::Configuration, "another wallet");
            refused(
                folder.reveal(None),
                ErrorKind::Configuration,
                "another wallet",
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_descriptor_with_both_chains_is_refused_where_one_of_them_cannot_be_derived() {
    let table = table();
    let key = |name: &str| table.keys[name].clone();
    let (origin, tpub) = (key("origin"), key("tpub"));
    for form in ["pkh(@)", "sh(wpkh(@))", "wpkh(@)", "tr(@)"] {
        let read = |steps: &str| {
            let text = form.replace('@', &format!("{origin}{tpub}{steps}"));
            watch_account(Network::Regtest, &text)
        };
        let account = read("/<0;1>/*").expect("the usual form");
        Keyring::new(Network::Regtest, &[account]).expect("read before");
        for steps in [
            "/<0;1>/*h",
            "/<0;1>/*'",
            "/<0;0>/*",
            "/<0h;1h>/*",
            "/<0;1h>/*",
            "/0h/<0;1>/*",
            "/<0;1;2>/*",
            "/<0;1>/<0;1>/*",
            "/0/*",
            "/<0;1>",
            "/<0;1>/0",
            "/<0;1>/*/0",
            "/<0>/*",
        ] {
            let error = read(steps).expect_err(steps);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{steps}");
        }
    }
}

/// Steps of which most derive; `both` stands for a chain, or for both.
fn steps(both: &'static [&'static str]) -> impl Strategy<Value = String> {
    let number = prop_oneof![
        6 => (0..10_u32).prop_map(|number| number.to_string()),
        1 => Just("2147483647".to_owned()),
        1 => Just("2147483648".to_owned()),
        1 => "[0-9+ _-]{0,3}",
    ];
    let mark = prop_oneof![8 => Just(""), 1 => Just("h"), 1 => Just("'"), 1 => Just("H")];
    let step = (number, mark).prop_map(|(number, mark)| format!("{number}{mark}"));
    let pair = proptest::collection::vec(step.clone(), 1..4)
        .prop_map(|steps| format!("<{}>", steps.join(";")));
    let chain = prop_oneof![8 => proptest::sample::select(both).prop_map(str::to_owned), 2 => pair];
    let further = prop_oneof![6 => step, 1 => "[*<>;0-9h'/]{0,4}"];
    let end = prop_oneof![12 => Just("/*"), 1 => Just("/*h"), 1 => Just("/*'"), 1 => Just("")];
    (proptest::collection::vec(further, 0..2), chain, end).prop_map(|(further, chain, end)| {
        let further: String = further.iter().map(|part| format!("{part}/")).collect();
        format!("/{further}{chain}{end}")
    })
}

fn texts(both: &'static [&'static str]) -> impl Strategy<Value = String> {
    let table = table();
    let sound = proptest::sample::select(vec![
        table.keys["tpub"].clone(),
        table.keys["other"].clone(),
        table.keys["depth_253"].clone(),
    ]);
    let any_key = proptest::sample::select(table.keys.into_values().collect::<Vec<_>>());
    let origin = prop_oneof![
        3 => Just(String::new()),
        3 => Just("[73c5da0a/84'/1'/0']".to_owned()),
        1 => "\\[[0-9a-fA-F]{7,9}(/[0-9]{1,10}[h'H]?){0,3}\\]?",
    ];
    let form = prop_oneof![
        4 => Just(("wpkh(", ")")),
        1 => Just(("pkh(", ")")),
        1 => Just(("sh(wpkh(", "))")),
        1 => Just(("tr(", ")")),
        1 => proptest::sample::select(vec![("wsh(pk(", "))"), ("sh(", ")"), ("wsh(", ")"), ("", "")]),
    ];
    let key = (prop_oneof![6 => sound, 1 => any_key], origin, steps(both))
        .prop_map(|(key, origin, steps)| format!("{origin}{key}{steps}"));
    let whole = (form, key)
        .prop_map(|((open, close), key)| format!("{open}{key}{close}"))
        .boxed();
    prop_oneof![
        8 => whole.clone(),
        // Damaged at any place.
        1 => (whole, any::<prop::sample::Index>(), any::<char>()).prop_map(|(text, place, with)| {
            let mut letters: Vec<char> = text.chars().collect();
            let place = place.index(letters.len());
            letters[place] = with;
            letters.into_iter().collect()
        }),
        1 => "\\PC{0,80}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_descriptor_is_refused_or_opens_and_derives(text in texts(&["<0;1>"])) {

        let Ok(account) = watch_account(Network::Regtest, &text) else {
            return Ok(());
        };
        let parent = tempfile::tempdir().expect("a folder for the test");
        let dir = parent.path().join("wallet");
        create(&dir, &watching(&account)).expect(&text);
        prop_assert_eq!(open(&dir), Ok(()), "{}", text);
        // What was written is what is read, so nothing of the text is lost.
        let (file, _) = Folder::peek(&dir).expect("opened before");
        prop_assert_eq!(&file.accounts, &[account]);
    }

    #[test]
    fn any_account_is_refused_or_opens_and_derives(
        receive in texts(&["0", "1"]), change in texts(&["0", "1"]),
    ) {
        let address_type = match receive.split('(').next() {
            Some("tr") => AddressType::P2tr,
            Some("pkh") => AddressType::P2pkh,
            Some("sh") => AddressType::P2shP2wpkh,
            _ => AddressType::P2wpkh,
        };
        let account = Account { address_type, receive, change };
        let parent = tempfile::tempdir().expect("a folder for the test");
        let dir = parent.path().join("wallet");
        match create(&dir, &watching(&account)) {
            Ok(()) => prop_assert_eq!(open(&dir), Ok(()), "{:?}", account),
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidInput, "{:?}", account);
                prop_assert!(names(parent.path()).is_empty());
            }
        }
    }
}

#[test]
fn a_wallet_of_words_has_a_fingerprint_that_its_descriptors_name() {
    let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
    let (_parent, dir) = crate::support::wallet(&new);
    let (file, _) = Folder::peek(&dir).expect("a new wallet");
    let expected: Fingerprint = "73c5da0a".parse().expect("hexadecimal");
    assert_eq!(file.fingerprint, Some(expected));
}

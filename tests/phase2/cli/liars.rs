//! `btc send` over a class that answers otherwise than it was asked, and what fails after a payment.

use std::fs::File;

use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{Outcome, Program};
use rusqlite::Connection;
use serde_json::json;

use super::{Case, Purse, SOMEBODY, error, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("send_refuses_what_was_not_asked_for", liars),
    ("send_takes_an_unknown_fee_only_when_allowed", without_fee),
    ("a_payment_is_no_failure_for_what_comes_after_it", after),
    ("a_label_does_nothing_to_a_terminal", labels),
];

/// Classes of a user's own that build something else; another's address is the thief's.
const CLASSES: &str = r#"
from btc_legacy.backend import LegacyBackend

THIEF = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


class Lying(LegacyBackend):
    def build(self, build, outputs, fee_rate):
        return build(outputs, fee_rate)

    def create_transaction(self, outputs, fee_rate):
        return self.build(super().create_transaction, outputs, fee_rate)

    def create_transaction_with_snapshot(self, outputs, fee_rate):
        return self.build(super().create_transaction_with_snapshot, outputs, fee_rate)


class Honest(Lying):
    pass


class Redirects(Lying):
    def build(self, build, outputs, fee_rate):
        return build([(THIEF, value) for _, value in outputs], fee_rate)


class PaysLess(Lying):
    def build(self, build, outputs, fee_rate):
        return build([(to, value - 1) for to, value in outputs], fee_rate)


class PaysTwice(Lying):
    def build(self, build, outputs, fee_rate):
        return build([*outputs, *outputs], fee_rate)


class Skims(Lying):
    def build(self, build, outputs, fee_rate):
        return build([*outputs, (THIEF, 5_000)], fee_rate)


class Forgets(Lying):
    def build(self, build, outputs, fee_rate):
        return build(outputs[1:], fee_rate)


class WithoutFee(Lying):
    def build(self, build, outputs, fee_rate):
        built = build(outputs, fee_rate)
        transaction = built[0] if isinstance(built, tuple) else built
        transaction["fee_sat"] = None
        return built
"#;

/// The program over one of these classes, in shadow mode or not.
fn over(purse: &Purse<'_>, class: &str, shadow: &str, arguments: &[&str]) -> Program {
    let folder = purse.folder.home();
    std::fs::write(folder.join("liars.py"), CLASSES).expect("our own folder");
    purse
        .program(arguments)
        .env("PRIMARY_IMPL", "python")
        .env("SHADOW_MODE", shadow)
        .env("LOG_FILE", folder.join("shadow.log"))
        .env("PYTHONPATH", folder)
        .env("PYTHON_BACKEND", format!("liars:{class}"))
}

fn liars(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for shadow in ["false", "true"] {
        let purse = Purse::new(chain, node)?;
        let (own, _) = purse.address(AddressType::P2wpkh)?;
        let first = format!("{SOMEBODY}=20000sat");
        let second = format!("{own}=10000sat");
        let payment = ["send", &first, &second, "--fee-rate", "2", "--json"];
        for class in ["Redirects", "PaysLess", "PaysTwice", "Skims", "Forgets"] {
            purse.receive(chain, AddressType::P2wpkh, &[150_000])?;
            let before = mempool(chain.node())?;
            let run = over(&purse, class, shadow, &payment).run().code(1);
            let said = text(&error(&run)["message"]);
            assert!(
                said.contains("not the one that was asked for"),
                "{class}: {said}"
            );
            assert!(said.contains("nothing was sent"), "{class}: {said}");
            assert!(run.stdout.is_empty(), "{run:?}");
            assert_eq!(mempool(chain.node())?, before, "{class} was sent");
        }
        purse.receive(chain, AddressType::P2wpkh, &[150_000])?;
        let sent = over(&purse, "Honest", shadow, &payment).run().code(0);
        let sent = sent.json();
        assert!(mempool(chain.node())?.contains(&text(&sent["txid"])));
        let outputs = sent["outputs"].as_array().ok_or("a list")?;
        let change: Vec<_> = outputs.iter().map(|it| it["is_change"] == true).collect();
        assert_eq!(change, [false, false, true], "{sent}");
        chain.mine(1)?;
    }
    Ok(())
}

fn without_fee(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for shadow in ["false", "true"] {
        let purse = Purse::new(chain, node)?;
        purse.receive(chain, AddressType::P2wpkh, &[150_000, 140_000])?;
        let before = mempool(chain.node())?;
        let payment = format!("{SOMEBODY}=20000sat");
        let arguments = ["send", &payment, "--fee-rate", "2"];
        let run = over(&purse, "WithoutFee", shadow, &arguments).run().code(2);
        run.says(&["its fee", "--allow-high-fee", "nothing was sent"]);
        assert_eq!(mempool(chain.node())?, before);
        let allowed = [&arguments[..], &["--allow-high-fee"]].concat();
        let run = over(&purse, "WithoutFee", shadow, &allowed).run().code(0);
        let txid = run.stdout.trim().to_owned();
        assert!(mempool(chain.node())?.contains(&txid));
        chain.mine(1)?;
    }
    Ok(())
}

/// A label that cannot be written and a result that cannot be printed: the payment is sent, so the
/// exit code is 0 and the txid is said.
fn after(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000, 80_000, 70_000])?;
    let payment = format!("{SOMEBODY}=20000sat");
    purse.json(&["send", &payment, "--fee-rate", "2", "--label", "first"]);
    let books = purse.folder.path().join("rust.sqlite");
    Connection::open(books)?.execute_batch(
        "CREATE TRIGGER refuses BEFORE INSERT ON labels
         BEGIN SELECT RAISE(ABORT, 'no room for labels'); END",
    )?;
    let labelled = ["send", &payment, "--fee-rate", "2", "--label", "second"];
    let run = purse.run(&labelled).code(0);
    let run = run.says(&["the transaction is sent", "its label was not written"]);
    assert!(mempool(chain.node())?.contains(&run.stdout.trim().to_owned()));

    let before = mempool(chain.node())?;
    let full = File::options().write(true).open("/dev/full")?;
    let arguments = ["send", &payment, "--fee-rate", "2"];
    let run = purse.program(&arguments).stdout(full).run().code(0);
    let after = mempool(chain.node())?;
    let new = after.iter().find(|txid| !before.contains(txid));
    run.says(&["the transaction is sent", new.ok_or("it was not sent")?]);
    chain.mine(1)?;
    Ok(())
}

/// Labels come from others, too: an export of a wallet that someone else has kept.
fn labels(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let (address, _) = purse.address(AddressType::P2wpkh)?;
    let hostile = "rent\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\nall is well";
    let line = json!({"type": "addr", "ref": address, "label": hostile}).to_string();
    let import = purse.program(&["labels", "import", "-"]).input(line);
    import.run().code(0);
    for arguments in [
        &["address", "list"][..],
        &["address", "list", "--json"],
        &["labels", "export"],
    ] {
        let shown = purse.program(arguments).at_terminal().run().code(0).stdout;
        assert!(shown.contains("rent"), "{shown}");
        for obeyed in ['\u{9b}', '\u{7}', '\u{202e}'] {
            assert!(!shown.contains(obeyed), "{shown:?}");
        }
        assert!(!shown.contains("\u{1b}]"), "{shown:?}");
        assert!(!shown.contains("\nall is well"), "{shown:?}");
    }
    // What a program reads is as it was written.
    let listed = purse.json(&["address", "list"]);
    let found = listed.as_array().ok_or("a list")?;
    let found = found.iter().find(|it| it["address"] == address);
    assert_eq!(found.ok_or("listed")?["label"], hostile);
    Ok(())
}

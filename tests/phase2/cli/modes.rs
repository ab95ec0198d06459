//! The wallet's verbs through Python and through shadow mode, and both wallets in parity.

use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{Outcome, Program, Test};
use serde_json::Value;

use super::{Case, Purse, SOMEBODY, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("python_answers_when_asked", python),
    ("shadow_mode_compares_and_records", shadow),
];

pub(super) const ALONE: &[(&str, Test)] = &[("parity_finds_no_difference", parity)];

fn python(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for mode in ["embedded", "worker"] {
        let purse = Purse::new(chain, node)?;
        let python = |arguments: &[&str]| {
            let program = purse.program(arguments).env("USE_RUST_BITCOIN", "false");
            program.env("PYTHON_MODE", mode)
        };
        purse.receive(chain, AddressType::P2wpkh, &[90_000, 80_000])?;
        let balance = python(&["balance", "--json"]).run().code(0).json();
        assert_eq!(balance["spendable_sat"], 170_000);
        assert!(
            balance.get("confirmed_sat").is_none(),
            "Rust answered: {balance}"
        );
        // One range of addresses, whoever gives them out.
        let first = purse.json(&["address", "new"]);
        let second = python(&["address", "new", "--json"]).run().code(0).json();
        let third = purse.json(&["address", "new"]);
        let index = |it: &Value| it["index"].as_u64();
        assert_eq!(index(&second), index(&first).map(|it| it + 1));
        assert_eq!(index(&third), index(&first).map(|it| it + 2));
        let run = python(&["address", "new", "--label", "x"]).run().code(0);
        run.says(&["label"]);
        let payment = format!("{SOMEBODY}=20000sat");
        let sent = python(&["send", &payment, "--fee-rate", "3", "--json"])
            .run()
            .code(0)
            .json();
        assert!(
            mempool(chain.node())?.contains(&text(&sent["txid"])),
            "{sent}"
        );
        assert_eq!(sent["is_sent"], true);
        let outputs = sent["outputs"].as_array().ok_or("a list")?;
        let change: Vec<_> = outputs.iter().map(|it| it["is_change"] == true).collect();
        assert_eq!(
            change,
            [false, true],
            "recipients first, change last: {sent}"
        );
        // The Rust wallet sees it, and its reservation.
        assert_eq!(purse.json(&["history"])[0]["txid"], sent["txid"]);
        // The limits are the same, checked before anything is sent.
        let before = mempool(chain.node())?.len();
        let high = ["send", &payment, "--fee-rate", "1001"];
        python(&high).run().code(2).says(&["MAX_FEE_RATE"]);
        let small = format!("{SOMEBODY}=1000sat");
        let run = python(&["send", &small, "--fee-rate", "3"]).run().code(2);
        run.says(&["10 %", "--allow-high-fee", "nothing was sent"]);
        let run = python(&["send", "--drain-to", SOMEBODY]).run().code(2);
        run.says(&["--drain-to", "USE_RUST_BITCOIN"]);
        let run = python(&["send", &payment, "--dry-run"]).run().code(2);
        run.says(&["--dry-run"]);
        let far = format!("{SOMEBODY}=1BTC");
        python(&["send", &far, "--fee-rate", "3"])
            .run()
            .code(1)
            .says(&["missing"]);
        assert_eq!(mempool(chain.node())?.len(), before);
        chain.mine(1)?;
    }
    Ok(())
}

fn shadow(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for primary in ["rust", "python"] {
        let purse = Purse::new(chain, node)?;
        purse.receive(chain, AddressType::P2tr, &[90_000, 80_000])?;
        let log = purse.folder.home().join("shadow.log");
        let shadowed = |arguments: &[&str]| {
            purse
                .program(arguments)
                .env("SHADOW_MODE", "true")
                .env("PRIMARY_IMPL", primary)
                .env("LOG_FILE", &log)
        };
        let balance = shadowed(&["balance", "--json"]).run().code(0).json();
        assert_eq!(balance["spendable_sat"], 170_000);
        shadowed(&["address", "new", "--type", "p2sh-p2wpkh"])
            .run()
            .code(0);
        let payment = format!("{SOMEBODY}=20000sat");
        let sent = shadowed(&["send", &payment, "--fee-rate", "3", "--json"])
            .run()
            .code(0);
        let sent = sent.json();
        assert!(
            mempool(chain.node())?.contains(&text(&sent["txid"])),
            "{sent}"
        );
        let far = format!("{SOMEBODY}=1BTC");
        shadowed(&["send", &far, "--fee-rate", "3"]).run().code(1);
        let path = log.display().to_string();
        // They agree, in far too few calls to switch.
        let report = Program::with(&["analyze", &path, "--json"])
            .run()
            .code(2)
            .json();
        assert_eq!(report["conclusion"], "agree", "{report}");
        let operations = report["operations"].as_array().ok_or("a list")?;
        for (name, compared) in [
            ("get_balance", 1),
            ("generate_address", 1),
            ("create_transaction", 2),
            ("broadcast_transaction", 1),
        ] {
            let found = operations.iter().find(|it| it["operation"] == name);
            assert_eq!(
                found.ok_or(name)?["compared"],
                compared,
                "{primary}: {report}"
            );
        }
        let logged = std::fs::read_to_string(&log)?;
        assert!(
            !logged.contains(&purse.folder.words),
            "the words are in the log"
        );
        chain.mine(1)?;
    }
    Ok(())
}

fn parity() -> Outcome {
    let run = Program::new("parity --cases 50 --json").run().code(0);
    let found = run.json();
    assert_eq!(
        (&found["differing"], &found["differences"]),
        (&0.into(), &serde_json::json!([]))
    );
    let counted = [
        &found["planned"],
        &found["refused"],
        &found["live"]["steps"],
    ];
    let sum: u64 = counted.iter().filter_map(|it| it.as_u64()).sum();
    assert_eq!(sum, 50, "{found}");
    assert!(found["planned"].as_u64() > Some(20), "{found}");
    assert!(run.files.is_empty(), "{:?}", run.files);
    Ok(())
}

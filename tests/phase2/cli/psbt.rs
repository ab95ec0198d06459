//! `btc psbt`: a watch-only wallet that pays with a signer elsewhere, and PSBTs that lie.

use std::str::FromStr;

use btc::bitcoin::{Amount, Psbt, ScriptBuf};
use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{Outcome, Program};
use serde_json::json;

use super::{Case, Failed, Purse, SOMEBODY, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[
    (
        "a_watch_only_wallet_pays_with_a_signer_elsewhere",
        signer_elsewhere,
    ),
    ("a_psbt_that_lies_is_shown_as_it_is", lies),
    ("psbts_that_are_none_or_do_not_fit", wrong),
    (
        "what_the_node_prints_as_version_2_is_shown_and_signed",
        version_2,
    ),
];

/// A folder that watches what the purse owns, and the folder above it.
fn watching(purse: &Purse<'_>) -> Result<(tempfile::TempDir, std::path::PathBuf), Failed> {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("watch");
    let mut create = vec!["wallet".to_owned(), "create".to_owned()];
    for row in purse
        .json(&["wallet", "export"])
        .as_array()
        .ok_or("a list")?
    {
        create.extend(["--watch".to_owned(), text(&row["both"])]);
    }
    let create: Vec<&str> = create.iter().map(String::as_str).collect();
    Program::with(&create)
        .node(purse.node)
        .env("WALLET_DIR", &dir)
        .run()
        .code(0);
    Ok((home, dir))
}

fn signer_elsewhere(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for address_type in AddressType::ALL {
        let cold = Purse::new(chain, node)?;
        let (_home, dir) = watching(&cold)?;
        let watch =
            |arguments: &[&str]| Program::with(arguments).node(node).env("WALLET_DIR", &dir);
        cold.receive(chain, address_type, &[90_000, 80_000])?;
        let payment = format!("{SOMEBODY}=120000sat");
        let create = ["psbt", "create", &payment, "--fee-rate", "3", "--json"];
        let made = watch(&create).run().code(0).json();
        let unsigned = text(&made["psbt"]);
        let coins = watch(&["utxo", "--json"]).run().code(0).json();
        assert!(
            coins
                .as_array()
                .ok_or("a list")?
                .iter()
                .all(|it| it["reserved_for"].is_string()),
            "{coins}"
        );
        // The signer needs neither node nor network.
        let sign =
            |arguments: &[&str]| Program::with(arguments).env("WALLET_DIR", cold.folder.path());
        let run = sign(&["psbt", "sign", "-"]).input(&unsigned).run().code(0);
        let run = run.says(&["pays", SOMEBODY, "change", "2 of 2 inputs signed"]);
        let signed = run.stdout.trim().to_owned();
        // Back where it came from, over a file.
        let combine = watch(&["psbt", "combine", "unsigned.psbt", &signed]);
        std::fs::write(combine.folder.path().join("unsigned.psbt"), &unsigned)?;
        let combined = combine.run().code(0).stdout;
        let run = watch(&["psbt", "extract", combined.trim()]).run().code(2);
        run.says(&["not final"]);
        let run = watch(&["psbt", "finalize", &unsigned]).run().code(1);
        run.says(&["signatures are missing", "combine"]);
        let last = watch(&["psbt", "finalize", combined.trim()])
            .run()
            .code(0)
            .stdout;
        let extract = watch(&["psbt", "extract", last.trim(), "--json"])
            .run()
            .code(0)
            .json();
        let hex = text(&extract["transaction"]);
        let sent = watch(&["broadcast", "-", "--json"])
            .input(&hex)
            .run()
            .code(0)
            .json();
        assert_eq!(sent["txid"], extract["txid"]);
        assert!(
            mempool(chain.node())?.contains(&text(&sent["txid"])),
            "{address_type}"
        );
        let history = watch(&["history", "--json"]).run().code(0).json();
        assert_eq!(history[0]["txid"], sent["txid"]);
        // Its fee is raised the same way.
        let bump = [
            "psbt",
            "bump",
            &text(&sent["txid"]),
            "--fee-rate",
            "8",
            "--json",
        ];
        let raised = watch(&bump).run().code(0).json();
        let signed = sign(&["psbt", "sign", &text(&raised["psbt"])])
            .run()
            .code(0)
            .stdout;
        let last = watch(&["psbt", "finalize", signed.trim()])
            .run()
            .code(0)
            .stdout;
        let hex = watch(&["psbt", "extract", last.trim()])
            .run()
            .code(0)
            .stdout;
        let second = watch(&["broadcast", hex.trim()]).run().code(0).stdout;
        let waiting = mempool(chain.node())?;
        assert!(
            waiting.contains(&second.trim().to_owned()) && !waiting.contains(&text(&sent["txid"]))
        );
        chain.mine(1)?;
    }
    Ok(())
}

/// Somebody puts the wallet's key on an output of their own: it is no change.
fn lies(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    // The type whose change carries ECDSA keys.
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let payment = format!("{SOMEBODY}=20000sat");
    let made = purse.json(&["psbt", "create", &payment, "--fee-rate", "3"]);
    let mut psbt = Psbt::from_str(&text(&made["psbt"]))?;
    let outputs = made["outputs"].as_array().ok_or("a list")?;
    let change = outputs
        .iter()
        .position(|it| it["is_change"] == true)
        .ok_or("change")?;
    let thief = ScriptBuf::from_hex(&format!("0014{}", "11".repeat(20)))?;
    psbt.unsigned_tx.output[change].script_pubkey = thief;
    let shown = purse.json(&["psbt", "show", &psbt.to_string()]);
    assert_eq!(shown["outputs"][change]["is_change"], false, "{shown}");
    assert_eq!(shown["outputs"][change]["is_mine"], false, "{shown}");
    let people = purse
        .run(&["psbt", "show", &psbt.to_string()])
        .code(0)
        .stdout;
    assert!(
        !people.contains("change") && people.matches("pays").count() == 2,
        "{people}"
    );
    let honest = purse
        .run(&["psbt", "show", &text(&made["psbt"])])
        .code(0)
        .stdout;
    assert!(honest.contains("change"), "{honest}");
    // Without a wallet nothing is anybody's.
    let run =
        Program::with(&["psbt", "show", &text(&made["psbt"])]).env("BITCOIN_NETWORK", "regtest");
    let plain = run.run().code(0).stdout;
    assert!(
        !plain.contains("change") && plain.contains(SOMEBODY),
        "{plain}"
    );
    Program::with(&["psbt", "show", &text(&made["psbt"])])
        .run()
        .code(3)
        .says(&["BITCOIN_NETWORK"]);

    // An amount that is not the coin's is not signed.
    let mut psbt = Psbt::from_str(&text(&made["psbt"]))?;
    let claimed = psbt.inputs[0]
        .witness_utxo
        .as_mut()
        .ok_or("a coin of segwit")?;
    claimed.value = Amount::from_sat(claimed.value.to_sat() - 10_000);
    psbt.inputs[0].non_witness_utxo = None;
    let run = purse.run(&["psbt", "sign", &psbt.to_string()]).code(2);
    assert!(run.stdout.is_empty(), "{run:?}");

    // A fee out of proportion does not leave unnoticed.
    let mut psbt = Psbt::from_str(&text(&made["psbt"]))?;
    psbt.unsigned_tx.output.remove(change);
    psbt.outputs.remove(change);
    let signed = purse
        .run(&["psbt", "sign", &psbt.to_string()])
        .code(0)
        .says(&["fee"])
        .stdout;
    let last = purse
        .run(&["psbt", "finalize", signed.trim()])
        .code(0)
        .stdout;
    purse
        .run(&["psbt", "extract", last.trim()])
        .code(2)
        .says(&["--allow-high-fee"]);
    let allowed = ["psbt", "extract", last.trim(), "--allow-high-fee", "--json"];
    assert_eq!(purse.run(&allowed).code(0).json()["fee_sat"], json!(70_000));
    Ok(())
}

fn wrong(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000, 80_000])?;
    for junk in ["no/such/file", "cHNidPzz", "cHNidP8BAAA=", ""] {
        let run = purse.run(&["psbt", "show", junk]).code(2);
        assert!(run.stdout.is_empty() && run.stderr.len() < 1_000, "{run:?}");
    }
    for input in ["", "junk", "\u{0}\u{1}"] {
        purse
            .program(&["psbt", "sign", "-"])
            .input(input)
            .run()
            .code(2);
    }
    let payment = format!("{SOMEBODY}=20000sat");
    let create = ["psbt", "create", &payment, "--fee-rate", "3"];
    let one = purse.run(&create).code(0).stdout;
    let other = purse.run(&create).code(0).stdout;
    let run = purse
        .run(&["psbt", "combine", one.trim(), other.trim()])
        .code(2);
    run.says(&["different transactions"]);
    purse.run(&["psbt", "combine", one.trim()]).code(2);
    // Both have their coins; a third finds none.
    let run = purse.run(&create).code(1);
    run.says(&["not enough coins", "reserved_or_locked_sat: 170000"]);
    // A PSBT is not a transaction; the error says which verbs make one of it.
    for argument in [one.trim(), "-"] {
        let run = purse.program(&["broadcast", argument]).input(&one).run();
        run.code(2).says(&["is a PSBT", "btc psbt finalize"]);
    }
    // One of them is not sent: its coin is free, and the other's is not.
    let cancelled = purse.json(&["psbt", "cancel", other.trim()]);
    assert_eq!(cancelled["released"], 1, "{cancelled}");
    let again = purse.json(&["psbt", "cancel", other.trim()]);
    assert_eq!(again["released"], 0, "{again}");
    purse.run(&create).code(0);
    purse.run(&create).code(1).says(&["not enough coins"]);
    // A wallet that has no part in it signs nothing, and says so.
    let stranger = Purse::new(chain, node)?;
    let run = stranger.run(&["psbt", "sign", one.trim()]).code(1);
    let run = run.says(&["0 of 1 input signed", "none of its open inputs"]);
    assert_eq!(run.stdout, one);
    let sign = ["psbt", "sign", one.trim(), "--json"];
    let signed = stranger.run(&sign).code(1).json();
    assert_eq!(
        (&signed["signed"], &signed["outputs"][0]["is_mine"]),
        (&0.into(), &false.into())
    );
    Ok(())
}

/// The node's `createpsbt` prints version 2 (BIP370) unless it is asked for another.
fn version_2(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let coins = purse.json(&["utxo"]);
    let outpoint = text(&coins[0]["outpoint"]);
    let (txid, vout) = outpoint.split_once(':').ok_or("txid:vout")?;
    let vout: u32 = vout.parse()?;
    let mut parameters = vec![
        json!([{"txid": txid, "vout": vout}]),
        json!([{ SOMEBODY: 0.0008 }]),
        json!(0),
        json!(true),
        json!(2),
        json!(2),
    ];
    let printed: String = chain.node().call("createpsbt", &parameters)?;
    parameters[5] = json!(0);
    let old: String = chain.node().call("createpsbt", &parameters)?;
    assert_ne!(printed, old);
    let shown = purse.json(&["psbt", "show", &printed]);
    assert_eq!(shown, purse.json(&["psbt", "show", &old]));
    assert_eq!(shown["outputs"][0]["value_sat"], 80_000);
    // As mail programs break it, as an argument and as a file.
    let lines: Vec<String> = printed
        .as_bytes()
        .chunks(60)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let broken = format!("\n  {}\r\n", lines.join("\r\n  "));
    assert_eq!(purse.json(&["psbt", "show", &broken]), shown);
    let run = purse.program(&["psbt", "sign", "-"]).input(&broken).run();
    let signed = run.code(0).says(&["1 of 1 input signed"]).stdout;
    let last = purse.run(&["psbt", "finalize", signed.trim()]).code(0);
    let extract = ["psbt", "extract", last.stdout.trim(), "--allow-high-fee"];
    let hex = purse.run(&extract).code(0).stdout;
    let sent = purse.run(&["broadcast", hex.trim()]).code(0).stdout;
    assert!(mempool(chain.node())?.contains(&sent.trim().to_owned()));
    chain.mine(1)?;
    Ok(())
}

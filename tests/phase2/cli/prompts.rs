//! What is asked at a terminal, and that secrets are not shown there.

use btc::NodeConfig;
use btc::bitcoin::Amount;
use btc_regtest::Chain;
use btc_tests::{Outcome, Program};

use super::{Case, SOMEBODY, script};

pub(super) const CASES: &[(&str, Case)] = &[("passphrases_are_asked_for", passphrases)];

fn passphrases(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("wallet");
    let over = |arguments: &[&str]| Program::with(arguments).node(node).env("WALLET_DIR", &dir);
    let typed = |arguments: &[&str], input: &str| over(arguments).at_terminal().input(input).run();

    let create = ["wallet", "create"];
    let run = typed(&create, "long enough\nlong enuogh\n").code(2);
    assert!(run.stdout.contains("differ") && !dir.exists(), "{run:?}");
    let run = typed(&create, "\n\n").code(2);
    assert!(run.stdout.contains("empty") && !dir.exists(), "{run:?}");
    let run = typed(&create, "long enough\nlong enough\n").code(0);
    assert!(run.stdout.contains("write these words down"), "{run:?}");
    assert_eq!(
        run.stdout.matches("passphrase for the wallet").count(),
        2,
        "{run:?}"
    );
    let words = run
        .stdout
        .lines()
        .map(str::trim)
        .rfind(|line| line.split(' ').count() == 12)
        .ok_or("twelve words on a line")?
        .to_owned();

    let new = over(&["address", "new", "--json"]).run().code(0).json();
    chain.pay(
        &[(script(&new["script_pubkey"])?, Amount::from_sat(90_000))],
        2,
    )?;
    chain.mine(1)?;
    let payment = format!("{SOMEBODY}=20000sat");
    let send = ["send", &payment, "--fee-rate", "3"];
    let run = typed(&send, "long enuogh\n").code(3);
    assert!(run.stdout.contains("wrong"), "{run:?}");
    let run = typed(&send, "long enough\n").code(0);
    assert!(run.stdout.contains("passphrase of the wallet"), "{run:?}");

    // The words from a pipe, the rest from the terminal's answers.
    let again = home.path().join("again");
    let file = home.path().join("words");
    std::fs::write(&file, format!("{words}\n"))?;
    let path = file.display().to_string();
    let restore = ["wallet", "restore", "--words", &path, "--bip39-passphrase"];
    let restore = Program::with(&restore).node(node).env("WALLET_DIR", &again);
    let run = restore
        .at_terminal()
        .input("zwei\nzwei\nlong enough\nlong enough\n")
        .run();
    let run = run.code(0);
    assert!(run.stdout.contains("BIP39 passphrase, again"), "{run:?}");
    // Another BIP39 passphrase is another wallet.
    let info = |dir: &std::path::Path| {
        let run = over(&["wallet", "info", "--json"])
            .env("WALLET_DIR", dir)
            .run();
        run.code(0).json()["fingerprint"].clone()
    };
    assert_ne!(info(&dir), info(&again));
    // From a file, it is the same again.
    let third = home.path().join("third");
    let second_factor = home.path().join("second-factor");
    std::fs::write(&second_factor, "zwei\n")?;
    let factor = second_factor.display().to_string();
    let restore = [
        "wallet",
        "restore",
        "--plain",
        "--words",
        &path,
        "--bip39-passphrase-file",
        &factor,
    ];
    over(&restore).env("WALLET_DIR", &third).run().code(0);
    assert_eq!(info(&third), info(&again));
    // Words typed at the terminal.
    let fourth = home.path().join("fourth");
    let restore = over(&["wallet", "restore", "--plain"]).env("WALLET_DIR", &fourth);
    restore
        .at_terminal()
        .input(format!("{words}\n"))
        .run()
        .code(0);
    assert_eq!(info(&fourth), info(&dir));
    Ok(())
}

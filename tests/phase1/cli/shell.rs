//! What a shell, `man` and a reader of the help get.

use btc_tests::{Outcome, Program};

pub(super) fn texts() -> Outcome {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = Program::with(&["completions", shell]).run().code(0);
        assert!(run.stdout.contains("broadcast"), "{shell}");
    }
    let man = Program::new("man").run().code(0);
    assert!(
        man.stdout.contains(".TH") && man.stdout.contains("Exit codes"),
        "{man:?}"
    );
    let help = Program::new("--help").run().code(0);
    assert!(help.stdout.contains("Exit codes"));
    // Every verb that the help lists has a page, and so has what is below it.
    let verbs = help.stdout.lines().skip_while(|line| *line != "Commands:");
    let verbs: Vec<&str> = verbs
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    let pages = Program::with(&["man", "--all", "pages"]).run().code(0);
    for verb in verbs {
        let page = Program::with(&["man", verb]).run().code(0).stdout;
        assert!(page.contains(&format!(".TH btc-{verb}")), "{page}");
        let file = pages.folder.path().join(format!("pages/btc-{verb}.1"));
        assert!(file.is_file(), "{verb}");
    }
    let page = Program::new("man psbt sign").run().code(0).stdout;
    assert!(page.contains(".TH btc-psbt-sign"), "{page}");
    let run = Program::new("man psbt swim").run().code(2);
    run.says(&["there is no verb `btc psbt swim`"]);
    Program::new("--version").run().code(0);
    let variables = Program::new("variables --json").run().code(0).json();
    assert_eq!(
        variables.as_array().map(Vec::len),
        Some(btc::config::VARIABLES.len())
    );
    Ok(())
}

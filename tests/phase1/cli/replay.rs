//! `btc record` and `btc replay` over a real node: what agrees, what does not, and a kill between.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use btc::shadow::record::{Event, Line};
use btc::shadow::replay::{Call, Entry, Input, Methods, State};
use btc_tests::{Fixture, Outcome, Program, Run};
use tempfile::TempDir;

use super::OverNode;

pub(super) const OVER_NODE: &[(&str, OverNode)] = &[
    ("replay_goes_on_after_a_kill", killed),
    ("replay_of_blocks_finds_a_planted_fault", planted),
    ("replay_of_calls_that_were_recorded", recorded),
    ("replay_of_a_legacy_log", imported),
    ("replay_with_effects_reserves", effects),
    ("replay_that_cannot_be", refused),
];

/// A folder that the runs of one trial share.
struct Place<'f> {
    folder: TempDir,
    fixture: &'f Fixture,
}

impl<'f> Place<'f> {
    fn new(fixture: &'f Fixture) -> std::io::Result<Self> {
        let folder = TempDir::new()?;
        Ok(Self { folder, fixture })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> std::io::Result<String> {
        fs::read_to_string(self.path(name))
    }

    /// With `@name` for a file in the folder.
    fn program(&self, arguments: &str) -> Program {
        let folder = format!("{}/", self.folder.path().display());
        Program::new(&arguments.replace('@', &folder)).node(&self.fixture.config())
    }

    fn run(&self, arguments: &str, code: i32) -> Run {
        self.program(arguments).run().code(code)
    }
}

/// The questions that were compared, as operation and digest, and how many comparisons there are.
fn questions(log: &str) -> Result<(BTreeSet<(String, u64)>, usize), serde_json::Error> {
    let mut questions = BTreeSet::new();
    let mut count = 0;
    // The last line of a killed run may be torn.
    for line in log.lines().filter(|line| line.ends_with('}')) {
        let line: Line = serde_json::from_str(line)?;
        if let Event::Comparison(compared) = line.event {
            count += 1;
            questions.insert((compared.operation.to_string(), compared.input.0));
        }
    }
    Ok((questions, count))
}

fn killed(fixture: &Fixture) -> Outcome {
    let place = Place::new(fixture)?;
    place.run("record --blocks .. --output @calls", 0);
    let calls: BTreeSet<String> = place.text("calls")?.lines().map(str::to_owned).collect();
    assert!(calls.len() > 200, "{}", calls.len());
    let state_file = place.path("calls.replay-state");
    let rate = calls.len() / 4;
    let slow = format!("replay @calls --log @log --rate {rate} --threads 3");
    let has_begun = || {
        let state = State::read(&state_file).ok().flatten();
        state.is_some_and(|state| state.tally.calls > 0)
    };
    assert!(place.program(&slow).kill_when(has_begun), "it ended before");
    let state = State::read(&state_file)?.ok_or("a state")?;
    let done = usize::try_from(state.tally.calls)?;
    assert!(
        !state.is_finished && done > 0 && done < calls.len(),
        "{done}"
    );
    // What the state says is done is in the log.
    let (first, _) = questions(&place.text("log")?)?;
    assert!(first.len() >= done, "{} of {done}", first.len());

    // Neither another file nor another order of the sides goes on with it.
    place.run("replay @calls --log @log --primary python", 2);
    place
        .run("replay @calls --log @other", 2)
        .says(&["--restart"]);
    fs::copy(place.path("calls"), place.path("copy"))?;
    let other = place.run("replay @copy --resume @calls.replay-state --log @log", 2);
    other.says(&["another input"]);

    let run = place
        .run("replay @calls --log @log --json", 0)
        .says(&["going on"]);
    let json = run.json();
    assert_eq!(json["replay"]["calls"], calls.len());
    assert_eq!(json["mismatches"], 0);
    let (both, count) = questions(&place.text("log")?)?;
    assert_eq!(both.len(), calls.len(), "every call is compared");
    assert!(count < calls.len() * 2, "the second run did not begin anew");

    // It is finished, and begins anew only when it is told to.
    let again = place.run("replay @calls --log @log", 0).says(&["finished"]);
    assert!(again.stdout.starts_with("AGREE"), "{again:?}");
    assert_eq!(questions(&place.text("log")?)?.1, count);
    place.run("replay @calls --log @log --restart", 0);
    assert_eq!(questions(&place.text("log")?)?.1, count + calls.len());
    Ok(())
}

fn planted(fixture: &Fixture) -> Outcome {
    let place = Place::new(fixture)?;
    let clean = place
        .run("replay --blocks 90.. --log @log --json", 0)
        .json();
    let blocks = fixture.block_hashes()?.len() - 90;
    assert_eq!(clean["replay"]["read"], blocks);
    let state = State::read(&place.path("log.replay-state"))?.ok_or("a state")?;
    assert!(state.is_finished);
    let Input::Blocks(at) = state.input else {
        return Err("blocks".into());
    };
    assert_eq!(at.done as usize, blocks);
    place
        .run("replay --blocks 90.. --log @log", 0)
        .says(&["finished"]);
    place
        .run("replay --blocks 91.. --log @log", 2)
        .says(&["--blocks 90..="]);

    let arguments = "replay --blocks 90.. --transactions 2 --log @faulty --primary python";
    let run = place
        .program(arguments)
        .env("PYTHON_BACKEND", "btc_legacy.mutants.reads:OffByOneSat")
        .run()
        .code(1);
    assert!(run.stdout.starts_with("DIFFER"), "{run:?}");
    assert!(run.stdout.contains("outputs[].value_sat"), "{run:?}");
    // The genesis block's transaction is none that the node tells of.
    place.run("replay --blocks ..=1 --log @genesis", 0);
    Ok(())
}

fn recorded(fixture: &Fixture) -> Outcome {
    let place = Place::new(fixture)?;
    let block = fixture.block_hashes()?[105].to_string();
    let txid = fixture.summary.kinds.values().flatten().next();
    let txid = txid.ok_or("a transaction")?.to_string();
    let live = |arguments: &str, code| {
        let program = place.program(arguments);
        program
            .env("CALL_LOG", place.path("calls"))
            .run()
            .code(code)
    };
    live("height", 0);
    live(&format!("tx {txid}"), 0);
    live(&format!("block {block}"), 0);
    live(&format!("tx {}", "ff".repeat(32)), 1);
    let text = place.text("calls")?;
    let calls: Vec<Call> = text
        .lines()
        .map(
            |line| match Entry::parse(line.as_bytes(), &Methods::default())? {
                Entry::Call(recorded) => Ok(recorded.call),
                Entry::Lost(count) => Err(format!("{count} lost")),
            },
        )
        .collect::<Result<_, _>>()?;
    let expected = [
        Call::GetBlockHeight,
        Call::GetTransaction { txid },
        Call::GetBlock { hash: block },
        Call::GetTransaction {
            txid: "ff".repeat(32),
        },
    ];
    assert_eq!(calls, expected);
    for (from, input) in [("@calls", None), ("-", Some(text))] {
        let arguments = format!("replay {from} --log @log --json");
        let program = place
            .program(&arguments)
            .env("CALL_LOG", place.path("calls"));
        let program = input.into_iter().fold(program, Program::input);
        let json = program.run().code(0).json();
        assert_eq!(json["conclusion"], "agree");
        assert_eq!(json["replay"]["verdicts"]["match"], 4, "{json}");
    }
    assert_eq!(
        place.text("calls")?.lines().count(),
        4,
        "a replay records nothing"
    );
    Ok(())
}

fn imported(fixture: &Fixture) -> Outcome {
    let place = Place::new(fixture)?;
    let block = fixture.block_hashes()?[103];
    let legacy = format!(
        "{{\"id\":1,\"method\":\"getblockcount\",\"params\":[]}}\n\
         {{\"id\":2,\"method\":\"getblock\",\"params\":[\"{block}\",0]}}\n\
         {{\"id\":3,\"method\":\"estimatesmartfee\",\"params\":[6,\"economical\"]}}\n\
         {{\"method\":\"fee_for\",\"params\":[2]}}\n\
         {{\"method\":\"sendrawtransaction\",\"params\":[\"{}\"]}}\n\
         {{\"method\":\"getmininginfo\"}}\n\
         {{\"method\":\"estimatesmartfee\",\"params\":[1008]}}\n\
         torn",
        "ab".repeat(32)
    );
    fs::write(place.path("legacy"), legacy)?;
    let map = "--map fee_for=estimate_fee";
    let import = format!("record --import @legacy {map} --output @calls --json");
    let json = place.run(&import, 1).json();
    assert_eq!((&json["calls"], &json["bad_lines"]), (&5.into(), &3.into()));
    let named = json["first_bad_lines"].as_array().ok_or("a list")?;
    let named: Vec<_> = named.iter().map(|bad| bad["line"].as_u64()).collect();
    assert_eq!(named, [Some(6), Some(7), Some(8)]);
    let run = place.run("replay @calls --log @log", 0);
    assert!(
        run.stdout.contains("a broadcast is never made again"),
        "{run:?}"
    );
    // The log as it was has lines that say nothing, which is no agreement.
    let run = place.run("replay @legacy --log @log", 1);
    assert!(run.stdout.contains("legacy:6:"), "{run:?}");
    let piped = place.run(&format!("record --import @legacy {map}"), 1);
    assert_eq!(piped.stdout, place.text("calls")?);
    Ok(())
}

fn effects(fixture: &Fixture) -> Outcome {
    let place = Place::new(fixture)?;
    let over = |arguments: &str| {
        let program = place.program(arguments);
        program.env("WALLET_DIR", place.path("wallet"))
    };
    over("wallet create --plain").run().code(0);
    let pay = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let calls = format!(
        "{{\"method\":\"generate_address\",\"arguments\":[\"p2tr\"]}}\n\
         {{\"method\":\"generate_address\",\"arguments\":[\"p2wpkh\"]}}\n\
         {{\"method\":\"create_transaction\",\"arguments\":[[[\"{pay}\",5000]],2]}}\n\
         {{\"method\":\"broadcast_transaction\",\"arguments\":[\"{}\"]}}\n\
         {{\"method\":\"get_balance\"}}\n",
        "cd".repeat(32)
    );
    fs::write(place.path("calls"), calls)?;
    let given = || over("address list --json").run().code(0).stdout;
    let before = given();
    let json = over("replay @calls --log @log --json").run().code(0).json();
    assert_eq!(json["replay"]["calls"], 1, "the balance");
    assert_eq!(given(), before);
    // At a terminal, with its bar.
    let replay = over("replay @calls --log @log --restart --effects --rate 5");
    let run = replay.env("TERM", "xterm").at_terminal().run().code(0);
    assert!(run.stdout.contains("AGREE"), "{run:?}");
    assert!(
        run.stdout.contains("calls, ") && run.stdout.contains("0 mismatches"),
        "{run:?}"
    );
    assert!(
        !run.stdout.contains("generate_address: it has an effect"),
        "{run:?}"
    );
    assert!(
        run.stdout
            .contains("1 broadcast_transaction: a broadcast is never"),
        "{run:?}"
    );
    assert_ne!(given(), before, "addresses were given out");
    Ok(())
}

fn refused(fixture: &Fixture) -> Outcome {
    let place = Place::new(fixture)?;
    fs::write(
        place.path("calls"),
        "{\"method\":\"generate_address\",\"arguments\":[\"p2tr\"]}\n",
    )?;
    for (arguments, code, word) in [
        ("replay", 2, "Usage"),
        ("replay @calls --blocks 1..2", 2, "--blocks"),
        ("replay --blocks 5..5", 2, "range"),
        ("replay --blocks 1..999999", 2, "tip"),
        ("replay - @calls", 2, "alone"),
        ("replay @none", 1, "none"),
        ("replay @calls --effects", 2, "WALLET_DIR"),
        ("replay @calls --log /dev/full/log", 3, "--log"),
        ("record", 2, "--import"),
        ("record --import @none --output @out", 1, "none"),
    ] {
        place.run(arguments, code).says(&[word]);
    }
    // What has an effect is not made, so that nothing is compared, which is no agreement.
    let run = place.run("replay @calls --log @log", 1);
    assert!(run.stdout.starts_with("NOTHING"), "{run:?}");
    assert!(run.stdout.contains("1 generate_address"), "{run:?}");
    assert!(Path::new(&place.path("calls.replay-state")).exists());
    Ok(())
}

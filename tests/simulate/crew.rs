//! Many histories at once: one process for each core, and what they come to together.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::confirm::confirm;
use crate::flags::Flags;
use crate::identity::{live_in, shared_memory};
use crate::life::{Broken, Life};
use crate::planted;
use crate::scenario;
use crate::step::Kind;

/// Far longer than any history takes, also on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Begin(u64),
    Done(Done),
}

/// What became of one history.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    seed: u64,
    steps: BTreeMap<String, (u64, u64)>,
    notes: BTreeMap<String, u64>,
    failure: Option<(usize, String)>,
}

/// All histories together.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) histories: u64,
    pub(crate) seconds: f64,
    steps: BTreeMap<String, (u64, u64)>,
    notes: BTreeMap<String, u64>,
    pub(crate) failures: Vec<Failed>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) seed: u64,
    pub(crate) message: String,
    steps: Vec<String>,
}

/// Does what the flags ask for; whether all was well.
pub(crate) fn run(flags: &Flags) -> Result<bool, Failure> {
    if let Some(name) = flags.planted.as_deref().filter(|name| *name != "all") {
        planted::plant(name)?;
    }
    if let Some(home) = &flags.home {
        live_in(home.clone());
    }
    if let Some((first, stride)) = flags.worker {
        work(flags, first, stride)?;
        return Ok(true);
    }
    if let Some(seed) = flags.replay {
        return Ok(replay(flags, seed));
    }
    if flags.planted.as_deref() == Some("all") {
        return planted::find_all(flags);
    }
    if let Some(name) = &flags.scenario {
        return scenarios(flags, name);
    }
    let report = play_all(flags)?;
    show(flags, &report)?;
    let is_confirmed = confirm_some(flags);
    Ok(report.failures.is_empty() && is_confirmed)
}

/// Plays one scenario, or all.
fn scenarios(flags: &Flags, name: &str) -> Result<bool, Failure> {
    if name == "list" {
        for scenario in &scenario::ALL {
            println!("{}", scenario.name);
        }
        return Ok(true);
    }
    let chosen: Vec<_> = scenario::ALL
        .iter()
        .filter(|it| name == "all" || it.name == name)
        .collect();
    if chosen.is_empty() {
        return Err(format!("there is no scenario {name}; --scenario list shows them").into());
    }
    let mut is_well = true;
    for scenario in chosen {
        match scenario.run(&flags.languages) {
            Ok(_) => println!("{}: as it should be", scenario.name),
            Err((error, trace)) => {
                is_well = false;
                println!("{trace}{}: {error}", scenario.name);
            }
        }
    }
    Ok(is_well)
}

/// Plays some histories once more, on Bitcoin Core.
fn confirm_some(flags: &Flags) -> bool {
    let mut is_well = true;
    let step = (flags.histories / flags.confirm.max(1)).max(1);
    for number in 0..flags.confirm.min(flags.histories) {
        let seed = flags.seed.wrapping_add(number * step);
        let life = Life::of(seed, &flags.languages, &flags.kinds);
        let played = life.play();
        match confirm(&life.setup, &played.journal) {
            Ok(done) => {
                if !flags.json {
                    println!("history {seed} on Bitcoin Core: {done:?}");
                }
            }
            Err(error) => {
                is_well = false;
                eprintln!("history {seed} goes another way on Bitcoin Core: {error}");
            }
        }
    }
    is_well
}

/// Plays one history, shows it, and shrinks it when it fails.
fn replay(flags: &Flags, seed: u64) -> bool {
    let life = Life::of(seed, &flags.languages, &flags.kinds);
    println!("history {seed}: {:?}", life.setup);
    let played = life.play();
    let Some(broken) = played.failure else {
        println!("history {seed}: {} steps, all well", life.steps.len());
        return true;
    };
    explain(flags, &life, &broken);
    false
}

/// Shows a failure with its steps, in the shortest form that fails alike.
fn explain(flags: &Flags, life: &Life, broken: &Broken) -> Vec<String> {
    let seed = life.seed;
    println!(
        "history {seed} fails at step {}: {}",
        broken.at, broken.message
    );
    let (shortest, last) = if flags.shrinks {
        life.shrink(broken, &mut |text| println!("  shrinking: {text}"))
    } else {
        (life.clone(), broken.clone())
    };
    println!("{:?}\n{}", shortest.setup, last.trace);
    println!("history {seed}: {}", last.message);
    println!("again: cargo xtask simulate --replay {seed}");
    shortest.steps.iter().map(ToString::to_string).collect()
}

/// Plays this process's part, a line for each history.
fn work(flags: &Flags, first: u64, stride: u64) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let mut number = first;
    while number < flags.histories {
        let seed = flags.seed.wrapping_add(number);
        tell(&mut out, &Said::Begin(seed))?;
        let played = Life::of(seed, &flags.languages, &flags.kinds).play();
        let done = Done {
            seed,
            steps: named(&played.steps),
            notes: named(&played.notes),
            failure: played.failure.map(|broken| (broken.at, broken.message)),
        };
        tell(&mut out, &Said::Done(done))?;
        number += stride;
    }
    Ok(())
}

fn named<T: Copy>(counts: &BTreeMap<&'static str, T>) -> BTreeMap<String, T> {
    let counts = counts.iter();
    counts
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

fn tell(out: &mut impl Write, said: &Said) -> Result<(), Failure> {
    let line = serde_json::to_string(said)?;
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A worker and what it is at.
struct Worker {
    child: Child,
    seed: u64,
    since: Instant,
}

pub(crate) fn play_all(flags: &Flags) -> Result<Report, Failure> {
    let begun = Instant::now();
    let jobs = (flags.jobs as u64).min(flags.histories.max(1));
    let home = shared_memory()?;
    let (sender, receiver) = mpsc::channel();
    let mut workers: Vec<Option<Worker>> = Vec::new();
    let spawn = |number: usize, first: u64| -> Result<Worker, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(flags.for_worker(first, jobs))
            .arg("--home")
            .arg(home.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = child.stdout.take().ok_or("a worker has an output")?;
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                // What is no line of ours is shown.
                match serde_json::from_str::<Said>(&line) {
                    Ok(said) => drop(sender.send((number, Some(said)))),
                    Err(_) => eprintln!("{line}"),
                }
            }
            let _ = sender.send((number, None));
        });
        Ok(Worker {
            child,
            seed: flags.seed.wrapping_add(first),
            since: Instant::now(),
        })
    };
    for first in 0..jobs {
        workers.push(Some(spawn(usize::try_from(first)?, first)?));
    }
    let mut running = workers.len();
    let mut report = Report::default();
    let mut shown = Instant::now();
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok((number, Some(Said::Begin(seed)))) => {
                if let Some(worker) = &mut workers[number] {
                    (worker.seed, worker.since) = (seed, Instant::now());
                }
            }
            Ok((_, Some(Said::Done(done)))) => report.add(done, flags),
            Ok((number, None)) => {
                if let Some(mut worker) = workers[number].take() {
                    let status = worker.child.wait()?;
                    let next = worker.seed.wrapping_sub(flags.seed).saturating_add(jobs);
                    if status.success() {
                        running -= 1;
                    } else {
                        report.fail(worker.seed, format!("the process ended: {status}"));
                        // Another one plays the rest.
                        workers[number] = Some(spawn(number, next)?);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if running == 0 {
            break;
        }
        for worker in workers.iter_mut().flatten() {
            if worker.since.elapsed() > PATIENCE {
                eprintln!("history {}: no end within {PATIENCE:?}", worker.seed);
                worker.child.kill()?;
                worker.since = Instant::now();
            }
        }
        if report.failures.len() >= flags.max_failures {
            for worker in workers.iter_mut().flatten() {
                // It may have ended.
                let _ = worker.child.kill();
            }
            break;
        }
        if shown.elapsed() > PROGRESS && !flags.json {
            shown = Instant::now();
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{} of {} histories in {seconds:.0} s, {:.1} a second, {} failed",
                report.histories,
                flags.histories,
                report.rate(seconds),
                report.failures.len()
            );
        }
    }
    for worker in workers.iter_mut().flatten() {
        let _ = worker.child.wait();
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

impl Report {
    fn add(&mut self, done: Done, flags: &Flags) {
        self.histories += 1;
        for (name, (played, idle)) in done.steps {
            let count = self.steps.entry(name).or_default();
            count.0 += played;
            count.1 += idle;
        }
        for (name, number) in done.notes {
            *self.notes.entry(name).or_default() += number;
        }
        if let Some((at, message)) = done.failure {
            if !flags.json {
                println!("history {} fails at step {at}: {message}", done.seed);
            }
            self.fail(done.seed, message);
        }
    }

    /// Histories a second.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people, from numbers far below 2^52"
    )]
    fn rate(&self, seconds: f64) -> f64 {
        self.histories as f64 / seconds.max(0.001)
    }

    fn fail(&mut self, seed: u64, message: String) {
        self.failures.push(Failed {
            seed,
            message,
            steps: Vec::new(),
        });
    }
}

fn show(flags: &Flags, report: &Report) -> Result<(), Failure> {
    if flags.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!("step          played      idle");
    for kind in Kind::ALL {
        if let Some((played, idle)) = report.steps.get(kind.name()) {
            println!("{:<12} {played:>7} {idle:>9}", kind.name());
        }
    }
    for (note, count) in &report.notes {
        println!("{count:>9}  {note}");
    }
    println!(
        "{} histories in {:.1} s, {:.1} a second; {} failed",
        report.histories,
        report.seconds,
        report.rate(report.seconds),
        report.failures.len()
    );
    // The first failure is explained; the others are replayed by their seeds.
    if let Some(first) = report.failures.first() {
        let life = Life::of(first.seed, &flags.languages, &flags.kinds);
        if let Some(broken) = life.play().failure {
            explain(flags, &life, &broken);
        } else {
            println!(
                "history {} did not fail when it was played again",
                first.seed
            );
        }
        for other in &report.failures[1..] {
            println!("history {}: {}", other.seed, other.message);
        }
    }
    Ok(())
}

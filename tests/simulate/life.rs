//! `Life`: a history of one wallet, made from a seed, played, and made shorter when it fails.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use btc::shadow::parity::Random;
use btc_regtest::sim::Deed;

use crate::Failure;
use crate::house::Language;
use crate::stage::{Setup, Stage};
use crate::step::{Kind, Step};

/// The shortest and the longest history.
const LENGTH: [u64; 2] = [20, 50];

/// A history before it is played.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// What became of a history.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// How many steps of each kind were played, and how many of them had nothing to do.
    pub(crate) steps: BTreeMap<&'static str, (u64, u64)>,
    pub(crate) notes: BTreeMap<&'static str, u64>,
    pub(crate) failure: Option<Broken>,
    pub(crate) journal: Vec<Deed>,
}

/// Where and how a history failed.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    /// The number of the step.
    pub(crate) at: usize,
    pub(crate) message: String,
    /// All that happened, in words.
    pub(crate) trace: String,
}

impl Life {
    /// The history of a seed: the same languages and kinds give the same one.
    pub(crate) fn of(seed: u64, languages: &[Language], kinds: &[Kind]) -> Self {
        let mut random = Random::new(seed);
        let setup = Setup::random(&mut random, languages);
        let length = random.between(LENGTH[0], LENGTH[1]);
        let mut steps: Vec<Step> = Vec::new();
        // Without money, nothing happens.
        for kind in [Kind::Receive, Kind::Receive, Kind::Mine] {
            steps.push(Step::random(&mut random, &[kind]));
        }
        while (steps.len() as u64) < length {
            steps.push(Step::random(&mut random, kinds));
        }
        Self { seed, setup, steps }
    }

    /// Plays it to its end, or to the first thing that is wrong.
    pub(crate) fn play(&self) -> Played {
        let mut played = Played::default();
        let mut stage = match Stage::new(self.setup.clone()) {
            Ok(stage) => stage,
            Err(error) => {
                played.failure = Some(Broken {
                    at: 0,
                    message: format!("it cannot begin: {error}"),
                    trace: String::new(),
                });
                return played;
            }
        };
        for (at, step) in self.steps.iter().enumerate() {
            stage.begin(at, step);
            let outcome = safely(|| stage.play(step));
            let count = played.steps.entry(step.kind.name()).or_default();
            count.0 += 1;
            count.1 += u64::from(stage.is_idle);
            if let Err(error) = outcome {
                played.failure = Some(broken(at, &error, &stage));
                break;
            }
        }
        if played.failure.is_none()
            && let Err(error) = safely(|| stage.check_restored())
        {
            played.failure = Some(broken(self.steps.len(), &error, &stage));
        }
        played.notes.clone_from(&stage.notes);
        played.journal = stage.node.journal();
        played
    }

    /// The same with fewer steps, as few as fail in the same way: delta debugging over the list.
    pub(crate) fn shrink(&self, broken: &Broken, say: &mut dyn FnMut(&str)) -> (Self, Broken) {
        let wanted = kind_of(&broken.message);
        let mut shortest = self.clone();
        shortest.steps.truncate(broken.at + 1);
        let mut last = broken.clone();
        let mut tries = 0;
        let mut fails = |steps: &[Step], setup: &Setup| {
            tries += 1;
            let life = Self {
                seed: self.seed,
                setup: setup.clone(),
                steps: steps.to_vec(),
            };
            let failure = life.play().failure?;
            (kind_of(&failure.message) == wanted).then_some(failure)
        };
        let mut size = shortest.steps.len().div_ceil(2).max(1);
        loop {
            let mut start = 0;
            let mut has_shrunk = false;
            while start < shortest.steps.len() {
                let end = (start + size).min(shortest.steps.len());
                let mut steps = shortest.steps.clone();
                steps.drain(start..end);
                if let Some(failure) = fails(&steps, &shortest.setup) {
                    steps.truncate(failure.at + 1);
                    shortest.steps = steps;
                    last = failure;
                    has_shrunk = true;
                } else {
                    start = end;
                }
            }
            say(&format!("{} steps left", shortest.steps.len()));
            if size > 1 {
                size = size.div_ceil(2);
            } else if !has_shrunk {
                break;
            }
        }
        // Choices of 0 are the plainest.
        for at in 0..shortest.steps.len() {
            for die in 0..shortest.steps[at].dice.len() {
                if shortest.steps[at].dice[die] == 0 {
                    continue;
                }
                let mut steps = shortest.steps.clone();
                steps[at].dice[die] = 0;
                if let Some(failure) =
                    fails(&steps, &shortest.setup).filter(|it| it.at + 1 == steps.len())
                {
                    shortest.steps = steps;
                    last = failure;
                }
            }
        }
        let mut plain = shortest.setup.clone();
        plain.has_colleague = false;
        if plain != shortest.setup
            && let Some(failure) = fails(&shortest.steps, &plain)
        {
            shortest.setup = plain;
            last = failure;
        }
        say(&format!(
            "{} steps after {tries} tries",
            shortest.steps.len()
        ));
        (shortest, last)
    }
}

/// The message without what differs from history to history: numbers and hashes.
fn kind_of(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    first.chars().filter(|it| !it.is_ascii_hexdigit()).collect()
}

fn broken(at: usize, error: &Failure, stage: &Stage) -> Broken {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Broken {
        at,
        message,
        trace: stage.trace.clone(),
    }
}

/// Runs it, and makes a failure of a panic.
fn safely(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(format!("a panic: {}", words_of(&*panic)).into()))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

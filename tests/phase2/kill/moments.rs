//! When a process is killed, and what it was at: each call, at every moment of its time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use btc::bitcoin::{OutPoint, Txid};
use btc::shadow::parity::Random;

use super::said::Book;
use super::truth::Payments;
use crate::child::{Said, Worker};

/// How long a process lives at most once it is open.
const LONGEST: Duration = Duration::from_secs(4);
/// What a call is thought to take before one was seen.
const FIRST_GUESS: Duration = Duration::from_millis(30);

/// How long calls take.
#[derive(Default)]
pub(crate) struct Strike {
    typical: HashMap<String, Duration>,
}

/// When a process is to be killed.
pub(crate) struct Plan {
    /// In this call, none: after the delay alone.
    focus: Option<String>,
    /// After so many calls of the kind have begun.
    turn: u64,
    delay: Duration,
}

/// What a process said until it was killed, and how long its calls took.
pub(crate) struct Watched {
    pub(crate) said: Vec<(usize, Said)>,
    pub(crate) took: Vec<(String, Duration)>,
}

impl Strike {
    /// At any moment of the call, and a little beyond.
    pub(crate) fn plan(&self, focus: &str, is_open: bool, random: &mut Random) -> Plan {
        let typical = self.typical.get(focus).copied().unwrap_or(FIRST_GUESS);
        let span = u64::try_from(typical.as_micros()).unwrap_or(u64::MAX);
        Plan {
            focus: is_open.then(|| focus.to_owned()),
            turn: random.between(1, 5),
            delay: if is_open {
                Duration::from_micros(random.between(0, span + span / 5))
            } else {
                Duration::from_millis(random.between(0, 300))
            },
        }
    }

    pub(crate) fn learn(&mut self, took: &[(String, Duration)]) {
        for (what, took) in took {
            let typical = self.typical.entry(what.clone()).or_insert(*took);
            *typical = (*typical * 3 + *took) / 4;
        }
    }
}

/// Listens until the moment has come, and kills.
pub(crate) fn watch(worker: Worker, plan: &Plan) -> Watched {
    let begun = Instant::now();
    let mut watched = Watched {
        said: Vec::new(),
        took: Vec::new(),
    };
    let mut running: HashMap<usize, (String, Instant)> = HashMap::new();
    let mut turns = 0;
    while plan.focus.is_some() {
        let left = LONGEST.saturating_sub(begun.elapsed());
        let Ok(Some((thread, said))) = worker.line(left) else {
            break;
        };
        if let Some((what, since)) = running.remove(&thread) {
            watched.took.push((what, since.elapsed()));
        }
        let call = match &said {
            Said::Begin(what) => Some(what.as_str()),
            Said::Handing(_) => Some("broadcast"),
            _ => None,
        };
        let call = call.map(str::to_owned);
        watched.said.push((thread, said));
        if let Some(call) = call {
            turns += u64::from(plan.focus.as_ref() == Some(&call));
            running.insert(thread, (call, Instant::now()));
        }
        if turns >= plan.turn {
            break;
        }
    }
    std::thread::sleep(plan.delay);
    watched.said.extend(worker.kill());
    watched
}

/// What the shared file had before a life.
pub(crate) struct Before {
    tokens: HashSet<String>,
    abandoned: usize,
    settled: usize,
    due_ms: HashMap<Txid, u64>,
}

impl Before {
    pub(crate) fn new(payments: &Payments, reserved: &HashMap<OutPoint, String>) -> Self {
        let due = payments.iter();
        Self {
            tokens: reserved.values().cloned().collect(),
            abandoned: count_abandoned(payments),
            settled: payments.values().filter(|it| it.is_settled).count(),
            due_ms: due
                .map(|(txid, it)| (*txid, it.row.next_broadcast_ms))
                .collect(),
        }
    }

    /// How far a call had come that was not answered.
    pub(crate) fn changes(
        &self,
        what: &str,
        txid: Option<Txid>,
        payments: &Payments,
        reserved: &HashMap<OutPoint, String>,
        book: &Book,
        is_known: impl Fn(Txid) -> bool,
    ) -> &'static str {
        let is_new = |token: &String| {
            let said = token.parse().is_ok_and(|it| book.has_token(it));
            !self.tokens.contains(token) && !said
        };
        let is_later = |(txid, payment): (&Txid, &super::truth::Payment)| {
            let before = self.due_ms.get(txid);
            before.is_some_and(|before| *before < payment.row.next_broadcast_ms)
        };
        match (what, txid) {
            ("broadcast", Some(txid)) => match payments.get(&txid) {
                None => ": not on disk yet",
                Some(payment) if payment.row.is_accepted => ": accepted, on disk",
                Some(_) if is_known(txid) => ": on disk, and the node has it",
                Some(_) => ": on disk, and the node has it not",
            },
            ("create" | "bump" | "cancel" | "child", _) if reserved.values().any(is_new) => {
                ": reserved"
            }
            ("abandon", _) if count_abandoned(payments) > self.abandoned => ": on disk",
            ("sync" | "balance", _)
                if payments.values().filter(|it| it.is_settled).count() > self.settled =>
            {
                ": payments settled"
            }
            ("sync" | "balance" | "rebroadcast" | "create", _) if payments.iter().any(is_later) => {
                ": about to send again, or sent"
            }
            _ => "",
        }
    }
}

fn count_abandoned(payments: &Payments) -> usize {
    let given_up = payments.values().filter(|it| it.row.abandoned_ms.is_some());
    given_up.count()
}

/// Prints how often each thing happened.
pub(crate) fn table<K: std::fmt::Display>(title: &str, rows: &BTreeMap<K, u32>) {
    println!("  {title}");
    for (name, count) in rows {
        println!("    {count:5}  {name}");
    }
}

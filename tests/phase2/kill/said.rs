//! `Book`: what paying processes said, and what follows from it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use btc::bitcoin::consensus::encode;
use btc::bitcoin::{Address, Network, OutPoint, ScriptBuf, Transaction, Txid};
use btc::rust::wallet::reservations::token;

use super::truth::{Failure, Payments, Standing, Truth};
use crate::child::Said;

/// Within which a reservation is not over.
const SURELY_RESERVED: Duration = Duration::from_mins(9);

/// A transaction that was said to be built.
struct Built {
    transaction: Transaction,
    token: Txid,
    since: Instant,
    /// Whether it was handed over, or its reservation let go.
    is_done: bool,
}

/// An order: its recipient gets no other payment.
struct Order {
    address: String,
    script: ScriptBuf,
    /// The last transaction that was built for it.
    last: Option<Txid>,
    is_sent: bool,
}

/// Everything that was said on one wallet.
#[derive(Default)]
pub(crate) struct Book {
    built: BTreeMap<Txid, Built>,
    orders: Vec<Order>,
    pub(crate) sent: BTreeSet<Txid>,
    abandoned: BTreeSet<Txid>,
    /// What each thread of this life was at, where it has no answer.
    pub(crate) in_flight: HashMap<usize, (String, Option<Txid>)>,
    /// How often something was refused, by call and kind.
    pub(crate) refusals: BTreeMap<String, u32>,
    /// What was heard of each transaction, for the message of a failure.
    trail: BTreeMap<Txid, Vec<String>>,
    lives: u32,
}

impl Book {
    /// A process begins its life.
    pub(crate) fn begin_life(&mut self) {
        self.in_flight.clear();
        self.lives += 1;
    }

    fn note(&mut self, txid: Txid, text: &str) {
        let text = format!("life {}: {text}", self.lives);
        self.trail.entry(txid).or_default().push(text);
    }

    /// What was heard of a transaction.
    fn trail(&self, txid: Txid) -> String {
        self.trail
            .get(&txid)
            .map(|it| it.join("; "))
            .unwrap_or_default()
    }

    /// What was heard of these.
    pub(crate) fn trails(&self, txids: impl Iterator<Item = Txid>) -> String {
        let all: Vec<_> = txids
            .map(|txid| format!("\n    {txid}: {}", self.trail(txid)))
            .collect();
        all.concat()
    }

    /// Takes a line.
    pub(crate) fn hear(&mut self, (thread, said): (usize, Said)) -> Result<(), Failure> {
        let before = self.in_flight.remove(&thread);
        match said {
            Said::Begin(what) => {
                self.in_flight.insert(thread, (what, None));
            }
            Said::Built(hex, order) => self.hear_built(&hex, order)?,
            Said::Handing(txid) => {
                let txid: Txid = txid.parse()?;
                self.note(txid, "handing over");
                let built = self
                    .built
                    .get_mut(&txid)
                    .ok_or("handed over, never built")?;
                built.is_done = true;
                self.in_flight
                    .insert(thread, ("broadcast".to_owned(), Some(txid)));
            }
            Said::Sent(txid) => {
                let txid = txid.parse()?;
                self.note(txid, "sent");
                self.sent.insert(txid);
                for order in &mut self.orders {
                    order.is_sent |= order.last == Some(txid);
                }
            }
            Said::Abandoned(all) => {
                for txid in all {
                    let txid = txid.parse()?;
                    self.note(txid, "given up");
                    self.abandoned.insert(txid);
                }
            }
            Said::Refused(text) => {
                if let Some((_, Some(txid))) = before {
                    self.note(txid, &text);
                }
                let words = text.split_whitespace().filter(|word| word.len() < 40);
                let start: Vec<_> = words.take(14).collect();
                *self.refusals.entry(start.join(" ")).or_default() += 1;
            }
            Said::Failed(text) => return Err(format!("a call failed: {text}").into()),
            _ => {}
        }
        Ok(())
    }

    fn hear_built(&mut self, hex: &str, order: Option<String>) -> Result<(), Failure> {
        let transaction: Transaction = encode::deserialize_hex(hex)?;
        let txid = transaction.compute_txid();
        let is_new = order.is_some();
        if let Some(address) = order {
            let parsed: Address<_> = address.parse()?;
            let script = parsed.require_network(Network::Regtest)?.script_pubkey();
            let found = self.orders.iter_mut().find(|it| it.script == script);
            match found {
                Some(order) => order.last = Some(txid),
                None => self.orders.push(Order {
                    address,
                    script,
                    last: Some(txid),
                    is_sent: false,
                }),
            }
        }
        let inputs = transaction.input.iter();
        let inputs: Vec<_> = inputs.map(|it| it.previous_output.to_string()).collect();
        self.note(txid, &format!("built, spends {}", inputs.join(" ")));
        let built = Built {
            token: token(&transaction),
            transaction,
            since: Instant::now(),
            is_done: false,
        };
        // A replacement that was refused may be built once more.
        if self.built.insert(txid, built).is_some() && is_new {
            return Err(format!("{txid} was built twice").into());
        }
        Ok(())
    }

    /// What the next process has to do: transactions to hand over, and orders to pay anew. A caller
    /// that died looks whether the wallet knows a payment of the order, and does one of the two if
    /// not.
    pub(crate) fn unfinished(
        &self,
        payments: &Payments,
        mut anew: impl FnMut() -> bool,
    ) -> (Vec<String>, Vec<String>) {
        let (mut hex, mut orders) = (Vec::new(), Vec::new());
        let waiting = self.orders.iter().rev().filter(|order| {
            let pays = |it: &Transaction| pays(it, &order.script);
            !order.is_sent && !payments.values().any(|it| pays(&it.transaction))
        });
        for order in waiting.take(4) {
            let last = order.last.and_then(|txid| self.built.get(&txid));
            match last {
                Some(built) if !anew() => {
                    hex.push(encode::serialize_hex(&built.transaction));
                }
                _ => orders.push(order.address.clone()),
            }
        }
        (hex, orders)
    }

    /// The tokens of what is built and not handed over.
    pub(crate) fn reserved_for(&self) -> impl Iterator<Item = Txid> {
        self.built
            .values()
            .filter(|it| !it.is_done)
            .map(|it| it.token)
    }

    /// Whether one of these transactions has this token.
    pub(crate) fn has_token(&self, token: Txid) -> bool {
        self.built.values().any(|it| it.token == token)
    }

    /// Says that the reservation with this token was let go.
    pub(crate) fn let_go(&mut self, token: Txid) {
        for built in self.built.values_mut().filter(|it| it.token == token) {
            built.is_done = true;
        }
    }

    /// That what was handed over is written down, and what is reserved is what was built.
    pub(crate) fn check_file(
        &self,
        payments: &Payments,
        standings: &BTreeMap<Txid, Standing>,
        reserved: &HashMap<OutPoint, String>,
    ) -> Result<(), Failure> {
        for txid in &self.sent {
            if !payments.contains_key(txid) {
                let trail = self.trail(*txid);
                let message = format!("{txid} was sent, and is not a payment: {trail}");
                return Err(message.into());
            }
        }
        for txid in &self.abandoned {
            let standing = standings.get(txid);
            if matches!(standing, None | Some(Standing::Missing)) {
                return Err(format!("{txid} was given up, and is {standing:?}").into());
            }
        }
        let tokens: HashSet<String> = payments
            .values()
            .map(|payment| payment.row.token.to_string())
            .collect();
        for (coin, reason) in reserved {
            if tokens.contains(reason) {
                let message = format!("{coin} is reserved for {reason}, which was handed over");
                return Err(message.into());
            }
        }
        for (txid, built) in &self.built {
            if built.is_done || built.since.elapsed() > SURELY_RESERVED {
                continue;
            }
            for input in &built.transaction.input {
                let coin = input.previous_output;
                let reason = reserved.get(&coin);
                if reason != Some(&built.token.to_string()) {
                    let message = format!("{coin} of {txid}, just built, is reserved: {reason:?}");
                    return Err(message.into());
                }
            }
        }
        Ok(())
    }

    /// That no order is paid by two transactions of which both could be mined.
    pub(crate) fn check_orders(
        &self,
        payments: &Payments,
        standings: &BTreeMap<Txid, Standing>,
        truth: &Truth,
    ) -> Result<u32, Failure> {
        let mut all: BTreeMap<Txid, &Transaction> = BTreeMap::new();
        all.extend(truth.own.iter().map(|txid| (*txid, &truth.all[txid].1)));
        let live = payments
            .iter()
            .filter(|(txid, _)| standings[*txid].is_live());
        all.extend(live.map(|(txid, payment)| (*txid, &payment.transaction)));
        let mut by_script: HashMap<&ScriptBuf, BTreeMap<Txid, &Transaction>> = HashMap::new();
        for (txid, transaction) in all {
            for output in &transaction.output {
                let paying = by_script.entry(&output.script_pubkey).or_default();
                paying.insert(txid, transaction);
            }
        }
        let mut confirmed = 0;
        for order in &self.orders {
            let Some(live) = by_script.get(&order.script) else {
                continue;
            };
            let spends: Vec<(Txid, HashSet<OutPoint>)> = live
                .iter()
                .map(|(txid, it)| {
                    (
                        *txid,
                        it.input.iter().map(|it| it.previous_output).collect(),
                    )
                })
                .collect();
            for (number, (one, coins)) in spends.iter().enumerate() {
                for (other, others) in &spends[..number] {
                    if coins.is_disjoint(others) {
                        let address = &order.address;
                        let message = format!("{address} is paid twice, by {one} and {other}");
                        return Err(message.into());
                    }
                }
            }
            let is_paid = |txid: &Txid| matches!(truth.all.get(txid), Some((Some(_), _)));
            confirmed += u32::from(live.keys().any(is_paid));
        }
        Ok(confirmed)
    }

    /// How many orders there are.
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }
}

fn pays(transaction: &Transaction, script: &ScriptBuf) -> bool {
    let mut outputs = transaction.output.iter();
    outputs.any(|output| output.script_pubkey == *script)
}

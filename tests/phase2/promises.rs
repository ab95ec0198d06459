//! `Promises`: what processes said they had promised, and that no two promises contradict.

use std::collections::{BTreeMap, HashMap, HashSet};

use btc::bitcoin::consensus::encode;
use btc::bitcoin::{Address, Network, OutPoint, ScriptBuf, Transaction, Txid};
use btc::rust::wallet::reservations::{self, Reservations};
use btc::{AddressType, Chain};
use btc_tests::{Outcome, Reference, WalletFolder};

use crate::child::Said;

type Place = (AddressType, u32);

/// Everything that was promised on one wallet.
#[derive(Default)]
pub(crate) struct Promises {
    places: HashSet<Place>,
    /// The highest index of each type that was said before this life.
    before: HashMap<AddressType, u32>,
    /// The highest index of each type that each thread of this life has said.
    of_thread: HashMap<(usize, AddressType), u32>,
    given: Vec<(String, ScriptBuf)>,
    created: BTreeMap<Txid, Created>,
    holders: HashMap<OutPoint, Txid>,
    change: HashMap<ScriptBuf, Txid>,
    locked: HashSet<OutPoint>,
    pub(crate) sent: HashSet<Txid>,
    /// What the last call of this life was, where it was not answered.
    pub(crate) in_flight: Option<String>,
    pub(crate) refused: usize,
}

pub(crate) struct Created {
    pub(crate) transaction: Transaction,
    is_released: bool,
}

impl Promises {
    /// A process begins its life: it gives out later indices than all before.
    pub(crate) fn begin_life(&mut self) {
        for ((_, address_type), index) in self.of_thread.drain() {
            let highest = self.before.entry(address_type).or_insert(index);
            *highest = index.max(*highest);
        }
        self.in_flight = None;
    }

    /// Takes a line, and fails if it contradicts an earlier one.
    pub(crate) fn hear(&mut self, (thread, said): (usize, Said), reference: &Reference) -> Outcome {
        self.in_flight = None;
        match said {
            Said::Begin(what) => self.in_flight = Some(what),
            Said::Address(address_type, index, address) => {
                return self.hear_address(thread, (address_type, index), address, reference);
            }
            Said::Created(hex, recipients) => {
                return self.hear_created(encode::deserialize_hex(&hex)?, &recipients, reference);
            }
            Said::Sent(txid) => {
                self.sent.insert(txid.parse()?);
            }
            Said::Locked(coin) => {
                self.locked.insert(coin);
            }
            Said::Unlocking(coin) => {
                self.locked.remove(&coin);
            }
            Said::Refused(_) => self.refused += 1,
            Said::Failed(text) => return Err(format!("a call failed: {text}").into()),
            // Of the other kind of process.
            Said::Built(..) | Said::Handing(_) | Said::Abandoned(_) => {}
            Said::Open | Said::Done => {}
        }
        Ok(())
    }

    /// An address that was given out, with its script.
    pub(crate) fn given(&self, number: u64) -> Option<&(String, ScriptBuf)> {
        let count = u64::try_from(self.given.len()).ok().filter(|it| *it > 0)?;
        self.given.get(usize::try_from(number % count).ok()?)
    }

    /// How many addresses were given out, and how many transactions built.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.given.len(), self.created.len())
    }

    /// Those whose coins are still theirs and that nobody is known to have sent.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = (&Txid, &Created)> {
        self.created
            .iter()
            .filter(|(txid, created)| !created.is_released && !self.sent.contains::<Txid>(txid))
    }

    /// Lets the time of a transaction's reservations be over; while nobody works on the wallet.
    pub(crate) fn expire(&mut self, wallet: &WalletFolder, txid: Txid) -> Outcome {
        let created = self.created.get_mut(&txid).ok_or("never created")?;
        created.is_released = true;
        let token = reservations::token(&created.transaction);
        Reservations::open(wallet.path())?.release_for(token)?;
        Ok(())
    }

    fn hear_address(
        &mut self,
        thread: usize,
        (address_type, index): Place,
        address: String,
        reference: &Reference,
    ) -> Outcome {
        let what = format!("the {address_type} address {index}");
        if !self.places.insert((address_type, index)) {
            return Err(format!("{what} was given out twice").into());
        }
        let lowest = [
            self.before.get(&address_type),
            self.of_thread.get(&(thread, address_type)),
        ];
        if lowest.into_iter().flatten().any(|before| index <= *before) {
            return Err(format!("{what} came after a later one").into());
        }
        self.of_thread.insert((thread, address_type), index);
        let script = script_of(&address)?;
        if !reference.owns(&script) {
            return Err(format!("{what} is not the wallet's: {address}").into());
        }
        if self.change.contains_key(&script) {
            return Err(format!("{what} is a change address").into());
        }
        self.given.push((address, script));
        Ok(())
    }

    fn hear_created(
        &mut self,
        transaction: Transaction,
        recipients: &[String],
        reference: &Reference,
    ) -> Outcome {
        let txid = transaction.compute_txid();
        for input in &transaction.input {
            let coin = input.previous_output;
            if self.locked.contains(&coin) {
                return Err(format!("{txid} spends the locked coin {coin}").into());
            }
            if let Some(other) = self.holders.insert(coin, txid)
                && !self.created[&other].is_released
            {
                return Err(format!("{txid} and {other} share the coin {coin}").into());
            }
        }
        let paid: Vec<_> = recipients
            .iter()
            .map(|address| script_of(address))
            .collect::<Result<_, _>>()?;
        let scripts = transaction.output.iter().map(|it| &it.script_pubkey);
        let change: Vec<_> = scripts.filter(|script| !paid.contains(script)).collect();
        if change.len() > 1 || transaction.output.len() != paid.len() + change.len() {
            return Err(format!("{txid} has {} outputs", transaction.output.len()).into());
        }
        for script in change {
            if !reference.owns(script) {
                return Err(format!("the change of {txid} is not the wallet's").into());
            }
            if let Some(other) = self.change.insert(script.clone(), txid)
                && (self.sent.contains(&other) || !self.created[&other].is_released)
            {
                return Err(format!("{txid} and {other} share a change address").into());
            }
            if self.given.iter().any(|(_, given)| given == script) {
                return Err(format!("the change of {txid} goes to an address given out").into());
            }
        }
        let created = Created {
            transaction,
            is_released: false,
        };
        if self.created.insert(txid, created).is_some() {
            return Err(format!("{txid} was built twice").into());
        }
        Ok(())
    }
}

/// That what the file has reserved goes on from what was said.
pub(crate) fn check_file(wallet: &WalletFolder, promises: &Promises) -> Outcome {
    let reservations = Reservations::open(wallet.path())?;
    for (address_type, index) in &promises.places {
        let next = reservations.next_index((*address_type, Chain::Receive))?;
        if next <= *index {
            return Err(format!("{address_type} {index} was given out, {next} is next").into());
        }
    }
    Ok(())
}

fn script_of(address: &str) -> Result<ScriptBuf, btc::bitcoin::address::ParseError> {
    let address: Address<_> = address.parse()?;
    let address = address.require_network(Network::Regtest)?;
    Ok(address.script_pubkey())
}

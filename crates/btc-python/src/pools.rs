//! `Pools`: lanes by class of operation, so that no class waits for another.

use std::time::Instant;

use btc_iface::{BitcoinResult, Operation};

use crate::config::PythonConfig;
use crate::interpreter::Host;
use crate::lanes::{Lanes, Turn};
use crate::worker::Workers;

/// What a call takes time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Read,
    Broadcast,
    /// Follows the chain, or waits for what does.
    Wallet,
}

fn class(operation: Operation, method: &str) -> Class {
    match operation {
        Operation::GenerateAddress | Operation::CreateTransaction | Operation::GetBalance => {
            Class::Wallet
        }
        // What the wallet says about it may take following the chain.
        Operation::BroadcastTransaction if method == "check_broadcast" => Class::Wallet,
        Operation::BroadcastTransaction => Class::Broadcast,
        _ => Class::Read,
    }
}

/// The lanes of one Python implementation.
pub(crate) struct Pools {
    reads: Lanes,
    /// `None` where those of the wallet broadcast, first of all that wait.
    broadcasts: Option<Lanes>,
    wallet: Lanes,
}

impl Pools {
    /// Over an interpreter in this process.
    pub(crate) fn embedded(host: &Host, config: &PythonConfig) -> Self {
        let lanes = |limit| Lanes::new(host.clone(), config.timeout, limit);
        Self {
            reads: lanes(config.max_lanes),
            broadcasts: Some(lanes(config.max_lanes)),
            wallet: lanes(1),
        }
    }

    /// Over worker processes. One of them has the wallet, which a second could not open; what a
    /// payment needs is written down in it before it is sent.
    pub(crate) fn workers(config: &PythonConfig) -> Self {
        let timeout = config.timeout;
        let lanes = |config, limit| Lanes::new(Workers::new(config), timeout, limit);
        let without_wallet = || PythonConfig {
            wallet: None,
            ..config.clone()
        };
        let has_wallet = config.wallet.is_some();
        Self {
            reads: lanes(without_wallet(), config.max_lanes),
            broadcasts: (!has_wallet).then(|| lanes(without_wallet(), config.max_lanes)),
            wallet: lanes(config.clone(), 1),
        }
    }

    /// Starts the worker that is needed first, so that what is wrong shows here.
    pub(crate) fn start(&self) -> BitcoinResult<()> {
        let lanes = match self.broadcasts {
            None => &self.wallet,
            Some(_) => &self.reads,
        };
        lanes.call(Operation::Connect, &[], Turn::Usual).map(drop)
    }

    /// Runs one request on the lanes of its class.
    pub(crate) fn call(
        &self,
        operation: Operation,
        method: &str,
        request: &[u8],
    ) -> BitcoinResult<Vec<u8>> {
        let (lanes, turn) = match (class(operation, method), &self.broadcasts) {
            (Class::Read, _) => (&self.reads, Turn::Usual),
            (Class::Wallet, _) => (&self.wallet, Turn::Usual),
            (Class::Broadcast, Some(lanes)) => (lanes, Turn::First),
            (Class::Broadcast, None) => (&self.wallet, Turn::First),
        };
        lanes.call(operation, request, turn)
    }

    /// Ends all lanes and waits for it. False when the time is over.
    pub(crate) fn end(&self, deadline: Instant) -> bool {
        let all = || {
            [&self.reads, &self.wallet]
                .into_iter()
                .chain(&self.broadcasts)
        };
        all().for_each(Lanes::end);
        all().all(|lanes| lanes.wait_for_end(deadline))
    }
}

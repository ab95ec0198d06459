//! `Sides`: a wallet through any backend, with every implementation behind it in reach.

use std::sync::Arc;

use btc::shadow::sink::MemorySink;
use btc::shadow::{Policy, Shadow};
use btc::{
    BitcoinImplementationType, BitcoinInterface, BitcoinResult, NodeConfig, ObservedWallet,
    WalletState, WalletTwin,
};
use btc_regtest::Node;
use btc_tests::{Backend, Connected, Outcome, Reference, WalletFolder, compare};

/// An open wallet.
pub(crate) struct Sides {
    connected: Connected,
    implementations: Vec<Arc<dyn ObservedWallet>>,
}

impl Sides {
    /// Opens the wallet through a backend, in the deterministic mode.
    pub(crate) fn open(
        wallet: &WalletFolder,
        backend: Backend,
        node: &NodeConfig,
    ) -> BitcoinResult<Self> {
        use BitcoinImplementationType::{Python, Rust};
        let mode = match backend {
            Backend::PythonWorker => "worker",
            _ => "embedded",
        };
        let config = wallet.config(
            node,
            &[("PYTHON_MODE", mode), ("WALLET_SELECTION", "largest-first")],
        );
        let wanted = match backend {
            Backend::ShadowPythonFirst => vec![Python, Rust],
            Backend::ShadowRustFirst => vec![Rust, Python],
            real => vec![real.implementation()],
        };
        let implementations: Vec<_> = wanted
            .into_iter()
            .map(|implementation| btc::connect_observed(&config, implementation))
            .collect::<BitcoinResult<_>>()?;
        let connected = match implementations.as_slice() {
            [primary, secondary] => shadow(primary, secondary),
            [only, ..] => Connected::alone(Arc::clone(only) as Arc<dyn BitcoinInterface>),
            [] => unreachable!("there is always one"),
        };
        Ok(Self {
            connected,
            implementations,
        })
    }

    /// What callers have.
    pub(crate) fn bitcoin(&self) -> &dyn BitcoinInterface {
        &*self.connected.bitcoin
    }

    /// With what shadow mode recorded.
    pub(crate) fn connected(&self) -> &Connected {
        &self.connected
    }

    /// That every implementation says what the node says, by bucket and coin, and the backend the
    /// same in one number; returns what that is.
    pub(crate) fn agree(
        &self,
        what: &str,
        node: &Node,
        reference: &Reference,
    ) -> Result<WalletState, Box<dyn std::error::Error + Send + Sync>> {
        let expected = reference.state(node)?;
        let mut held_sat = None;
        for wallet in &self.implementations {
            let who = wallet.implementation_type().to_string();
            let state = wallet.wallet_state()?;
            assert_eq!(wallet.tip()?, expected.tip, "{what}: {who}");
            compare(&who, &state, &expected).map_err(|error| format!("{what}: {error}"))?;
            let known_sat = *held_sat.get_or_insert(state.balance.held_by_missing_sat);
            if known_sat != state.balance.held_by_missing_sat {
                let balance = state.balance;
                let text = format!("{what}: {who} says {balance:?}, the other {known_sat} held");
                return Err(text.into());
            }
        }
        let balance_sat = self.bitcoin().get_balance()?;
        if balance_sat != expected.balance.spendable_sat() {
            return Err(format!("{what}: {balance_sat} for {:?}", expected.balance).into());
        }
        Ok(expected)
    }

    /// That shadow mode has found no difference, if this is shadow mode.
    pub(crate) fn close(self) -> Outcome {
        self.connected.assert_agreement();
        Ok(())
    }
}

/// As `btc::connect_shadow`, and in memory.
fn shadow(primary: &Arc<dyn ObservedWallet>, secondary: &Arc<dyn ObservedWallet>) -> Connected {
    let sink = Arc::new(MemorySink::default());
    let shadow = Shadow::new(
        Arc::clone(primary) as Arc<dyn BitcoinInterface>,
        Arc::clone(secondary) as Arc<dyn BitcoinInterface>,
        Policy::default(),
        Box::new(Arc::clone(&sink)),
        true,
    );
    let twin = Arc::clone(primary) as Arc<dyn WalletTwin>;
    let shadow = shadow.with_wallet(primary.clone(), secondary.clone(), Some(twin));
    Connected::recorded(shadow, sink)
}

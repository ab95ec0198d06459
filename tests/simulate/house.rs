//! `House`: one folder of a wallet with both implementations over it, opened, closed and killed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use btc::bitcoin::{OutPoint, Txid};
use btc::rust::RustBitcoin;
use btc::rust::wallet::RustWallet;
use btc::{
    BitcoinImplementationType, Config, Credentials, Network, NodeConfig, ObservedWallet,
    WalletInterface,
};
use btc_regtest::SimNode;
use btc_tests::wallet_config;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Failure;
use crate::identity::{self, Keychain, Shape, shared_memory};
use crate::payments::Payments;

/// An implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Language {
    Rust,
    Python,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::Rust, Self::Python];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
        }
    }
}

/// An open wallet.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) operations: Arc<dyn ObservedWallet>,
    /// What goes beyond the eight operations; Rust alone has it.
    pub(crate) wallet: Option<Arc<RustWallet>>,
}

impl Side {
    /// The verbs that Rust alone has.
    pub(crate) fn verbs(&self) -> Result<&dyn WalletInterface, Failure> {
        match &self.wallet {
            Some(wallet) => Ok(&**wallet),
            None => Err("only the Rust side has these verbs".into()),
        }
    }
}

/// A wallet's folder, and what is expected of it.
pub(crate) struct House {
    home: TempDir,
    pub(crate) shape: Shape,
    sides: HashMap<Language, Side>,
    pub(crate) payments: Payments,
    /// The next index of each receiving chain that was not given out.
    pub(crate) next: HashMap<Keychain, u32>,
    /// The highest index of each chain that a side has seen used, ever.
    pub(crate) used: HashMap<Language, HashMap<Keychain, u32>>,
    lives: u32,
}

impl House {
    pub(crate) fn new(shape: Shape) -> Result<Self, Failure> {
        let home = shared_memory()?;
        identity::make(&home.path().join("wallet"), shape)?;
        Ok(Self {
            home,
            shape,
            sides: HashMap::new(),
            payments: Payments::default(),
            next: HashMap::new(),
            used: HashMap::new(),
            lives: 0,
        })
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("wallet")
    }

    /// An open side, opened if it is closed.
    pub(crate) fn side(&mut self, language: Language, node: &SimNode) -> Result<Side, Failure> {
        if let Some(side) = self.sides.get(&language) {
            return Ok(side.clone());
        }
        let side = open(&self.config(node), language)?;
        self.sides.insert(language, side.clone());
        Ok(side)
    }

    pub(crate) fn is_open(&self, language: Language) -> bool {
        self.sides.contains_key(&language)
    }

    pub(crate) fn close(&mut self, language: Language) {
        self.sides.remove(&language);
    }

    /// Where a copy goes that is taken in the middle of a call.
    pub(crate) fn next_life(&mut self) -> PathBuf {
        self.lives += 1;
        self.home.path().join(format!("life-{}", self.lives))
    }

    /// Goes on with what was on disk when the copy was taken; everything open is gone.
    pub(crate) fn go_on_with(&mut self, copy: &PathBuf) -> io::Result<()> {
        self.sides.clear();
        fs::remove_dir_all(self.dir())?;
        fs::rename(copy, self.dir())
    }

    fn config(&self, node: &SimNode) -> Config {
        let node = node_config(node);
        let more = [
            ("PYTHON_MODE", "embedded"),
            ("PYTHON_TIMEOUT_SECS", "0"),
            ("WALLET_SELECTION", "largest-first"),
        ];
        wallet_config(&self.dir(), &node, &more)
    }

    /// The payments of the shared file: each with whether it is given up and when it is sent again.
    pub(crate) fn rows(&self) -> Result<HashMap<Txid, (bool, u64)>, Failure> {
        let connection = self.connect()?;
        let sql = "SELECT txid, abandoned_ms IS NOT NULL, next_broadcast_ms FROM payments";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map((), |row| {
            let (txid, is_given_up, at_ms): (String, bool, u64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((txid, is_given_up, at_ms))
        })?;
        let mut found = HashMap::new();
        for row in rows {
            let (txid, is_given_up, at_ms) = row?;
            found.insert(txid.parse()?, (is_given_up, at_ms));
        }
        Ok(found)
    }

    /// Whether a payment is settled by the shared file.
    pub(crate) fn is_settled(&self, txid: Txid) -> Result<bool, Failure> {
        let sql = "SELECT EXISTS (SELECT 1 FROM payments WHERE txid = ?1
                       AND settled_height IS NOT NULL)";
        let found = self
            .connect()?
            .query_row(sql, [txid.to_string()], |row| row.get(0))?;
        Ok(found)
    }

    /// The coins that are reserved in the shared file, with the reason.
    pub(crate) fn reserved_rows(&self) -> Result<Vec<(OutPoint, String)>, Failure> {
        let connection = self.connect()?;
        let mut statement = connection.prepare("SELECT txid, vout, reason FROM reserved")?;
        let rows = statement.query_map((), |row| {
            let (txid, vout, reason): (String, u32, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((txid, vout, reason))
        })?;
        let mut found = Vec::new();
        for row in rows {
            let (txid, vout, reason) = row?;
            found.push((OutPoint::new(txid.parse()?, vout), reason));
        }
        Ok(found)
    }

    /// Lets time pass for what is on disk, back or forth, in milliseconds: a wallet compares it
    /// with the clock and keeps nothing of it in memory.
    pub(crate) fn pass_time(&self, by_ms: i64) -> Result<(), Failure> {
        let connection = self.connect()?;
        for (table, column) in [
            ("reserved", "until_ms"),
            ("change_index", "until_ms"),
            ("payments", "handed_over_ms"),
            ("payments", "next_broadcast_ms"),
            ("payments", "abandoned_ms"),
        ] {
            let sql = format!("UPDATE {table} SET {column} = max(1, {column} - ?1)");
            connection.execute(&sql, [by_ms])?;
        }
        // As the next writer does; else a clock that is set back brings to life what was over.
        let now_ms = crate::check::unix_ms().cast_signed();
        for table in ["reserved", "change_index"] {
            let sql =
                format!("DELETE FROM {table} WHERE until_ms <= ?1 OR until_ms > ?1 + span_ms");
            connection.execute(&sql, [now_ms])?;
        }
        Ok(())
    }

    /// Takes back the time that a step took by the clock on the wall: a history has its own, and on
    /// a busy machine the reservations would end earlier than in it. None lasts longer than when it
    /// was made.
    pub(crate) fn take_back(&self, by_ms: i64) -> Result<(), Failure> {
        let connection = self.connect()?;
        let now_ms = crate::check::unix_ms().cast_signed();
        for table in ["reserved", "change_index"] {
            let sql = format!(
                "UPDATE {table} SET until_ms = min(until_ms + ?1, ?2 + span_ms)
                 WHERE until_ms IS NOT NULL"
            );
            connection.execute(&sql, [by_ms, now_ms])?;
        }
        Ok(())
    }

    /// Sets when payments are sent again, which the wallet draws at random.
    pub(crate) fn set_due(&self, due: &[(Txid, u64)]) -> Result<(), Failure> {
        if due.is_empty() {
            return Ok(());
        }
        let connection = self.connect()?;
        for (txid, at_ms) in due {
            let sql = "UPDATE payments SET next_broadcast_ms = ?2 WHERE txid = ?1";
            connection.execute(sql, (txid.to_string(), at_ms.cast_signed()))?;
        }
        Ok(())
    }

    /// The shared file, while no wallet is at work.
    fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(self.dir().join("reservations.sqlite"))?)
    }
}

/// How to reach the node.
pub(crate) fn node_config(node: &SimNode) -> NodeConfig {
    NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file()),
        ..NodeConfig::new(Network::Regtest)
    }
}

fn open(config: &Config, language: Language) -> Result<Side, Failure> {
    if language == Language::Python {
        let operations = btc::connect_observed(config, BitcoinImplementationType::Python)?;
        return Ok(Side {
            operations,
            wallet: None,
        });
    }
    let node = config.node.as_ref().ok_or("a node is configured")?;
    let wallet = btc::connect_wallet(config)?;
    let rust = RustBitcoin::connect(node)?.with_wallet(Arc::clone(&wallet));
    Ok(Side {
        operations: Arc::new(rust),
        wallet: Some(wallet),
    })
}

//! A history once more on Bitcoin Core: what the simulated node took and refused, Core does as well.

use std::collections::{BTreeSet, HashMap};

use btc::bitcoin::consensus::encode;
use btc::bitcoin::{Network, Transaction, Txid};
use btc_regtest::sim::Deed;
use btc_regtest::{Node, NodeError, SimNode};
use btc_tests::builder;
use serde_json::{Value, json};

use crate::Failure;
use crate::stage::{BASE_BLOCKS, Setup};

/// What came of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Confirmed {
    pub(crate) blocks: u32,
    pub(crate) taken: u32,
    pub(crate) refused: u32,
    pub(crate) restarts: u32,
}

/// Does to Bitcoin Core what was done to the simulated node.
pub(crate) fn confirm(setup: &Setup, journal: &[Deed]) -> Result<Confirmed, Failure> {
    let min_relay = setup.min_relay;
    let core = builder()
        .arg(format!("-minrelaytxfee=0.{min_relay:08}"))
        .arg("-persistmempool=0")
        .start()?;
    if core.network() != Network::Regtest {
        return Err("Bitcoin Core is not on regtest".into());
    }
    let base = SimNode::builder().base_blocks(BASE_BLOCKS).start()?;
    set_clock(&core, base.now_secs())?;
    for placed in base.blocks_from(1) {
        submit_block(&core, &encode::serialize_hex(&placed.block))?;
    }
    let mut play = Play {
        core,
        now_secs: base.now_secs(),
        seen: HashMap::new(),
        done: Confirmed::default(),
    };
    for (number, deed) in journal.iter().enumerate() {
        play.deed(deed)
            .map_err(|error| format!("deed {number}: {error}"))?;
    }
    Ok(play.done)
}

struct Play {
    core: Node,
    now_secs: u64,
    /// Every transaction that was handed over or mined.
    seen: HashMap<Txid, Transaction>,
    done: Confirmed,
}

impl Play {
    fn deed(&mut self, deed: &Deed) -> Result<(), Failure> {
        match deed {
            Deed::Clock(secs) => {
                self.now_secs = *secs;
                set_clock(&self.core, *secs)?;
            }
            Deed::Block(block) => {
                for transaction in &block.txdata {
                    self.see(transaction);
                }
                submit_block(&self.core, &encode::serialize_hex(&**block))?;
                self.done.blocks += 1;
            }
            Deed::Sent(transaction, refusal) => {
                self.see(transaction);
                self.sent(transaction, refusal.as_ref())?;
            }
            Deed::Package(package, is_taken) => {
                let hex: Vec<String> = package.iter().map(encode::serialize_hex).collect();
                for transaction in package {
                    self.see(transaction);
                }
                let said: Value = self.core.call("submitpackage", &[json!(hex), json!(0)])?;
                let message = said["package_msg"].as_str().unwrap_or_default();
                if (message == "success") != *is_taken {
                    return Err(format!("a package, taken: {is_taken}; Core: {said}").into());
                }
            }
            Deed::Invalidated(hash) => {
                let _: Value = self.core.call("invalidateblock", &[json!(hash)])?;
            }
            Deed::Reconsidered(hash) => {
                let _: Value = self.core.call("reconsiderblock", &[json!(hash)])?;
            }
            Deed::Restarted(kept) => self.restart(kept)?,
            _ => return Err(format!("not known: {deed:?}").into()),
        }
        Ok(())
    }

    fn see(&mut self, transaction: &Transaction) {
        self.seen
            .insert(transaction.compute_txid(), transaction.clone());
    }

    fn sent(
        &mut self,
        transaction: &Transaction,
        refusal: Option<&(i32, String)>,
    ) -> Result<(), Failure> {
        if let Some((_, message)) = refusal
            && message.contains("mempool min fee not met")
        {
            // Core's mempool is not full.
            return Ok(());
        }
        let params = [
            json!(encode::serialize_hex(transaction)),
            json!(0),
            json!("21000000"),
        ];
        let said = self.core.call::<Value>("sendrawtransaction", &params);
        let theirs = match &said {
            Ok(_) => None,
            Err(error) => Some((error.rpc_code(), error.rpc_message().unwrap_or_default())),
        };
        let ours = refusal.map(|(code, message)| (Some(*code), message.as_str()));
        match refusal {
            Some(_) => self.done.refused += 1,
            None => self.done.taken += 1,
        }
        if ours != theirs {
            let txid = transaction.compute_txid();
            return Err(format!("{txid}: {ours:?}; Core: {theirs:?}").into());
        }
        Ok(())
    }

    /// Core has no call that takes one transaction out of its mempool: it starts anew without any,
    /// and is given those that are left.
    fn restart(&mut self, kept: &[Txid]) -> Result<(), Failure> {
        let there: BTreeSet<Txid> = mempool(&self.core)?;
        let wanted: BTreeSet<Txid> = kept.iter().copied().collect();
        if there == wanted {
            return Ok(());
        }
        self.done.restarts += 1;
        self.core.restart()?;
        set_clock(&self.core, self.now_secs)?;
        let mut left: Vec<Txid> = kept.to_vec();
        // Parents are not always first.
        while !left.is_empty() {
            let before = left.len();
            let mut last = Ok(Value::Null);
            left.retain(|txid| {
                let Some(transaction) = self.seen.get(txid) else {
                    return true;
                };
                let hex = json!(encode::serialize_hex(transaction));
                let params = [hex, json!(0), json!("21000000")];
                last = self.core.call::<Value>("sendrawtransaction", &params);
                last.is_err()
            });
            if left.len() == before {
                return Err(format!("Core does not take {left:?} again: {last:?}").into());
            }
        }
        Ok(())
    }
}

fn mempool(core: &Node) -> Result<BTreeSet<Txid>, NodeError> {
    core.call("getrawmempool", &[])
}

fn set_clock(core: &Node, secs: u64) -> Result<(), NodeError> {
    core.call::<Value>("setmocktime", &[json!(secs)])?;
    Ok(())
}

fn submit_block(core: &Node, hex: &str) -> Result<(), Failure> {
    let said: Value = core.call("submitblock", &[json!(hex)])?;
    if said.is_null() || said == "inconclusive" || said == "duplicate" {
        return Ok(());
    }
    Err(format!("Core refuses a block: {said}").into())
}

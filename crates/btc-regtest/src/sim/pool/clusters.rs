//! Transactions that hang together: their limits, and whether a replacement improves them.

use std::collections::{HashMap, HashSet};

use bitcoin::Txid;

use super::accept::{Judge, Refusal};
use super::chunks::{self, Node};
use super::{Entry, Pool, chunks_of};

impl Judge<'_> {
    /// Whether the clusters stay within their limits when these come and those go.
    pub(super) fn check_cluster(
        &self,
        coming: &[&Entry],
        going: &HashSet<Txid>,
    ) -> Result<(), Refusal> {
        let limits = &self.pool.limits;
        let nodes = self.nodes_around(coming, going);
        let sizes: HashMap<Txid, u64> = nodes.iter().map(|it| (it.txid, it.weight)).collect();
        for entry in coming {
            let cluster = connected(&nodes, entry.txid);
            let weight: u64 = cluster.iter().map(|txid| sizes[txid]).sum();
            if cluster.len() > limits.cluster_count || weight > limits.cluster_vb * 4 {
                return Err(Refusal::other("too-large-cluster"));
            }
        }
        Ok(())
    }

    /// Whether miners are better off.
    pub(super) fn check_diagram(
        &self,
        coming: &[&Entry],
        going: &HashSet<Txid>,
    ) -> Result<(), String> {
        let touched: HashSet<Txid> = going
            .iter()
            .copied()
            .chain(
                coming
                    .iter()
                    .flat_map(|it| self.pool.parents_of(&it.transaction)),
            )
            .collect();
        let before = self.pool.nodes(self.pool.cluster(touched));
        let after = self.nodes_around(coming, going);
        if chunks::improves(&chunks_of(&before), &chunks_of(&after)) {
            return Ok(());
        }
        Err("insufficient feerate: does not improve feerate diagram".to_owned())
    }

    /// The clusters that are touched, as they would be.
    fn nodes_around(&self, coming: &[&Entry], going: &HashSet<Txid>) -> Vec<Node> {
        let touched: HashSet<Txid> = going
            .iter()
            .copied()
            .chain(
                coming
                    .iter()
                    .flat_map(|it| self.pool.parents_of(&it.transaction)),
            )
            .collect();
        let around = self.pool.cluster(touched);
        let mut nodes = self.pool.nodes(around.difference(going).copied());
        for entry in coming {
            nodes.push(Node {
                txid: entry.txid,
                fee_sat: entry.fee_sat,
                weight: entry.adjusted_weight,
                parents: Vec::new(),
            });
        }
        let present: HashSet<Txid> = nodes.iter().map(|node| node.txid).collect();
        for entry in coming {
            let parents = entry.transaction.input.iter();
            let parents: HashSet<Txid> = parents
                .map(|input| input.previous_output.txid)
                .filter(|txid| present.contains(txid))
                .collect();
            if let Some(node) = nodes.iter_mut().find(|node| node.txid == entry.txid) {
                node.parents = parents.into_iter().collect();
            }
        }
        nodes
    }
}

impl Pool {
    /// These transactions for the purpose of ordering.
    pub(in crate::sim) fn nodes(&self, txids: impl IntoIterator<Item = Txid>) -> Vec<Node> {
        let entries = txids.into_iter().filter_map(|txid| self.get(&txid));
        let mut nodes: Vec<Node> = entries
            .map(|entry| Node {
                txid: entry.txid,
                fee_sat: entry.fee_sat,
                weight: entry.adjusted_weight,
                parents: self.parents_of(&entry.transaction).into_iter().collect(),
            })
            .collect();
        // Ties are broken by the order.
        nodes.sort_by_key(|node| self.get(&node.txid).map(|entry| entry.sequence));
        let present: HashSet<Txid> = nodes.iter().map(|node| node.txid).collect();
        for node in &mut nodes {
            node.parents.retain(|parent| present.contains(parent));
        }
        nodes
    }
}

/// All that hang together with this one.
fn connected(nodes: &[Node], from: Txid) -> HashSet<Txid> {
    let mut found = HashSet::from([from]);
    loop {
        let before = found.len();
        for node in nodes {
            let touches = found.contains(&node.txid)
                || node.parents.iter().any(|parent| found.contains(parent));
            if touches {
                found.insert(node.txid);
                found.extend(&node.parents);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

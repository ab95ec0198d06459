//! The signatures over all outcomes of a contract, made and verified on all cores.

use bitcoin::secp256k1::{PublicKey, SecretKey};
use btc_iface::BitcoinResult;
use ddk_dlc::secp256k1_zkp::EcdsaAdaptorSignature;
use ddk_manager::contract::ContractDescriptor;
use ddk_messages::oracle_msgs::tagged_attestation_msg;
use ddk_trie::combination_iterator::CombinationIterator;
use rayon::prelude::*;

use super::Deal;
use crate::check::CheckedBranch;
use crate::fault::{guard, internal, refuse, refused};

impl Deal {
    /// Signs every outcome, on all cores.
    pub(crate) fn sign_outcomes(
        &self,
        key: &SecretKey,
    ) -> BitcoinResult<Vec<EcdsaAdaptorSignature>> {
        let mut all = Vec::new();
        for (branch, range) in self.branches.iter().zip(&self.cets) {
            let cets = &self.transactions.cets[range.clone()];
            let start = all.len();
            match &branch.execution.contract_descriptor {
                ContractDescriptor::Enum(outcomes) => {
                    let jobs = enumerated(branch);
                    let signed: BitcoinResult<Vec<_>> = jobs
                        .par_iter()
                        .map(|(cet, oracles)| {
                            let outcome = &outcomes.outcome_payouts[*cet].outcome;
                            let point = self.point(branch, oracles, outcome)?;
                            ddk_dlc::create_cet_adaptor_sig_from_point(
                                &self.secp,
                                &cets[*cet],
                                &point,
                                key,
                                self.witness_script(),
                                self.fund_value(),
                            )
                            .map_err(|cause| internal(cause.to_string()))
                        })
                        .collect();
                    all.extend(signed?);
                }
                ContractDescriptor::Numerical(_) => {
                    let signed = guard("contract_info", || {
                        branch
                            .execution
                            .get_adaptor_info(
                                &self.secp,
                                self.total(),
                                key,
                                self.witness_script(),
                                self.fund_value(),
                                cets,
                                start,
                            )
                            .map_err(refused("contract_info"))
                    })?;
                    all.extend(signed.1);
                }
            }
        }
        Ok(all)
    }

    /// Verifies the other side's signature over every outcome, on all cores.
    pub(crate) fn verify_outcomes(
        &self,
        key: &PublicKey,
        signatures: &[EcdsaAdaptorSignature],
    ) -> BitcoinResult<()> {
        const FIELD: &str = "cet_adaptor_signatures";
        let mut start = 0;
        for (branch, range) in self.branches.iter().zip(&self.cets) {
            let cets = &self.transactions.cets[range.clone()];
            match &branch.execution.contract_descriptor {
                ContractDescriptor::Enum(outcomes) => {
                    let jobs = enumerated(branch);
                    let own = signatures
                        .get(start..start + jobs.len())
                        .ok_or_else(|| refuse(FIELD, "fewer than the contract has outcomes"))?;
                    jobs.par_iter()
                        .zip(own)
                        .try_for_each(|((cet, oracles), signature)| {
                            let outcome = &outcomes.outcome_payouts[*cet].outcome;
                            let point = self.point(branch, oracles, outcome)?;
                            ddk_dlc::verify_cet_adaptor_sig_from_point(
                                &self.secp,
                                signature,
                                &cets[*cet],
                                &point,
                                key,
                                self.witness_script(),
                                self.fund_value(),
                            )
                            .map_err(|_| {
                                refuse(FIELD, "a signature is wrong")
                                    .with_context("outcome", outcome)
                            })
                        })?;
                    start += jobs.len();
                }
                ContractDescriptor::Numerical(_) => {
                    let (_, next) = guard(FIELD, || {
                        branch
                            .execution
                            .verify_and_get_adaptor_info(
                                &self.secp,
                                self.total(),
                                key,
                                self.witness_script(),
                                self.fund_value(),
                                cets,
                                signatures,
                                start,
                            )
                            .map_err(refused(FIELD))
                    })?;
                    start = next;
                }
            }
        }
        if start != signatures.len() {
            return Err(refuse(FIELD, "more than the contract has outcomes"));
        }
        Ok(())
    }

    /// The point whose secret these oracles reveal with this outcome.
    fn point(
        &self,
        branch: &CheckedBranch,
        oracles: &[usize],
        outcome: &str,
    ) -> BitcoinResult<PublicKey> {
        let infos: Vec<_> = oracles
            .iter()
            .map(|index| (&branch.execution.oracle_announcements[*index]).into())
            .collect();
        let messages = vec![vec![tagged_attestation_msg(outcome)]; infos.len()];
        ddk_dlc::get_adaptor_point_from_oracle_info(&self.secp, &infos, &messages)
            .map_err(refused("oracle_nonces"))
    }
}

/// The signatures of an enumerated event in their order: the outcome's index, and the oracles.
pub(super) fn enumerated(branch: &CheckedBranch) -> Vec<(usize, Vec<usize>)> {
    let execution = &branch.execution;
    let ContractDescriptor::Enum(outcomes) = &execution.contract_descriptor else {
        return Vec::new();
    };
    let combinations: Vec<Vec<usize>> =
        CombinationIterator::new(execution.oracle_announcements.len(), execution.threshold)
            .collect();
    (0..outcomes.outcome_payouts.len())
        .flat_map(|outcome| {
            let with = combinations.iter();
            with.map(move |oracles| (outcome, oracles.clone()))
        })
        .collect()
}

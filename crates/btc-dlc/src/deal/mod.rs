//! `Deal`: the transactions of a contract, and the signatures over all of its outcomes.

mod funding;
mod outcomes;
mod party;

use bitcoin::secp256k1::{All, PublicKey, Secp256k1, SecretKey};
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Transaction, TxOut, Witness, ecdsa};
use btc_iface::BitcoinResult;
use ddk_dlc::secp256k1_zkp::EcdsaAdaptorSignature;
use ddk_dlc::secp256k1_zkp::ecdsa::Signature;
use ddk_dlc::{DlcTransactions, FeeRule, PartyParams, TxInputInfo};
use ddk_manager::contract::transactions::{ContractTransactions, build_contract_transactions};
use ddk_manager::contract::{AdaptorInfo, ContractDescriptor};
use ddk_messages::oracle_msgs::OracleAttestation;
use ddk_messages::{FundingSignature, OfferDlc};
use ddk_trie::DlcTrie;
use ddk_trie::multi_oracle_trie::MultiOracleTrie;
use ddk_trie::multi_oracle_trie_with_diff::MultiOracleTrieWithDiff;

use self::outcomes::enumerated;
pub(crate) use self::party::{Accepting, offering, party};
use crate::check::{self, Checked, CheckedBranch};
use crate::fault::{guard, internal, refuse, refused};

/// A contract between two parties, with every transaction of it.
pub(crate) struct Deal {
    secp: Secp256k1<All>,
    pub(crate) offer: PartyParams,
    pub(crate) accept: PartyParams,
    pub(crate) transactions: DlcTransactions,
    branches: Vec<CheckedBranch>,
    cets: Vec<std::ops::Range<usize>>,
    prevouts: Vec<TxOut>,
}

impl Deal {
    /// Builds every transaction. Both sides come to the same ones.
    pub(crate) fn build(
        offer: &OfferDlc,
        checked: Checked,
        accepting: &Accepting<'_>,
    ) -> BitcoinResult<Self> {
        let offer_party = party(&offering(offer))?;
        let accept_party = party(accepting)?;
        let infos: Vec<_> = checked
            .branches
            .iter()
            .map(|branch| branch.execution.clone())
            .collect();
        let built = guard("contract_info", || {
            build_contract_transactions(
                &offer_party,
                &accept_party,
                &infos,
                &offer.tlvs,
                &offer.into(),
                FeeRule::default(),
            )
            .map_err(refused("contract_info"))
        })?;
        let ContractTransactions {
            transactions,
            cet_ranges,
        } = built;
        funding::check(
            &transactions,
            &offer_party,
            &accept_party,
            offer.fee_rate_per_vb,
        )?;
        // Nothing that the network would refuse as a whole gets signatures.
        if transactions.cets.iter().any(|cet| cet.output.is_empty()) {
            return Err(refuse("contract_info", "an outcome pays nothing but dust"));
        }
        if transactions.refund.output.is_empty() {
            return Err(refuse("contract_info", "the refund pays nothing but dust"));
        }
        let mut coins: Vec<(u64, TxOut)> = Vec::new();
        for inputs in [offer.funding_inputs.as_slice(), accepting.inputs] {
            let outputs = check::input_outpoints(inputs)?;
            let serials = inputs.iter().map(|input| input.input_serial_id);
            coins.extend(serials.zip(outputs.into_iter().map(|(_, output)| output)));
        }
        coins.sort_by_key(|(serial, _)| *serial);
        Ok(Self {
            secp: Secp256k1::new(),
            offer: offer_party,
            accept: accept_party,
            transactions,
            branches: checked.branches,
            cets: cet_ranges,
            prevouts: coins.into_iter().map(|(_, output)| output).collect(),
        })
    }

    fn witness_script(&self) -> &ScriptBuf {
        &self.transactions.funding_witness_script
    }

    fn fund_value(&self) -> Amount {
        self.transactions.get_fund_output().value
    }

    /// The output that holds the collateral.
    pub(crate) fn outpoint(&self) -> OutPoint {
        self.transactions.get_fund_outpoint()
    }

    /// The contract id of the specification.
    pub(crate) fn contract_id(&self, temporary: &[u8; 32]) -> [u8; 32] {
        let outpoint = self.outpoint();
        let txid: &[u8; 32] = outpoint.txid.as_ref();
        let mut id = [0; 32];
        for (index, byte) in id.iter_mut().enumerate() {
            *byte = txid[31 - index] ^ temporary[index];
        }
        let [high, low] = u16::try_from(outpoint.vout)
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        id[30] ^= high;
        id[31] ^= low;
        id
    }

    fn total(&self) -> Amount {
        self.offer.collateral + self.accept.collateral
    }

    /// Signs the refund.
    pub(crate) fn sign_refund(&self, key: &SecretKey) -> BitcoinResult<Signature> {
        self.half(&self.transactions.refund, key)
    }

    /// This key's half of a signature of the funding output.
    pub(crate) fn half(&self, spend: &Transaction, key: &SecretKey) -> BitcoinResult<Signature> {
        ddk_dlc::util::get_raw_sig_for_tx_input(
            &self.secp,
            spend,
            0,
            self.witness_script(),
            self.fund_value(),
            key,
        )
        .map_err(|cause| internal(cause.to_string()))
    }

    /// Verifies the other side's half.
    pub(crate) fn verify_half(
        &self,
        field: &str,
        spend: &Transaction,
        key: &PublicKey,
        signature: &Signature,
    ) -> BitcoinResult<()> {
        ddk_dlc::verify_tx_input_sig(
            &self.secp,
            signature,
            spend,
            0,
            self.witness_script(),
            self.fund_value(),
            key,
        )
        .map_err(refused(field))
    }

    /// Puts both halves together.
    pub(crate) fn complete(
        &self,
        spend: &mut Transaction,
        key: &SecretKey,
        their_key: &PublicKey,
        theirs: &Signature,
    ) -> BitcoinResult<()> {
        ddk_dlc::util::sign_multi_sig_input(
            &self.secp,
            spend,
            theirs,
            their_key,
            key,
            self.witness_script(),
            self.fund_value(),
            0,
        )
        .map_err(|cause| internal(cause.to_string()))
    }

    /// Verifies both signatures of a complete spend of the funding output, as nodes will.
    pub(crate) fn check_spend(&self, spend: &Transaction) -> BitcoinResult<()> {
        let wrong = || internal("a spend of the funding output is not signed as it must be");
        let witness = &spend.input.first().ok_or_else(wrong)?.witness;
        let mut keys = [self.offer.fund_pubkey, self.accept.fund_pubkey];
        keys.sort_unstable();
        if witness.len() != 4 || witness.nth(3) != Some(self.witness_script().as_bytes()) {
            return Err(wrong());
        }
        for (place, key) in keys.iter().enumerate() {
            let element = witness.nth(place + 1).ok_or_else(wrong)?;
            let signature = ecdsa::Signature::from_slice(element).map_err(|_| wrong())?;
            if signature.sighash_type != EcdsaSighashType::All {
                return Err(wrong());
            }
            self.verify_half("witness", spend, key, &signature.signature)
                .map_err(|cause| wrong().with_source(cause))?;
        }
        Ok(())
    }

    /// Verifies the witness of one funding input.
    pub(crate) fn verify_funding(
        &self,
        input: &TxInputInfo,
        signature: &FundingSignature,
    ) -> BitcoinResult<Witness> {
        const FIELD: &str = "funding_signatures";
        let fund = &self.transactions.fund;
        let index = fund
            .input
            .iter()
            .position(|candidate| candidate.previous_output == input.outpoint)
            .ok_or_else(|| internal("the funding lacks an input"))?;
        let elements: Vec<&[u8]> = signature
            .witness_elements
            .iter()
            .map(|element| element.witness.as_slice())
            .collect();
        let witness = Witness::from_slice(&elements);
        guard(FIELD, || {
            ddk_dlc::verify_funding_witness(
                &self.secp,
                fund,
                index,
                input,
                &self.prevouts,
                &witness,
            )
            .map_err(refused(FIELD))
        })?;
        Ok(witness)
    }

    /// The transaction for what these oracles attested, unsigned, with the index of its signature
    /// and the oracles' own signatures; `None` when they do not decide. Nothing is verified again.
    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    pub(crate) fn outcome(
        &self,
        branch: usize,
        attestations: &[(usize, OracleAttestation)],
    ) -> BitcoinResult<
        Option<(
            Transaction,
            usize,
            Vec<Vec<ddk_dlc::secp256k1_zkp::schnorr::Signature>>,
        )>,
    > {
        // The signatures of a branch begin behind those of the branches before it.
        let mut start = 0;
        for before in &self.branches[..branch] {
            start += Self::count(before)?;
        }
        let info = Self::adaptor_info(&self.branches[branch], start)?;
        let execution = &self.branches[branch].execution;
        let found = guard("attestation", || {
            execution
                .get_range_info_and_oracle_signatures(&info, attestations, start)
                .map_err(refused("attestation"))
        })?;
        let range = &self.cets[branch];
        Ok(found.map(|(found, signatures)| {
            let cet = self.transactions.cets[range.start + found.cet_index].clone();
            (cet, found.adaptor_index, signatures)
        }))
    }

    fn count(branch: &CheckedBranch) -> BitcoinResult<usize> {
        Ok(match Self::adaptor_info(branch, 0)? {
            AdaptorInfo::Enum => enumerated(branch).len(),
            AdaptorInfo::Numerical(trie) => trie.iter().count(),
            AdaptorInfo::NumericalWithDifference(trie) => trie.iter().count(),
        })
    }

    /// Where each outcome's signature is, without a single operation on the curve.
    fn adaptor_info(branch: &CheckedBranch, start: usize) -> BitcoinResult<AdaptorInfo> {
        let ContractDescriptor::Numerical(numeric) = &branch.execution.contract_descriptor else {
            return Ok(AdaptorInfo::Enum);
        };
        let digits = &numeric.oracle_numeric_infos;
        let threshold = branch.execution.threshold;
        guard("contract_info", || {
            if let Some(difference) = &numeric.difference_params {
                let mut trie = MultiOracleTrieWithDiff::new(
                    digits,
                    threshold,
                    difference.min_support_exp,
                    difference.max_error_exp,
                )
                .map_err(refused("oracle_params"))?;
                trie.generate(start, &branch.ranges)
                    .map_err(refused("contract_info"))?;
                return Ok(AdaptorInfo::NumericalWithDifference(trie));
            }
            let mut trie =
                MultiOracleTrie::new(digits, threshold).map_err(refused("contract_info"))?;
            trie.generate(start, &branch.ranges)
                .map_err(refused("contract_info"))?;
            Ok(AdaptorInfo::Numerical(trie))
        })
    }

    /// The events, with what they pay.
    pub(crate) fn branches(&self) -> &[CheckedBranch] {
        &self.branches
    }

    /// When the first of its events can be known, in Unix seconds.
    pub(crate) fn first_maturity(&self) -> Option<u32> {
        let branches = self.branches.iter();
        let all = branches.flat_map(|branch| &branch.execution.oracle_announcements);
        all.map(|it| it.oracle_event.event_maturity_epoch).min()
    }

    /// Decrypts the other side's signature with the oracles' and completes the settlement.
    pub(crate) fn settle(
        &self,
        cet: &mut Transaction,
        adaptor: &EcdsaAdaptorSignature,
        oracles: &[Vec<ddk_dlc::secp256k1_zkp::schnorr::Signature>],
        key: &SecretKey,
        their_key: &PublicKey,
    ) -> BitcoinResult<()> {
        guard("attestation", || {
            ddk_dlc::sign_cet(
                &self.secp,
                cet,
                adaptor,
                oracles,
                key,
                their_key,
                self.witness_script(),
                self.fund_value(),
            )
            .map_err(refused("attestation"))
        })
    }
}

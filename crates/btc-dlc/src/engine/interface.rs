//! `DlcInterface` of `Dlc`: each method where it is done.

use bitcoin::Txid;
use btc_iface::BitcoinResult;
use btc_iface::dlc::{
    Cancellation, Contract, ContractId, ContractTerms, DlcEvent, DlcInterface, DlcMessage,
    Explanation,
};

use super::{Dlc, contract, explain_offer};
use crate::{check, explain};

impl DlcInterface for Dlc {
    fn offer(&self, terms: &ContractTerms) -> BitcoinResult<DlcMessage> {
        self.make_offer(terms)
    }

    fn explain(&self, offer: &DlcMessage) -> BitcoinResult<Explanation> {
        explain_offer(offer, self.parts.network, &self.config)
    }

    fn accept(&self, offer: &DlcMessage) -> BitcoinResult<DlcMessage> {
        self.accept_offer(offer)
    }

    fn sign(&self, accept: &DlcMessage) -> BitcoinResult<DlcMessage> {
        self.sign_contract(accept)
    }

    fn finalize(&self, sign: &DlcMessage) -> BitcoinResult<Txid> {
        self.finalize_contract(sign)
    }

    fn reject(&self, offer: &DlcMessage, reason: &str) -> BitcoinResult<DlcMessage> {
        self.reject_offer(offer, reason)
    }

    fn rejected(&self, message: &DlcMessage) -> BitcoinResult<()> {
        self.take_rejection(message)
    }

    fn cancel(&self, id: ContractId) -> BitcoinResult<Cancellation> {
        self.cancel_contract(id)
    }

    fn execute(&self, id: ContractId, attestations: &[String]) -> BitcoinResult<Txid> {
        self.settle(id, attestations)
    }

    fn refund(&self, id: ContractId) -> BitcoinResult<Txid> {
        self.take_refund(id)
    }

    fn propose_close(&self, id: ContractId, own_payout_sat: u64) -> BitcoinResult<DlcMessage> {
        self.make_proposal(id, own_payout_sat)
    }

    fn accept_close(&self, close: &DlcMessage, own_payout_sat: u64) -> BitcoinResult<Txid> {
        self.take_proposal(close, own_payout_sat)
    }

    fn sync(&self) -> BitcoinResult<Vec<DlcEvent>> {
        self.follow_and_mend(true)
    }

    fn get(&self, id: ContractId) -> BitcoinResult<Contract> {
        Ok(contract(id, &self.row(id)?.facts))
    }

    fn list(&self) -> BitcoinResult<Vec<Contract>> {
        let all = self.store.all()?;
        Ok(all.iter().map(|(id, facts)| contract(*id, facts)).collect())
    }

    fn show(&self, id: ContractId) -> BitcoinResult<Explanation> {
        let row = self.row(id)?;
        let offer = Self::offer_of(&row)?;
        let checked = check::contract_info(&offer.contract_info)?;
        Ok(explain::explain(&offer, &checked, row.facts.role))
    }
}

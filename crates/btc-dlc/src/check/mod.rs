//! What a contract must keep to, whoever wrote it: own terms and hostile messages alike.

mod curve;
mod info;
mod message;
mod oracle;

pub(crate) use self::info::{Checked, CheckedBranch, contract_info};
pub(crate) use self::message::{Policy, accept, check_offer, input_outpoints, offer_fields};
pub(crate) use self::oracle::announcement;

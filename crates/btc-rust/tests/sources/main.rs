//! Tests of the chain sources against private nodes and servers.

mod broadcast;
mod electrum;
mod failures;
mod ledger;
mod liars;
mod liars_chain;
mod lies;
mod reorganisations;
mod scans;
mod scripted;
mod setup;
mod story;
mod strangers;
mod wallet;

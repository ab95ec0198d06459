//! Tests of the chain sources against private nodes and servers.

mod broadcast;
mod electrum;
mod failures;
mod ledger;
mod lies;
mod reorganisations;
mod scans;
mod setup;
mod wallet;

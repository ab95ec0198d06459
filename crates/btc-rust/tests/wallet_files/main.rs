//! Tests of the wallet's files, on real disks and with processes that are killed.

mod beside;
mod child;
mod clock;
mod crash;
mod damage;
mod descriptors;
mod folder;
mod funds;
mod gone;
mod handing;
mod labels;
mod locks;
mod message;
mod not_sent;
mod one_block;
mod own_payments;
mod previews;
mod published;
mod replaced;
mod reservations;
mod rules;
mod secret;
mod simulated;
mod support;

//! Discreet log contracts over real nodes and real wallets: whole lives, faults, hostile messages.

mod chain;
mod closing;
mod examples;
mod funding;
mod home;
mod hostile;
mod hostile_bytes;
mod kept;
mod lives;
mod numeric;
mod oracles;
mod refusal;
mod restart;
mod staged;
mod support;
mod twice;
mod unseen;

//! An Electrum server as a chain source.

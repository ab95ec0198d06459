//! Labels (BIP329).

//! The peer-to-peer network as a chain source (BIP157, BIP158).

//! The scan of blocks that Core and the peer-to-peer network share.

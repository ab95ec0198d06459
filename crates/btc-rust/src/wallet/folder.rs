//! The wallet's folder: `wallet.json`, creation as a whole, the lock.

//! The wallet's books: its chain, its transactions, its coins.

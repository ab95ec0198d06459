//! `Position`: how far the chain was examined, as rows of the table `meta`.

use btc_iface::BlockRef;
use rusqlite::Transaction;

/// The keys of the last block examined, and of the last one that was read itself.
const SCANNED: [&str; 2] = ["scanned_height", "scanned_hash"];
const READ: [&str; 2] = ["blocks_height", "blocks_hash"];
/// The keys of the number of scripts at the beginning of a pass, for each of the two.
const WATCHED: &str = "watched";
const READ_WATCHED: &str = "blocks_watched";
/// The keys of whether the first scan goes on, for each of the two.
const FIRST_SCAN: &str = "first_scan";
const READ_FIRST_SCAN: &str = "blocks_first_scan";
/// The key of the lowest block that was undone to.
const UNDONE: &str = "undone_to";
/// There while others are believed above the blocks that were read: a server, or peers.
const TOLD: &str = "told_by_server";
const BY_SERVER: u64 = 1;
const BY_FILTERS: u64 = 2;

/// How far the chain was examined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The last block that was examined, if any was.
    pub scanned: Option<BlockRef>,
    /// The number of scripts that were watched by what was used when the current pass over the
    /// blocks began: with all of them, every block up to `scanned` was examined.
    pub watched: u64,
    /// Whether the first scan has not come to its end.
    pub is_first_scan: bool,
    /// The lowest block that was undone to since settled payments were looked at.
    pub undone_to: Option<u32>,
    /// Where the reading of blocks stood before a server with histories by script took over, or
    /// the filters of peers; `None` while everything was read in blocks.
    pub in_blocks: Option<InBlocks>,
}

/// How far blocks themselves were read: the fields of [`Position`] as they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InBlocks {
    /// The last block that was read, if any was.
    pub scanned: Option<BlockRef>,
    /// As in [`Position`].
    pub watched: u64,
    /// As in [`Position`].
    pub is_first_scan: bool,
    /// Whether the filters of peers took over: what was found is true then, and not all may have
    /// been found.
    pub by_filters: bool,
}

impl Position {
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let in_blocks = self.in_blocks.unwrap_or_default();
        let told = self.in_blocks.map(|read| {
            if read.by_filters {
                BY_FILTERS
            } else {
                BY_SERVER
            }
        });
        for ([height, hash], block) in [(SCANNED, self.scanned), (READ, in_blocks.scanned)] {
            let text = block.map(|block| (block.height.to_string(), block.hash.to_string()));
            let (at, of) = text.unwrap_or_default();
            super::write(transaction, height, &at)?;
            super::write(transaction, hash, &of)?;
        }
        let first_scan = |is_first_scan: bool| is_first_scan.then_some(1);
        for (key, count) in [
            (WATCHED, Some(self.watched)),
            (READ_WATCHED, Some(in_blocks.watched)),
            (FIRST_SCAN, first_scan(self.is_first_scan)),
            (READ_FIRST_SCAN, first_scan(in_blocks.is_first_scan)),
            (TOLD, told),
            (UNDONE, self.undone_to.map(u64::from)),
        ] {
            let text = count.map(|count| count.to_string());
            super::write(transaction, key, &text.unwrap_or_default())?;
        }
        Ok(())
    }

    /// The position, none in a file without one, or the key whose value makes no sense.
    pub(super) fn read(
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<Result<Option<Self>, &'static str>> {
        let Some(first_scan) = super::read(transaction, FIRST_SCAN)? else {
            return Ok(Ok(None));
        };
        // A file of an earlier version lacks some.
        let text = |key| super::read(transaction, key).map(Option::unwrap_or_default);
        let (scanned, read) = (SCANNED.map(text), READ.map(text));
        let [at, of] = scanned;
        let scanned = block(SCANNED[0], &at?, &of?);
        let [at, of] = read;
        let read = block(READ[0], &at?, &of?);
        let read_first_scan = count(READ_FIRST_SCAN, &text(READ_FIRST_SCAN)?);
        // A file of an earlier version does not say: everything is read once more.
        let watched = count(WATCHED, &text(WATCHED)?);
        let read_watched = count(READ_WATCHED, &text(READ_WATCHED)?);
        let told = count(TOLD, &text(TOLD)?);
        let undone = count(UNDONE, &text(UNDONE)?);
        Ok((|| {
            let told = told?;
            let in_blocks = InBlocks {
                scanned: read?,
                watched: read_watched?.unwrap_or(0),
                is_first_scan: read_first_scan?.is_some(),
                by_filters: told == Some(BY_FILTERS),
            };
            Ok(Some(Self {
                scanned: scanned?,
                watched: watched?.unwrap_or(0),
                is_first_scan: count(FIRST_SCAN, &first_scan)?.is_some(),
                undone_to: undone?.map(|height| u32::try_from(height).unwrap_or(0)),
                in_blocks: told.map(|_| in_blocks),
            }))
        })())
    }
}

fn block(key: &'static str, height: &str, hash: &str) -> Result<Option<BlockRef>, &'static str> {
    match (height.parse(), hash.parse()) {
        (Ok(height), Ok(hash)) => Ok(Some(BlockRef { height, hash })),
        _ if height.is_empty() && hash.is_empty() => Ok(None),
        _ => Err(key),
    }
}

fn count(key: &'static str, text: &str) -> Result<Option<u64>, &'static str> {
    match text.parse() {
        Ok(count) => Ok(Some(count)),
        Err(_) if text.is_empty() => Ok(None),
        Err(_) => Err(key),
    }
}

//! `BlockRange`: a range of heights as it is typed.

use std::str::FromStr;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};

use super::error;

/// Heights from one to another; an end that is left out is the chain's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    first: u32,
    /// The last one, not the one after it.
    last: Option<u32>,
}

impl BlockRange {
    /// The first and the last height on a chain with this tip.
    ///
    /// # Errors
    /// `InvalidInput`: the chain does not reach so far.
    pub fn on_chain(self, tip: u32) -> BitcoinResult<(u32, u32)> {
        let last = self.last.unwrap_or(tip);
        if self.first > tip || last > tip {
            let message = "the chain does not reach so far; name blocks up to its tip";
            return Err(error(ErrorKind::InvalidInput, message)
                .with_context("tip", tip)
                .with_context("block", self.first.max(last)));
        }
        Ok((self.first, last))
    }
}

impl FromStr for BlockRange {
    type Err = BitcoinError;

    /// Reads `100..200` (without 200), `100..=199`, `100..`, `..200` and `..`.
    fn from_str(text: &str) -> BitcoinResult<Self> {
        parse(text).ok_or_else(|| {
            let message = "not a range of blocks; write 100..200 (without 200), 100..=199, 100.. \
                           or ..200";
            error(ErrorKind::InvalidInput, message).with_context("blocks", text)
        })
    }
}

fn parse(text: &str) -> Option<BlockRange> {
    let (first, end) = text.split_once("..")?;
    let number = |text: &str| {
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let first = if first.is_empty() { 0 } else { number(first)? };
    let last = match (end, end.strip_prefix('=')) {
        ("", _) => None,
        (_, Some(last)) => Some(number(last)?),
        (end, None) => Some(number(end)?.checked_sub(1)?),
    };
    let is_some = last.is_none_or(|last| first <= last);
    is_some.then_some(BlockRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rust() {
        let range = |text: &str| text.parse::<BlockRange>().expect(text).on_chain(500);
        for (text, first, last) in [
            ("100..200", 100, 199),
            ("100..=200", 100, 200),
            ("100..", 100, 500),
            ("..200", 0, 199),
            ("..=0", 0, 0),
            ("..", 0, 500),
            ("7..8", 7, 7),
            ("500..501", 500, 500),
        ] {
            assert_eq!(range(text).expect(text), (first, last), "{text}");
        }
        for text in ["501..", "0..=501", "..502"] {
            let error = range(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    }

    #[test]
    fn what_is_empty_or_no_range_is_refused() {
        for text in [
            "",
            "5",
            "5..5",
            "6..5",
            "6..=5",
            "..0",
            "..=",
            "a..",
            "..b",
            "1...3",
            "-1..3",
            "+1..3",
            " 1..3",
            "1..4294967296",
            "0x1..3",
            "..=4294967296",
        ] {
            let error = text.parse::<BlockRange>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
        let widest = "..=4294967295".parse::<BlockRange>().expect("it fits");
        assert_eq!(widest.on_chain(u32::MAX).expect("it fits"), (0, u32::MAX));
    }
}

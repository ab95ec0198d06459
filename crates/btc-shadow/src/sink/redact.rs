//! Blacks out what looks like a secret: a log is read by more people than a wallet.

use std::borrow::Cow;
use std::ops::Range;

use super::bounds::cut;

const BLACKED_OUT: &str = "[redacted]";
/// Words in a row that make a phrase; half as many where the text was cut off.
const MIN_WORDS: usize = 12;
/// Words of prose that no phrase has: what is told in a sentence stays.
const PROSE: [&str; 14] = [
    "the", "and", "was", "are", "not", "for", "has", "had", "were", "from", "its", "both", "with",
    "which",
];
/// The fewest characters of an extended private key that are worth hiding.
const MIN_EXTENDED_CHARS: usize = 12;
/// The digits of a secret key, and how many of them count where the text was cut off.
const KEY_DIGITS: usize = 64;
const MIN_CUT_DIGITS: usize = 16;
/// After these names and a sign, a value is hidden.
const NAMES: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "cookie",
    "mnemonic",
    "seed",
];

/// The text with `[redacted]` in the place of each
///
/// - private key in the wallet import format, and extended private key (BIP32, SLIP132)
/// - twelve words or more that may be of a phrase (BIP39), with or without numbers
/// - value of a password, passphrase, secret, seed or cookie; password in an address
/// - 64 hexadecimal digits directly after `secret` or `key`
///
/// It rather hides too much than too little, and sees what was cut off at the end of the text.
pub(super) fn redact(text: &str) -> Cow<'_, str> {
    let words: Vec<Range<usize>> = runs(text.as_bytes()).collect();
    let scan = Scan {
        text,
        end: cut(text).map_or(text.len(), |cut| cut.place),
        is_cut: cut(text).is_some(),
    };
    let mut found = Vec::new();
    for (index, run) in words.iter().enumerate() {
        found.extend(scan.private_key(run));
        found.extend(scan.named_value(run));
        found.extend(scan.digits_after_key(run, words.get(index + 1)));
    }
    scan.phrases(&words, &mut found);
    scan.address_passwords(&mut found);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| (range.start, range.end));
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        if range.start >= end {
            clean.push_str(&text[end..range.start]);
            clean.push_str(BLACKED_OUT);
        }
        end = end.max(range.end);
    }
    clean.push_str(&text[end..]);
    Cow::Owned(clean)
}

/// The runs of ASCII letters and digits.
fn runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes[at..].iter().position(u8::is_ascii_alphanumeric)?;
        let rest = &bytes[start..];
        let length = rest.iter().position(|byte| !byte.is_ascii_alphanumeric());
        at = start + length.unwrap_or(rest.len());
        Some(start..at)
    })
}

struct Scan<'t> {
    text: &'t str,
    /// Where the text ends, or was cut off.
    end: usize,
    is_cut: bool,
}

impl Scan<'_> {
    fn at(&self, range: &Range<usize>) -> &str {
        &self.text[range.clone()]
    }

    /// Whether what ends here may have gone on.
    fn is_cut_at(&self, end: usize) -> bool {
        self.is_cut && end == self.end
    }

    fn private_key(&self, run: &Range<usize>) -> Option<Range<usize>> {
        let text = self.at(run);
        for (place, _) in text.match_indices("prv") {
            let is_one = place > 0 && b"xyzuvtYZUV".contains(&text.as_bytes()[place - 1]);
            let rest = &text[place + 3..];
            if is_one && rest.len() >= MIN_EXTENDED_CHARS && rest.bytes().all(is_base58) {
                return Some(run.start + place - 1..run.end);
            }
        }
        let first = text.as_bytes()[0];
        let is_length = match first {
            b'5' | b'9' => text.len() == 51,
            b'K' | b'L' | b'c' => text.len() == 52,
            _ => false,
        };
        let is_part = self.is_cut_at(run.end)
            && b"59KLc".contains(&first)
            && (MIN_CUT_DIGITS..52).contains(&text.len());
        // Hexadecimal digits are base58, too, mostly.
        let is_key = (is_length || is_part)
            && text.bytes().all(is_base58)
            && !text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_key.then(|| run.clone())
    }

    /// The value after the name of a secret and a sign.
    fn named_value(&self, run: &Range<usize>) -> Option<Range<usize>> {
        let name = self.at(run).to_ascii_lowercase();
        if !NAMES.iter().any(|known| name.ends_with(known)) {
            return None;
        }
        let rest = &self.text[run.end..self.end];
        let after_name = rest.trim_start_matches(['_', '-', '"', '\'', '\\', ' ', '\t']);
        let after_sign = after_name.strip_prefix(['=', ':'])?;
        let rest = after_sign.trim_start_matches(['"', '\'', '\\', ' ', '\t']);
        let start = self.end - rest.len();
        let quote = self.text[..start].chars().last();
        let quote = quote.filter(|last| "\"'".contains(*last));
        let length = match quote {
            Some(quote) => rest.find(quote),
            None => rest.find([
                ' ', '\t', '\n', '\r', '"', '\'', ',', ';', '&', ')', ']', '}', '>',
            ]),
        };
        let end = length.map_or(self.end, |length| start + length);
        let is_new = end > start && !self.text[start..].starts_with(BLACKED_OUT);
        is_new.then_some(start..end)
    }

    fn digits_after_key(
        &self,
        run: &Range<usize>,
        next: Option<&Range<usize>>,
    ) -> Option<Range<usize>> {
        let is_key = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.ends_with("secret") || name.ends_with("key")
        };
        let text = self.at(run);
        if is_key(text) {
            let next = next.filter(|next| next.start - run.end <= 4)?;
            let digits = self.at(next);
            let digits = digits.strip_prefix("0x").unwrap_or(digits);
            let is_long = digits.len() == KEY_DIGITS
                || self.is_cut_at(next.end) && digits.len() >= MIN_CUT_DIGITS;
            let is_secret = is_long && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_secret.then(|| next.clone());
        }
        let place = text.len().checked_sub(KEY_DIGITS)?;
        let (name, digits) = text.split_at(place);
        let is_secret = is_key(name) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_secret.then(|| run.start + place..run.end)
    }

    /// Words in a row, as phrases have them.
    fn phrases(&self, runs: &[Range<usize>], found: &mut Vec<Range<usize>>) {
        let is_word = |run: &Range<usize>| {
            let text = self.at(run);
            let is_long = (3..=8).contains(&text.len()) || self.is_cut_at(run.end);
            let is_word = is_long && text.bytes().all(|byte| byte.is_ascii_alphabetic());
            is_word && !PROSE.contains(&text)
        };
        let is_number = |run: &Range<usize>| {
            let text = self.at(run);
            text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut words = 0;
        let mut phrase = 0..0;
        let mut finish = |words: usize, phrase: &Range<usize>| {
            let is_cut = self.is_cut_at(phrase.end);
            if words >= MIN_WORDS || is_cut && words >= MIN_WORDS / 2 {
                found.push(phrase.clone());
            }
        };
        let mut last = 0;
        for run in runs {
            let is_next = run.start - last <= 4 && words > 0;
            last = run.end;
            if is_word(run) {
                if !is_next {
                    finish(words, &phrase);
                    words = 0;
                    phrase.start = run.start;
                }
                words += 1;
                phrase.end = run.end;
            } else if !is_number(run) || !is_next {
                finish(words, &phrase);
                words = 0;
            }
        }
        finish(words, &phrase);
    }

    /// `user:password@` in `http://user:password@host`.
    fn address_passwords(&self, found: &mut Vec<Range<usize>>) {
        for (place, sign) in self.text.match_indices("://") {
            let start = place + sign.len();
            let rest = &self.text[start..];
            let host = rest.find(|it: char| it == '/' || it.is_ascii_whitespace());
            let authority = &rest[..host.unwrap_or(rest.len())];
            if let Some(end) = authority.rfind('@').filter(|end| *end > 0)
                && !authority.starts_with(BLACKED_OUT)
            {
                found.push(start..start + end);
            }
        }
    }
}

fn is_base58(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte)
}

#[cfg(test)]
mod tests;

//! What a worker writes to standard error: read to its end whatever it is, and the last lines kept.

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFlags, Timespec};

use super::pipes::{is_ready, milliseconds};
use super::process::{Process, lock};
use crate::config::PythonConfig;

/// How many of a worker's last lines an error shows.
const SHOWN_LINES: usize = 12;
/// How much of a line is shown.
const MAX_LINE_BYTES: usize = 1_000;
/// How much of a line is kept until it is shown. A secret in what is shown is there whole.
const KEPT_BYTES: usize = 8_000;
/// How often the process is looked at while it writes nothing.
const LOOK_EVERY: Timespec = milliseconds(500);
/// How long what a process has written is read after its end. A process that it left behind may
/// hold the pipe open, and write to it, for ever.
const READ_AFTER_END: Duration = Duration::from_millis(200);

/// The last lines of a worker. May be read while they are written.
#[derive(Default)]
pub(super) struct LastLines(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    whole: VecDeque<String>,
    /// The line that has not ended yet, up to its bound.
    begun: Vec<u8>,
}

impl LastLines {
    /// Takes what arrived, lines or not, text or not.
    fn push(&self, bytes: &[u8], secrets: &[&str]) {
        let mut lines = lock(&self.0);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            lines.begin(&rest[..end]);
            let line = shown(&lines.begun, secrets);
            lines.begun.clear();
            tracing::debug!(target: "btc_python::worker", "{line}");
            if lines.whole.len() == SHOWN_LINES {
                lines.whole.pop_front();
            }
            lines.whole.push_back(line);
            rest = &rest[end + 1..];
        }
        lines.begin(rest);
    }

    /// The lines in one, the last one as far as it goes; empty when there are none.
    pub(super) fn text(&self, secrets: &[&str]) -> String {
        let lines = lock(&self.0);
        let mut lines_shown: Vec<String> = lines.whole.iter().cloned().collect();
        if !lines.begun.is_empty() {
            lines_shown.push(shown(&lines.begun, secrets));
        }
        lines_shown.join(" | ")
    }
}

impl Lines {
    fn begin(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.begun.len());
        self.begun
            .extend_from_slice(&bytes[..room.min(bytes.len())]);
    }
}

/// As text that a terminal can be shown, without the secrets.
fn shown(line: &[u8], secrets: &[&str]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    // The end of what is kept may be the beginning of a secret.
    if line.len() == KEPT_BYTES {
        let begun = secrets.iter().filter_map(|secret| begun_at(&text, secret));
        text.truncate(begun.min().unwrap_or(text.len()));
    }
    let bound = (0..=MAX_LINE_BYTES.min(text.len())).rev();
    let end = bound.into_iter().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    readable(&text)
}

/// Where a beginning of the secret starts with which the text ends.
fn begun_at(text: &str, secret: &str) -> Option<usize> {
    let beginnings = secret.char_indices().rev().map(|(end, _)| &secret[..end]);
    let longest = beginnings
        .filter(|begun| !begun.is_empty())
        .find(|begun| text.ends_with(begun))?;
    Some(text.len() - longest.len())
}

fn readable(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|letter| match letter {
            '\t' => ' ',
            letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
            letter => letter,
        })
        .collect()
}

/// Reads a worker's standard error until all that may write to it have ended, or a little longer
/// than the worker.
pub(super) fn keep_last(
    process: &Process,
    mut stderr: ChildStderr,
    last: &LastLines,
    config: &Arc<PythonConfig>,
) {
    let secrets: Vec<&str> = config.secrets().collect();
    let mut piece = [0; 8 << 10];
    let mut ended = None;
    loop {
        if ended.is_none() && process.has_ended() {
            ended = Some(Instant::now());
        }
        let is_over = ended.is_some_and(|at| at.elapsed() > READ_AFTER_END);
        let patience = if ended.is_some() {
            milliseconds(20)
        } else {
            LOOK_EVERY
        };
        match is_ready(stderr.as_fd(), PollFlags::IN, &patience) {
            Ok(true) if !is_over => match stderr.read(&mut piece) {
                Ok(count @ 1..) => last.push(&piece[..count], &secrets),
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            },
            Ok(false) if ended.is_none() => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(pieces: &[&[u8]]) -> LastLines {
        let last = LastLines::default();
        for piece in pieces {
            last.push(piece, &[]);
        }
        last
    }

    fn text(last: &LastLines) -> String {
        last.text(&[])
    }

    #[test]
    fn lines_that_are_no_text_are_shown_as_far_as_they_are() {
        let last = pushed(&[b"before\n\xff\xfe then\nafter\n"]);
        assert_eq!(text(&last), "before | \u{fffd}\u{fffd} then | after");
    }

    #[test]
    fn a_line_without_an_end_is_bounded_and_shown() {
        let last = pushed(&[&vec![b'x'; 100_000], &vec![b'y'; 100_000]]);
        assert_eq!(text(&last), "x".repeat(MAX_LINE_BYTES));
        assert_eq!(lock(&last.0).begun.len(), KEPT_BYTES);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let last = pushed(&[b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14"]);
        let shown = text(&last);
        assert!(
            shown.starts_with("2 | 3 | ") && shown.ends_with(" | 13 | 14"),
            "{shown}"
        );
    }

    #[test]
    fn what_would_command_a_terminal_is_not_shown() {
        let last = pushed(&[b"\x1b]0;title\x07 and \x1b[31mred\r\n"]);
        assert!(!text(&last).chars().any(char::is_control));
    }

    #[test]
    fn a_secret_is_hidden_in_lines_that_ended_and_in_the_one_that_did_not() {
        let last = LastLines::default();
        last.push(b"the word\nagain: word", &["word"]);
        assert_eq!(last.text(&["word"]), "the *** | again: ***");
    }

    #[test]
    fn a_secret_that_is_not_shown_as_it_is_or_goes_past_the_end_is_hidden() {
        let secrets = ["pass\tword", "twelve words", "a longer secret"];
        for (before, secret) in [
            (0, secrets[0]),
            (MAX_LINE_BYTES - 3, secrets[1]),
            (KEPT_BYTES - 3, secrets[1]),
        ] {
            let line = "x".repeat(before) + secret;
            let last = LastLines::default();
            for end in ["", "\n"] {
                last.push((line.clone() + end).as_bytes(), &secrets);
                let text = last.text(&secrets);
                let is_there = ["pass", "twe", "wo"].iter().any(|it| text.contains(it));
                assert!(!is_there, "{before}: {text}");
                lock(&last.0).begun.clear();
            }
        }
        // Much that is hidden moves the end of what is kept to where it is shown.
        let many = "a longer secret".repeat(KEPT_BYTES / 15) + "a longer";
        let last = LastLines::default();
        last.push(many.as_bytes(), &secrets);
        assert!(
            !last.text(&secrets).contains("long"),
            "{}",
            last.text(&secrets)
        );
    }
}

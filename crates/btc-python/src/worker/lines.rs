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
/// How much of a line is kept.
const MAX_LINE_BYTES: usize = 1_000;
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
    fn push(&self, bytes: &[u8], hide: &dyn Fn(String) -> String) {
        let mut lines = lock(&self.0);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            lines.begin(&rest[..end]);
            let line = hide(readable(&lines.begun));
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
    pub(super) fn text(&self, hide: &dyn Fn(String) -> String) -> String {
        let lines = lock(&self.0);
        let mut shown: Vec<String> = lines.whole.iter().cloned().collect();
        if !lines.begun.is_empty() {
            shown.push(hide(readable(&lines.begun)));
        }
        shown.join(" | ")
    }
}

impl Lines {
    fn begin(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES.saturating_sub(self.begun.len());
        self.begun
            .extend_from_slice(&bytes[..room.min(bytes.len())]);
    }
}

/// As text that a terminal can be shown.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end()
        .chars()
        .map(|letter| match letter {
            '\t' => ' ',
            letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
            letter => letter,
        })
        .collect()
}

/// Hides the configured secrets.
pub(super) fn hide(config: &PythonConfig, text: String) -> String {
    config
        .secrets()
        .fold(text, |text, secret| text.replace(secret, "***"))
}

/// Reads a worker's standard error until all that may write to it have ended, or a little longer
/// than the worker.
pub(super) fn keep_last(
    process: &Process,
    mut stderr: ChildStderr,
    last: &LastLines,
    config: &Arc<PythonConfig>,
) {
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
                Ok(count @ 1..) => last.push(&piece[..count], &|text| hide(config, text)),
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
            last.push(piece, &|text| text);
        }
        last
    }

    fn shown(last: &LastLines) -> String {
        last.text(&|text| text)
    }

    #[test]
    fn lines_that_are_no_text_are_shown_as_far_as_they_are() {
        let last = pushed(&[b"before\n\xff\xfe then\nafter\n"]);
        assert_eq!(shown(&last), "before | \u{fffd}\u{fffd} then | after");
    }

    #[test]
    fn a_line_without_an_end_is_bounded_and_shown() {
        let last = pushed(&[&vec![b'x'; 100_000], &vec![b'y'; 100_000]]);
        assert_eq!(shown(&last), "x".repeat(MAX_LINE_BYTES));
        assert_eq!(lock(&last.0).begun.len(), MAX_LINE_BYTES);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let last = pushed(&[b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14"]);
        let text = shown(&last);
        assert!(
            text.starts_with("2 | 3 | ") && text.ends_with(" | 13 | 14"),
            "{text}"
        );
    }

    #[test]
    fn what_would_command_a_terminal_is_not_shown() {
        let last = pushed(&[b"\x1b]0;title\x07 and \x1b[31mred\r\n"]);
        assert!(!shown(&last).chars().any(char::is_control));
    }

    #[test]
    fn a_secret_is_hidden_in_lines_that_ended_and_in_the_one_that_did_not() {
        let last = LastLines::default();
        let hide = |text: String| text.replace("word", "***");
        last.push(b"the word\nagain: word", &hide);
        assert_eq!(last.text(&hide), "the *** | again: ***");
    }
}

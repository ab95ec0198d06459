//! What a person sees: colour, headings, durations, questions, a live line.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

/// True when progress and questions reach a person.
pub(crate) fn is_interactive() -> bool {
    io::stderr().is_terminal() && io::stdin().is_terminal()
}

pub(crate) fn red(text: &str) -> String {
    paint("31;1", text)
}

pub(crate) fn green(text: &str) -> String {
    paint("32;1", text)
}

pub(crate) fn yellow(text: &str) -> String {
    paint("33", text)
}

pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

/// A line of the answer, on stdout.
pub(crate) fn answer(text: &str) {
    // A reader that went away, such as `head`, is no reason to stop.
    let _ = writeln!(io::stdout(), "{text}");
}

/// A line about the work, on stderr.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Progress and notes go to stderr, so that stdout holds only what was asked for.
pub(crate) fn note(text: &str) {
    complain(&format!("{} {text}", bold("xtask:")));
}

/// Asks on the terminal; anything but yes is no.
pub(crate) fn confirm(question: &str) -> bool {
    let mut answer = String::new();
    if write!(io::stderr(), "{question} [Y/n] ").is_err()
        || io::stdin().lock().read_line(&mut answer).is_err()
    {
        return false;
    }
    // An empty line is the capital Y; an empty read is the end of the input.
    answer.ends_with('\n') && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

/// `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        10..=99 => format!("{secs} s"),
        _ => format!("{} min {:02} s", secs / 60, secs % 60),
    }
}

/// A counter that rewrites one line on a terminal and prints about every tenth elsewhere.
pub(crate) struct Progress {
    what: &'static str,
    live: bool,
    last_tenth: u64,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            live: io::stderr().is_terminal(),
            last_tenth: 0,
        }
    }

    pub(crate) fn step(&mut self, done: u64, total: u64, since: Duration) {
        let line = format!("{} [{done}/{total}] {}", self.what, duration(since));
        if self.live {
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        } else if let Some(tenth) = new_tenth(self.last_tenth, done, total) {
            self.last_tenth = tenth;
            complain(&line);
        }
    }

    pub(crate) fn finish(&self) {
        if self.live {
            complain("");
        }
    }
}

fn new_tenth(last: u64, done: u64, total: u64) -> Option<u64> {
    let tenth = (done * 10).checked_div(total)?;
    (tenth > last).then_some(tenth)
}

fn paint(code: &str, text: &str) -> String {
    // Our lines go to either stream; an escape code must reach neither a file nor a pipe.
    let person = io::stderr().is_terminal() && io::stdout().is_terminal();
    if !person || std::env::var_os("NO_COLOR").is_some() {
        text.to_owned()
    } else {
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, new_tenth};

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_millis(440)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(12)), "12 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn ten_lines_are_printed_off_a_terminal() {
        let mut last = 0;
        let mut printed = 0;
        for done in 1..=297 {
            if let Some(tenth) = new_tenth(last, done, 297) {
                last = tenth;
                printed += 1;
            }
        }
        assert_eq!(printed, 10);
        assert_eq!(new_tenth(0, 3, 0), None);
    }
}

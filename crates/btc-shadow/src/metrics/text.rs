//! `Text`: Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.add(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Value + Copy) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let value = value.show();
        self.add(format_args!(" {value}\n"));
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

/// A number as the format has it.
pub(super) trait Value {
    fn show(&self) -> impl Display;
}

impl Value for u64 {
    fn show(&self) -> impl Display {
        *self
    }
}

impl Value for f64 {
    fn show(&self) -> impl Display {
        if self.is_infinite() {
            (if *self > 0.0 { "+Inf" } else { "-Inf" }).to_owned()
        } else {
            // Not a number is `NaN` in both.
            self.to_string()
        }
    }
}

/// Whether a metric may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|first| is_letter(*first))
        && bytes
            .iter()
            .all(|byte| is_letter(*byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(labels: &[(&str, &str)], value: impl Value + Copy) -> String {
        let mut text = Text::default();
        text.sample("m", labels, value);
        text.into_string()
    }

    #[test]
    fn labels_and_help_are_escaped() {
        assert_eq!(
            line(&[("a", "x\\y\"z\nw{},é"), ("b", "")], 1_u64),
            "m{a=\"x\\\\y\\\"z\\nw{},é\",b=\"\"} 1\n"
        );
        let mut text = Text::default();
        text.family("m", Kind::Gauge, "one\\two\nthree \"four\"");
        assert_eq!(
            text.into_string(),
            "# HELP m one\\\\two\\nthree \"four\"\n# TYPE m gauge\n"
        );
    }

    #[test]
    fn numbers_have_no_exponent_and_infinity_a_sign() {
        for (value, shown) in [
            (0.5, "m 0.5\n"),
            (1e21, "m 1000000000000000000000\n"),
            (f64::INFINITY, "m +Inf\n"),
            (f64::NEG_INFINITY, "m -Inf\n"),
            (f64::NAN, "m NaN\n"),
        ] {
            assert_eq!(line(&[], value), shown);
        }
        assert_eq!(line(&[], u64::MAX), format!("m {}\n", u64::MAX));
    }

    #[test]
    fn names_are_of_letters_digits_and_underscores() {
        for name in ["a", "_", "btc_shadow_9"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "9a", "a-b", "a b", "é", "a{", "a:b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}

//! A reader of Prometheus' text format that is as strict as the format.

use std::collections::{BTreeMap, BTreeSet};

/// A family of samples.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Family {
    /// The value of the sample with exactly these labels.
    pub(crate) fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        self.find("", labels)
    }

    /// How many a histogram has seen.
    pub(crate) fn count(&self, labels: &[(&str, &str)]) -> Option<f64> {
        self.find("_count", labels)
    }

    /// Whether any label has this value.
    pub(crate) fn has(&self, value: &str) -> bool {
        let mut labels = self
            .samples
            .iter()
            .flat_map(|sample| sample.labels.values());
        labels.any(|it| it == value)
    }

    fn find(&self, suffix: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(owned).collect();
        let mut samples = self.samples.iter();
        let found = samples.find(|it| it.name.ends_with(suffix) && it.labels == labels);
        found.map(|sample| sample.value)
    }
}

/// Reads it all; whatever the format does not allow fails the test.
pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'));
    let mut families = BTreeMap::new();
    let mut current = String::new();
    let mut helped = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a name and a text");
            assert!(!help.is_empty(), "{line}");
            helped = Some(name.to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert_eq!(helped.take().as_deref(), Some(name), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            name.clone_into(&mut current);
            let family = Family {
                kind: kind.to_owned(),
                samples: Vec::new(),
            };
            assert!(families.insert(name.to_owned(), family).is_none(), "{line}");
        } else {
            let sample = sample(line);
            let family: &mut Family = families.get_mut(&current).expect("a family before it");
            let suffix = sample.name.strip_prefix(&current).expect("its family");
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.contains(&suffix), "{line}");
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        check(name, family);
    }
    families
}

fn check(name: &str, family: &Family) {
    let is_counter = family.kind == "counter";
    assert_eq!(name.ends_with("_total"), is_counter, "{name}");
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        assert!(seen.insert((&sample.name, &sample.labels)), "{sample:?}");
        assert!(!is_counter || sample.value >= 0.0, "{sample:?}");
    }
    if family.kind != "histogram" {
        return;
    }
    let mut last: Option<(&Sample, f64)> = None;
    for sample in &family.samples {
        let Some(bound) = sample.labels.get("le") else {
            assert!(!sample.name.ends_with("_bucket"));
            if sample.name.ends_with("_count") {
                let (bucket, bound) = last.expect("buckets before the count");
                assert!(bound.is_infinite(), "{sample:?}");
                assert!((bucket.value - sample.value).abs() < 0.5, "{sample:?}");
                last = None;
            }
            continue;
        };
        let bound = number(bound);
        if let Some((before, lower)) = last {
            assert!(lower < bound && before.value <= sample.value, "{sample:?}");
        }
        last = Some((sample, bound));
    }
}

fn sample(line: &str) -> Sample {
    let is_name = |it: &char| it.is_ascii_alphanumeric() || *it == '_';
    let name: String = line.chars().take_while(is_name).collect();
    assert!(name.starts_with(|it: char| !it.is_ascii_digit()), "{line}");
    let mut rest = &line[name.len()..];
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").expect("a label");
            assert!(label.chars().all(|it| is_name(&it)), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            inside = after.strip_prefix(',').expect("another label");
        }
    }
    let value = number(rest.strip_prefix(' ').expect("a value"));
    Sample {
        name,
        labels,
        value,
    }
}

fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match letters.next() {
                Some((_, 'n')) => '\n',
                Some((_, letter @ ('\\' | '"'))) => letter,
                other => unreachable!("no escape: {other:?} in {text}"),
            }),
            other => value.push(other),
        }
    }
    unreachable!("no end: {text}")
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().unwrap_or_else(|_| unreachable!("{text}")),
    }
}

//! Who is answered by Rust: the same keys again, more of them as the share grows, and as many as it says.

use btc_shadow::rollout::Salt;
use proptest::prelude::*;

fn salt(text: &str) -> Salt {
    serde_json::from_str(&format!("\"{text}\"")).expect("twelve hexadecimal digits")
}

fn is_rust(salt: Salt, key: &str, percent: u16) -> bool {
    salt.bucket(key) < percent * 100
}

#[test]
fn the_buckets_are_these_on_every_machine() {
    // SHA-256 of the salt's bytes and the key, its first eight bytes modulo 10,000.
    for (text, key, bucket) in VECTORS {
        assert_eq!(salt(text).bucket(key), *bucket, "{text} {key}");
    }
}

/// Computed with Python's hashlib.
const VECTORS: &[(&str, &str, u16)] = &[
    ("000000000000", "", 1894),
    ("000000000000", "customer-42", 901),
    ("0123456789ab", "customer-42", 9981),
    (
        "ffffffffffff",
        "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202",
        3574,
    ),
];

#[test]
fn the_share_of_keys_is_the_percentage() {
    const KEYS: u32 = 100_000;
    let salt = salt("00c0ffee0042");
    for percent in [1, 5, 25, 50, 75, 99] {
        let rust = (0..KEYS).filter(|key| is_rust(salt, &format!("customer-{key}"), percent));
        let found = f64::from(u32::try_from(rust.count()).expect("at most all"));
        let share = f64::from(percent) / 100.0;
        let expected = f64::from(KEYS) * share;
        // Five standard deviations of a fair draw.
        let tolerance = 5.0 * (f64::from(KEYS) * share * (1.0 - share)).sqrt();
        assert!(
            (found - expected).abs() <= tolerance,
            "{percent} %: {found} of {KEYS}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_higher_share_only_adds_keys(number in 0_u64..1 << 48, key: String, low in 0_u16..=100, high in 0_u16..=100) {
        let salt = salt(&format!("{number:012x}"));
        let (low, high) = (low.min(high), low.max(high));
        prop_assert!(!is_rust(salt, &key, low) || is_rust(salt, &key, high));
        prop_assert!(!is_rust(salt, &key, 0));
        prop_assert!(is_rust(salt, &key, 100));
        prop_assert_eq!(salt.bucket(&key), salt.bucket(&key));
    }

    #[test]
    fn a_salt_survives_the_file(number in 0_u64..1 << 48) {
        let text = format!("\"{number:012x}\"");
        let salt: Salt = serde_json::from_str(&text).expect("twelve digits");
        prop_assert_eq!(serde_json::to_string(&salt).expect("plain"), text);
    }
}

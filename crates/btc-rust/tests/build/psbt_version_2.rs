//! PSBTs of version 2 (BIP370): read as the same PSBT of version 0, or refused.

use bitcoin::absolute::LockTime;
use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD};
use bitcoin::consensus::encode::serialize;
use btc_iface::ErrorKind;
use btc_rust::wallet::build::{combine_psbts, finalize_psbt, format_psbt, parse_psbt};
use proptest::prelude::*;

use crate::psbt::{mixed, paid, psbt_of, sign_with_books};
use crate::psbt_maps::{MAGIC, Maps};
use crate::samples::{address, any_type, coin, coins, extract_psbt, keyring, plan, snapshot};

#[track_caller]
fn refuse(maps: &Maps, why: &str) {
    let error = parse_psbt(&maps.bytes()).expect_err(why);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{why}");
}

fn lock_time(maps: &Maps) -> Option<u32> {
    let psbt = parse_psbt(&maps.bytes()).ok()?;
    Some(psbt.unsigned_tx.lock_time.to_consensus_u32())
}

#[test]
fn version_2_is_the_same_psbt() {
    let (_, psbt) = mixed();
    let maps = Maps::version_2(&psbt);
    assert_eq!(parse_psbt(&maps.bytes()).expect("sound"), psbt);
    let text = STANDARD.encode(maps.bytes());
    assert_eq!(parse_psbt(text.as_bytes()).expect("sound"), psbt);
    // What may be left out, and what a constructor adds.
    let least = maps.clone().with(|it| {
        it.global.remove(&vec![0x03]);
        it.inputs[0].remove(&vec![0x10]);
    });
    let read = parse_psbt(&least.bytes()).expect("sound");
    assert_eq!(read.unsigned_tx.lock_time, LockTime::ZERO);
    assert_eq!(read.unsigned_tx.input[0].sequence, bitcoin::Sequence::MAX);
    for flags in [0, 1, 2, 4, 7, 0xff] {
        let modifiable = maps.clone().with(|it| {
            it.global.insert(vec![0x06], vec![flags]);
        });
        assert_eq!(parse_psbt(&modifiable.bytes()).expect("sound"), psbt);
    }
    // A field of the future is kept.
    let later = maps.with(|it| {
        it.inputs[1].insert(vec![0x1d, 7], vec![8]);
    });
    let read = parse_psbt(&later.bytes()).expect("sound");
    assert_eq!(read.inputs[1].unknown.len(), 1);
}

#[test]
fn base64_may_be_broken_into_lines() {
    let (_, psbt) = mixed();
    for text in [
        format_psbt(&psbt),
        STANDARD.encode(Maps::version_2(&psbt).bytes()),
    ] {
        let lines: Vec<String> = text
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        for between in ["\n", "\r\n", " ", "\t", "\n  "] {
            let broken = format!("\n {}\r\n\n", lines.join(between));
            assert_eq!(parse_psbt(broken.as_bytes()).expect("the same"), psbt);
        }
    }
    for wrong in ["cHNid", "cHNidP8=x", "cHNidP8\u{a0}", "====", ""] {
        assert!(parse_psbt(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn version_0_has_no_field_of_version_2() {
    let (_, psbt) = mixed();
    let maps = Maps::version_0(&psbt);
    assert_eq!(parse_psbt(&maps.bytes()).expect("sound"), psbt);
    let global = |kind: u8, value: &[u8]| {
        maps.clone().with(|it| {
            it.global.insert(vec![kind], value.to_vec());
        })
    };
    refuse(&global(0xfb, &[2, 0, 0, 0]), "PSBT_GLOBAL_VERSION of 2");
    refuse(&global(0x02, &[2, 0, 0, 0]), "PSBT_GLOBAL_TX_VERSION");
    refuse(&global(0x03, &[0; 4]), "PSBT_GLOBAL_FALLBACK_LOCKTIME");
    refuse(&global(0x04, &[4]), "PSBT_GLOBAL_INPUT_COUNT");
    refuse(&global(0x05, &[3]), "PSBT_GLOBAL_OUTPUT_COUNT");
    refuse(&global(0x06, &[0]), "PSBT_GLOBAL_TX_MODIFIABLE");
    let zero = global(0xfb, &[0; 4]);
    assert_eq!(parse_psbt(&zero.bytes()).expect("sound"), psbt);
    for version in [1, 3, u32::MAX] {
        refuse(&global(0xfb, &version.to_le_bytes()), "no such version");
    }
    for (kind, length) in [(0x0e, 32), (0x0f, 4), (0x10, 4), (0x11, 4), (0x12, 4)] {
        let spoilt = maps.clone().with(|it| {
            it.inputs[0].insert(vec![kind], vec![0x70; length]);
        });
        refuse(&spoilt, "a PSBT_IN_ of version 2");
    }
    for (kind, length) in [(0x03, 8), (0x04, 22)] {
        let spoilt = maps.clone().with(|it| {
            it.outputs[1].insert(vec![kind], vec![0; length]);
        });
        refuse(&spoilt, "a PSBT_OUT_ of version 2");
    }
}

#[test]
fn version_2_says_what_it_must_once_and_in_the_right_size() {
    let (_, psbt) = mixed();
    let maps = Maps::version_2(&psbt);
    let change = |change: &dyn Fn(&mut Maps)| maps.clone().with(|it| change(it));
    let unsigned = change(&|it| {
        it.global.insert(vec![0], serialize(&psbt.unsigned_tx));
    });
    refuse(&unsigned, "PSBT_GLOBAL_UNSIGNED_TX");
    for kind in [0x02, 0x04, 0x05, 0xfb] {
        let missing = change(&|it| drop(it.global.remove(&vec![kind])));
        refuse(&missing, "missing in the global map");
    }
    for kind in [0x0e, 0x0f] {
        let missing = change(&|it| drop(it.inputs[1].remove(&vec![kind])));
        refuse(&missing, "missing in an input");
    }
    for kind in [0x03, 0x04] {
        let missing = change(&|it| drop(it.outputs[1].remove(&vec![kind])));
        refuse(&missing, "missing in an output");
    }
    // One byte too many or too few; a script has any length.
    for shorter in [true, false] {
        let resize = |value: &mut Vec<u8>| {
            if shorter {
                value.pop();
            } else {
                value.push(0);
            }
        };
        for kind in [0x02, 0x03, 0x04, 0x05, 0xfb] {
            let spoilt = change(&|it| resize(it.global.get_mut(&vec![kind]).expect("there")));
            refuse(&spoilt, "of another size in the global map");
        }
        for kind in [0x0e, 0x0f, 0x10] {
            let spoilt = change(&|it| resize(it.inputs[0].get_mut(&vec![kind]).expect("there")));
            refuse(&spoilt, "of another size in an input");
        }
        let spoilt = change(&|it| resize(it.outputs[0].get_mut(&vec![3]).expect("there")));
        refuse(&spoilt, "an amount of another size");
    }
    for flags in [vec![], vec![0, 0]] {
        let spoilt = change(&|it| drop(it.global.insert(vec![0x06], flags.clone())));
        refuse(&spoilt, "flags of another size");
    }
    // With key data these are no fields of any version.
    for kind in [0x02, 0x04, 0xfb] {
        let spoilt = change(&|it| drop(it.global.insert(vec![kind, 1], vec![0; 4])));
        refuse(&spoilt, "key data in the global map");
    }
    let spoilt = change(&|it| drop(it.inputs[0].insert(vec![0x0e, 1], vec![0; 32])));
    refuse(&spoilt, "key data in an input");
    // Twice.
    for key in [vec![0x02], vec![0x04], vec![0xfb]] {
        let value = &maps.global[&key];
        let mut bytes = MAGIC.to_vec();
        bytes.extend([serialize(&key), serialize(value)].concat());
        bytes.extend(&maps.bytes()[MAGIC.len()..]);
        let error = parse_psbt(&bytes).expect_err("a key twice");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let below_zero = change(&|it| drop(it.outputs[0].insert(vec![3], vec![0xff; 8])));
    refuse(&below_zero, "an amount below 0");
    // More and fewer maps than it counts.
    for (kind, count) in [
        (0x04, 3),
        (0x04, 5),
        (0x05, 2),
        (0x05, 4),
        (0x04, 0xfc),
        (0x05, 0),
    ] {
        let spoilt = change(&|it| drop(it.global.insert(vec![kind], vec![count])));
        refuse(&spoilt, "another count");
    }
    let endless = change(&|it| drop(it.global.insert(vec![0x04], vec![0xff; 9])));
    refuse(&endless, "as many inputs as there are numbers");
    let mut longer = maps.bytes();
    longer.push(0);
    assert!(parse_psbt(&longer).is_err(), "something behind its end");
    let mut longer = psbt.serialize();
    longer.push(0);
    assert!(
        parse_psbt(&longer).is_err(),
        "something behind the end of version 0"
    );
}

#[test]
fn required_lock_times_are_of_their_kind() {
    let (_, psbt) = mixed();
    let maps = Maps::version_2(&psbt);
    let requires = |kind: u8, value: u32| {
        maps.clone().with(|it| {
            it.inputs[0].insert(vec![kind], serialize(&value));
        })
    };
    refuse(&requires(0x11, 499_999_999), "a time that is a height");
    refuse(&requires(0x11, 0), "a time that is a height");
    refuse(&requires(0x12, 500_000_000), "a height that is a time");
    refuse(&requires(0x12, 0), "a height of 0");
    assert_eq!(lock_time(&requires(0x11, 500_000_000)), Some(500_000_000));
    assert_eq!(lock_time(&requires(0x12, 499_999_999)), Some(499_999_999));
    assert_eq!(lock_time(&requires(0x12, 1)), Some(1));
}

/// The cases of BIP370's "Determining Lock Time", and their mirror images.
#[test]
fn the_lock_time_is_one_that_all_inputs_can_live_with() {
    type Locks = (Option<u32>, Option<u32>);
    let (_, psbt) = mixed();
    let maps = Maps::version_2(&psbt);
    let locked = |fallback: Option<u32>, locks: [Locks; 2]| {
        maps.clone().with(|it| {
            it.global.remove(&vec![0x03]);
            if let Some(fallback) = fallback {
                it.global.insert(vec![0x03], serialize(&fallback));
            }
            for (input, (time, height)) in it.inputs.iter_mut().zip(locks) {
                let fields = [(0x11, time), (0x12, height)];
                for (kind, value) in fields {
                    input.extend(value.map(|value| (vec![kind], serialize(&value))));
                }
            }
        })
    };
    let (early, late) = (Some(1_657_048_459), Some(1_657_048_460));
    let (low, high) = (Some(9_000), Some(10_000));
    let none = (None, None);
    for (fallback, one, other, expected) in [
        (None, none, none, Some(0)),
        (Some(0), none, none, Some(0)),
        (Some(7), none, none, Some(7)),
        (Some(0), (None, high), none, high),
        (Some(20_000), (None, high), none, high),
        (Some(0), (None, high), (None, low), high),
        (Some(0), (None, high), (late, low), high),
        (Some(0), (early, high), (late, low), high),
        (Some(0), (early, None), (late, low), late),
        (Some(0), (early, high), (late, None), late),
        (Some(0), none, (late, None), late),
        (Some(0), none, (late, low), low),
        (Some(0), (None, high), (late, None), None),
    ] {
        for locks in [[one, other], [other, one]] {
            let found = lock_time(&locked(fallback, locks));
            assert_eq!(found, expected, "{fallback:?} {locks:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn any_psbt_reads_the_same_in_both_versions(
        coins in coins(8),
        rate in 1..20_u64,
        change_type in any_type(),
        is_signed in any::<bool>(),
    ) {
        let mut coins = coins;
        coins.push(coin(1_000, 500_000, change_type));
        let (coins, previous) = paid(coins);
        let outputs = [(address(1), 150_000), (address(4), 50_000)];
        let draft = plan(keyring(), &snapshot(coins, change_type), &outputs, rate).expect("enough");
        let mut psbt = psbt_of(&draft, &previous);
        if is_signed {
            sign_with_books(&mut psbt, &draft.inputs).expect("own coins");
        }
        let mut read = parse_psbt(&Maps::version_2(&psbt).bytes()).expect("sound");
        prop_assert_eq!(&read, &psbt);
        combine_psbts(&mut read, psbt.clone()).expect("the same");
        prop_assert_eq!(&read, &psbt);
        prop_assert_eq!(finalize_psbt(&mut read).expect("sound"), is_signed);
        prop_assert_eq!(extract_psbt(&read, true).is_ok(), is_signed);
        let read = parse_psbt(&Maps::version_2(&read).bytes()).expect("sound");
        prop_assert_eq!(extract_psbt(&read, true).is_ok(), is_signed);
    }

    #[test]
    fn no_bytes_of_version_2_make_it_panic(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (_, psbt) = mixed();
        let mut bytes = Maps::version_2(&psbt).bytes();
        for (place, byte) in noise {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(read) = parse_psbt(&bytes) {
            prop_assert_eq!(parse_psbt(format_psbt(&read).as_bytes()).expect("own text"), read);
        }
    }
}

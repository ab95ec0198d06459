//! `Rollout` over two implementations: who is asked for what, under which key, and after a rollback.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::rust_bitcoin::Txid;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{AddressType, BitcoinInterface, Operation};
use btc_shadow::record::Event;
use btc_shadow::rollout::{Control, Judge, Limits, Salt, Tripwire};
use btc_shadow::sink::{MemorySink, Sink};
use btc_shadow::{Fallback, Journal, Policy, Rollout, Shadow};

use super::Place;
use crate::double::Double;
use crate::samples::transaction;

/// A roll-out over two doubles, of which Python answers 1 and Rust 2.
struct Routes {
    place: Place,
    control: Arc<Control>,
    rollout: Rollout,
    python: Arc<Double>,
    rust: Arc<Double>,
}

const BY_PYTHON: u64 = 1;
const BY_RUST: u64 = 2;

impl Routes {
    fn at(percent: u8) -> Self {
        Self::keyed(percent, "host")
    }

    fn keyed(percent: u8, key: &str) -> Self {
        let place = Place::at(percent);
        let control = place.control();
        let python = Arc::new(Double::new(Python, |_, _| Ok(BY_PYTHON)));
        let rust = Arc::new(Double::new(Rust, |_, _| Ok(BY_RUST)));
        Self {
            rollout: Rollout::new(control.clone(), python.clone(), rust.clone(), key),
            place,
            control,
            python,
            rust,
        }
    }

    fn set(&self, percent: u8) {
        self.place.set(percent);
        self.control.refresh();
    }

    fn salt(&self) -> Salt {
        self.control.status().state.salt
    }

    /// A key with this prefix whose bucket is below a percentage, or not.
    fn key(&self, prefix: &str, percent: u16, is_below: bool) -> String {
        (0..1_000_000)
            .map(|number| format!("{prefix}{number}"))
            .find(|key| (self.salt().bucket(key) < percent * 100) == is_below)
            .expect("there are many")
    }
}

/// Asks for every operation, in the order of [`Operation::CALLS`].
fn ask_all(bitcoin: &dyn BitcoinInterface) -> Vec<u64> {
    let number = |text: String| text.parse().expect("a double's number");
    let outputs = vec![("address".to_owned(), 1)];
    vec![
        bitcoin.get_transaction("id").expect("known").outputs[0].value_sat,
        bitcoin.get_block("hash").expect("known")[0].outputs[0].value_sat,
        bitcoin.get_block_height().expect("known").into(),
        number(
            bitcoin
                .generate_address(AddressType::P2tr)
                .expect("one")
                .address,
        ),
        bitcoin
            .create_transaction(outputs, 1)
            .expect("built")
            .outputs[0]
            .value_sat,
        number(bitcoin.broadcast_transaction(&transaction()).expect("sent")),
        bitcoin.get_balance().expect("known"),
        bitcoin.estimate_fee(6).expect("known"),
    ]
}

fn height(routes: &Routes) -> u64 {
    routes.rollout.get_block_height().expect("answered").into()
}

#[test]
fn nothing_and_everything() {
    let routes = Routes::at(0);
    assert_eq!(ask_all(&routes.rollout), [BY_PYTHON; 8]);
    assert_eq!(routes.rust.asked(), []);
    assert_eq!(routes.rollout.implementation_type(), Python);
    routes.set(100);
    assert_eq!(ask_all(&routes.rollout), [BY_RUST; 8]);
    assert_eq!(routes.rollout.implementation_type(), Rust);
    for operation in Operation::CALLS {
        assert_eq!(routes.python.calls(operation), 1, "{operation}");
        assert_eq!(routes.rust.calls(operation), 1, "{operation}");
    }
}

#[test]
fn a_named_key_decides_for_every_operation() {
    let routes = Routes::at(5);
    let (below, above) = (
        routes.key("customer-", 5, true),
        routes.key("customer-", 5, false),
    );
    for _ in 0..3 {
        let rust = Rollout::with_key(&below, || ask_all(&routes.rollout));
        assert_eq!(rust, [BY_RUST; 8]);
        let python = Rollout::with_key(&above, || ask_all(&routes.rollout));
        assert_eq!(python, [BY_PYTHON; 8]);
    }
}

#[test]
fn a_named_key_ends_with_its_scope_and_stays_on_its_thread() {
    let routes = Routes::at(5);
    let (below, above) = (
        routes.key("customer-", 5, true),
        routes.key("customer-", 5, false),
    );
    let alone = height(&routes);
    Rollout::with_key(&below, || {
        assert_eq!(height(&routes), BY_RUST);
        Rollout::with_key(&above, || assert_eq!(height(&routes), BY_PYTHON));
        assert_eq!(height(&routes), BY_RUST);
        let panic = || Rollout::with_key(&above, || resume_unwind(Box::new("it breaks")));
        catch_unwind(AssertUnwindSafe(panic)).expect_err("it broke");
        assert_eq!(height(&routes), BY_RUST);
        thread::scope(|scope| {
            let other = scope.spawn(|| height(&routes));
            assert_eq!(other.join().expect("answered"), alone);
        });
    });
    assert_eq!(height(&routes), alone);
}

#[test]
fn inputs_are_keys_in_either_case() {
    let routes = Routes::at(25);
    for number in 0..50_u8 {
        let txid = Txid::from_byte_array([number; 32]).to_string();
        let by = if routes.salt().bucket(&txid) < 2_500 {
            BY_RUST
        } else {
            BY_PYTHON
        };
        for id in [txid.clone(), txid.to_uppercase()] {
            let found = routes.rollout.get_transaction(&id).expect("known");
            assert_eq!(found.outputs[0].value_sat, by);
            let block = routes.rollout.get_block(&id).expect("known");
            assert_eq!(block[0].outputs[0].value_sat, by);
        }
        let address = format!("bcrt1q{number}{}", "q".repeat(80));
        let by = if routes.salt().bucket(&address) < 2_500 {
            BY_RUST
        } else {
            BY_PYTHON
        };
        let outputs = vec![(address, 1), ("another".to_owned(), 2)];
        let made = routes
            .rollout
            .create_transaction(outputs, 1)
            .expect("built");
        assert_eq!(made.outputs[0].value_sat, by);
    }
}

#[test]
fn without_an_input_the_process_has_a_key() {
    let lots = Routes::at(25);
    for key in [lots.key("host-", 25, true), lots.key("host-", 25, false)] {
        let by = if lots.salt().bucket(&key) < 2_500 {
            BY_RUST
        } else {
            BY_PYTHON
        };
        let rollout = Rollout::new(
            lots.control.clone(),
            lots.python.clone(),
            lots.rust.clone(),
            key,
        );
        assert_eq!(
            rollout.get_block_height().expect("known"),
            u32::try_from(by).expect("small")
        );
        assert_eq!(rollout.get_balance().expect("known"), by);
        assert_eq!(rollout.estimate_fee(6).expect("known"), by);
        let address = rollout.generate_address(AddressType::P2tr).expect("one");
        assert_eq!(address.address, by.to_string());
        let nothing = rollout
            .create_transaction(Vec::new(), 1)
            .expect("the double does");
        assert_eq!(nothing.outputs[0].value_sat, by);
    }
}

#[test]
fn what_was_built_is_sent_on_the_same_route() {
    // The double's transaction is always the same one.
    let sent = |routes: &Routes| {
        let sent = routes.rollout.broadcast_transaction(&transaction());
        sent.expect("sent").parse::<u64>().expect("a number")
    };
    let routes = Routes::at(25);
    for is_rust in [true, false, true] {
        let outputs = vec![(routes.key("address-", 25, is_rust), 1)];
        let made = routes
            .rollout
            .create_transaction(outputs, 1)
            .expect("built");
        let by = if is_rust { BY_RUST } else { BY_PYTHON };
        assert_eq!(made.outputs[0].value_sat, by);
        assert_eq!(sent(&routes), by);
        // Whatever the sender names.
        let other = routes.key("customer-", 25, !is_rust);
        assert_eq!(Rollout::with_key(&other, || sent(&routes)), by);
    }
    // The last one was Rust's; a rollback takes that too.
    routes.control.roll_back("mismatch in get_block at txid");
    assert_eq!(sent(&routes), BY_PYTHON);
    // What somebody else has built goes by its txid.
    let txid = transaction().txid.to_string();
    let routes = Routes::at(25);
    let is_rust = routes.salt().bucket(&txid) < 2_500;
    assert_eq!(sent(&routes), if is_rust { BY_RUST } else { BY_PYTHON });
}

#[test]
fn a_rollback_counts_from_the_next_call_on() {
    let routes = Routes::at(100);
    assert_eq!(height(&routes), BY_RUST);
    routes.control.roll_back("mismatch in get_block at txid");
    assert_eq!(ask_all(&routes.rollout), [BY_PYTHON; 8]);
}

#[test]
fn an_error_is_returned_and_nothing_is_repeated() {
    let place = Place::at(100);
    let python = Arc::new(Double::new(Python, |_, _| Ok(BY_PYTHON)));
    let broken = |operation, _| {
        let kind = btc_iface::ErrorKind::Timeout;
        Err(crate::double::failure(operation, kind))
    };
    let rust = Arc::new(Double::new(Rust, broken));
    let rollout = Rollout::new(place.control(), python.clone(), rust.clone(), "host");
    rollout.get_balance().expect_err("it is Rust's turn");
    rollout
        .broadcast_transaction(&transaction())
        .expect_err("it is Rust's turn");
    assert_eq!(python.asked(), []);
    assert_eq!(rust.calls(Operation::BroadcastTransaction), 1);
}

#[test]
fn over_two_shadows_one_wrong_amount_ends_it() {
    let place = Place::at(50);
    let log = Arc::new(MemorySink::default());
    let journal = Arc::new(Journal::new(log.clone()));
    let control = Control::open(place.file.clone(), Some(journal.clone())).expect("sound");
    let judge = Arc::new(Judge::new(control.clone(), Limits::default()));
    let python = Arc::new(Double::new(Python, |_, _| Ok(5)));
    // From its tenth transaction on, Rust is off by one.
    let rust = |operation, call| match operation {
        Operation::GetTransaction if call >= 10 => Ok(6),
        _ => Ok(5),
    };
    let rust = Arc::new(Double::new(Rust, rust));
    let shadow = |primary: &Arc<Double>, secondary: &Arc<Double>, sink: Box<dyn Sink>| {
        let (primary, secondary) = (Arc::clone(primary), Arc::clone(secondary));
        let shadow = Shadow::new(primary, secondary, Policy::default(), sink, true);
        Arc::new(shadow.watched_by(vec![judge.clone()]))
    };
    let python_first = shadow(&python, &rust, Box::new(journal));
    let rust_first = shadow(&rust, &python, Box::new(log.clone()));
    let rollout = Rollout::new(control.clone(), python_first, rust_first, "host");
    let mut answers = Vec::new();
    for number in 0..30 {
        let found = rollout
            .get_transaction(&format!("id {number}"))
            .expect("known");
        answers.push(found.outputs[0].value_sat);
    }
    assert_eq!(control.percent(), 0);
    // At most the one answer that gave it away was wrong.
    let wrong = answers.iter().filter(|value_sat| **value_sat != 5);
    assert!(wrong.count() <= 1, "{answers:?}");
    assert!(answers[10..].iter().all(|value_sat| *value_sat == 5));
    let state = place.file.read().expect("written");
    assert!(
        state
            .reason
            .starts_with("mismatch in get_transaction at outputs[0].value_sat")
    );
    drop(rollout);
    // The line stands in a run that has a beginning.
    let lines = log.lines();
    let steps = lines
        .iter()
        .filter(|line| matches!(line.event, Event::Rollout(_)));
    let steps: Vec<_> = steps.map(|line| line.run).collect();
    assert_eq!(steps.len(), 1);
    assert!(
        lines
            .iter()
            .any(|line| line.run == steps[0] && matches!(line.event, Event::Start(_)))
    );
}

#[test]
fn a_panic_of_rust_ends_it_whether_or_not_the_caller_sees_it() {
    for falls_back in [false, true] {
        let place = Place::at(100);
        let control = place.control();
        let python = Arc::new(Double::new(Python, |_, _| Ok(BY_PYTHON)));
        let breaks = |operation, call| match (operation, call) {
            (Operation::GetBlock, 2) => resume_unwind(Box::new("rust breaks")),
            _ => Ok(BY_RUST),
        };
        let rust = Arc::new(Double::new(Rust, breaks));
        let wired = Arc::new(Tripwire::new(rust, control.clone()));
        let rollout = if falls_back {
            let route = Arc::new(Fallback::new(wired, python.clone()));
            Rollout::new(control.clone(), python, route, "host")
        } else {
            Rollout::new(control.clone(), python, wired, "host")
        };
        assert_eq!(ask_all(&rollout), [BY_RUST; 8]);
        let second = catch_unwind(AssertUnwindSafe(|| rollout.get_block("hash")));
        match second {
            Ok(block) => {
                let by = block.expect("answered")[0].outputs[0].value_sat;
                assert!(falls_back && by == BY_PYTHON);
            }
            Err(panic) => {
                let word = panic.downcast_ref::<&str>().copied();
                assert!(!falls_back && word == Some("rust breaks"));
            }
        }
        assert_eq!(ask_all(&rollout), [BY_PYTHON; 8]);
        let state = place.file.read().expect("written");
        assert_eq!(state.reason, "rust panicked in get_block");
    }
}

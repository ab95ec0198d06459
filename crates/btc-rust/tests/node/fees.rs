//! Fee rates: the node's amounts in BTC become whole sat/vB, and its mempool counts without an estimate.

use btc_iface::{BitcoinInterface, BitcoinResult, ErrorKind, FeeEstimate, FeeEstimator, FeeSource};
use serde_json::{Value, json};

use crate::server::{Reply, Server};

/// No estimate, as Bitcoin Core says it.
const NO_ESTIMATE: &str = r#"{"errors":["Insufficient data or no feerate found"],"blocks":0}"#;
/// A mempool of 2 MvB, and a floor of 1 sat/vB.
const TWO_BLOCKS: &str = r#"{"bytes":2000000,"mempoolminfee":0.00001,"minrelaytxfee":0.000001}"#;

/// A node that answers so, written just so.
struct Answers {
    estimate: String,
    info: String,
    mempool: String,
}

impl Answers {
    fn new(estimate: impl Into<String>, info: &str, mempool: impl Into<String>) -> Self {
        Self {
            estimate: estimate.into(),
            info: info.to_owned(),
            mempool: mempool.into(),
        }
    }

    fn serve(self) -> Server {
        Server::start(move |request, _| {
            let (text, params) = match request.name.as_str() {
                "estimatesmartfee" => (&self.estimate, json!([1, "economical"])),
                "getmempoolinfo" => (&self.info, json!([])),
                "getrawmempool" => (&self.mempool, json!([true])),
                _ => return None,
            };
            assert_eq!(request.params, params);
            Some(Reply::Text(text.clone()))
        })
    }

    /// What it makes of a target of 1 block.
    fn explain(self) -> BitcoinResult<FeeEstimate> {
        let server = self.serve();
        let bitcoin = server.connect();
        let explained = bitcoin.explain_fee(1);
        let plain = bitcoin.estimate_fee(1);
        assert_eq!(
            explained.as_ref().ok().map(|fee| fee.sat_per_vb),
            plain.ok()
        );
        explained
    }
}

fn rate(text: &str) -> BitcoinResult<FeeEstimate> {
    let estimate = format!(r#"{{"feerate":{text},"blocks":2}}"#);
    Answers::new(estimate, TWO_BLOCKS, "").explain()
}

/// A mempool of these fees in sat and sizes in vB.
fn mempool(entries: &[(u64, u64)]) -> String {
    let entry = |(index, (fee_sat, vsize)): (usize, &(u64, u64))| {
        let (btc, rest) = (fee_sat / 100_000_000, fee_sat % 100_000_000);
        format!(r#""{index:064x}":{{"vsize":{vsize},"fees":{{"base":{btc}.{rest:08}}}}}"#)
    };
    let entries: Vec<_> = entries.iter().enumerate().map(entry).collect();
    format!("{{{}}}", entries.join(","))
}

fn nonsense(answer: BitcoinResult<FeeEstimate>, what: &str) {
    let error = answer.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{what}: {error}");
}

#[test]
fn a_rate_is_rounded_up_and_never_zero() {
    for (btc_per_kvb, sat_per_vb) in [
        ("0.00001000", 1),
        ("0.00001001", 2),
        ("0.00001999", 2),
        ("0.00002", 2),
        ("1e-05", 1),
        ("0.1", 10_000),
        ("1", 100_000),
    ] {
        let fee = rate(btc_per_kvb).expect(btc_per_kvb);
        assert_eq!(fee.sat_per_vb, sat_per_vb, "{btc_per_kvb}");
        assert_eq!(fee.source, FeeSource::Core);
        assert_eq!((fee.floor_sat_per_vb, fee.target_blocks), (1, 1));
    }
}

#[test]
fn what_is_no_rate_is_an_invalid_response() {
    for wrong in [
        "0",
        "21000001",
        "-0.00001",
        "true",
        "\"high\"",
        "NaN",
        "0.000000001",
        "1e99",
        "[]",
    ] {
        nonsense(rate(wrong), wrong);
    }
}

#[test]
fn an_estimate_is_asked_for_with_its_floor_and_nothing_else() {
    let server = Answers::new(r#"{"feerate":0.00007}"#, TWO_BLOCKS, "").serve();
    let bitcoin = server.connect();
    assert_eq!(bitcoin.estimate_fee(1).expect("a rate"), 7);
    assert_eq!(server.names(), ["estimatesmartfee", "getmempoolinfo"]);
}

#[test]
fn the_floor_is_the_higher_minimum_rounded_up() {
    let as_high = |floor| format!(r#"{{"feerate":0.{floor:05}}}"#);
    for (mempool_min, relay_min, floor) in [
        ("0.00000000", "0.00000000", 1),
        ("0.00000100", "0.00000100", 1),
        ("0.00001000", "0.00005000", 5),
        ("0.00004001", "0.00001000", 5),
        ("0.00005001", "0.00000100", 6),
    ] {
        let info =
            format!(r#"{{"bytes":0,"mempoolminfee":{mempool_min},"minrelaytxfee":{relay_min}}}"#);
        for (estimate, sat_per_vb, source) in [
            (NO_ESTIMATE.to_owned(), floor, FeeSource::MinimumRelay),
            (
                r#"{"feerate":null}"#.to_owned(),
                floor,
                FeeSource::MinimumRelay,
            ),
            (as_high(floor), floor, FeeSource::Core),
            (as_high(floor + 1), floor + 1, FeeSource::Core),
            (
                as_high(1),
                floor,
                if floor > 1 {
                    FeeSource::MinimumRelay
                } else {
                    FeeSource::Core
                },
            ),
        ] {
            let what = format!("{info} {estimate}");
            let fee = Answers::new(estimate, &info, "").explain().expect(&what);
            assert_eq!((fee.sat_per_vb, fee.source), (sat_per_vb, source), "{what}");
            assert_eq!(fee.floor_sat_per_vb, floor, "{what}");
        }
    }
}

#[test]
fn without_an_estimate_the_mempool_decides() {
    let explain = |entries: &[(u64, u64)]| {
        let fee = Answers::new(NO_ESTIMATE, TWO_BLOCKS, mempool(entries)).explain();
        let fee = fee.expect("a rate");
        (fee.sat_per_vb, fee.source)
    };
    // The second of the three is the one that does not fit.
    let entries = [
        (500_000, 600_000),
        (1_800_001, 600_000),
        (5_400_000, 600_000),
    ];
    assert_eq!(explain(&entries), (4, FeeSource::Mempool));
    // Exactly a block full is no pressure.
    assert_eq!(explain(&entries[1..2]), (1, FeeSource::MinimumRelay));
    assert_eq!(
        explain(&[(9, 1), (8_000_000, 999_999)]),
        (1, FeeSource::MinimumRelay)
    );
    assert_eq!(
        explain(&[(9, 1), (8_000_000, 1_000_000)]),
        (8, FeeSource::Mempool)
    );
    // What the mempool asks for is below what it takes.
    assert_eq!(explain(&[(9, 1_000_001)]), (1, FeeSource::Mempool));
    assert_eq!(explain(&[(0, 1_000_001)]), (1, FeeSource::MinimumRelay));
    // It emptied between the two questions.
    assert_eq!(explain(&[]), (1, FeeSource::MinimumRelay));
}

#[test]
fn a_mempool_that_fits_is_not_asked_for() {
    for (bytes, is_asked) in [(1_000_000, false), (1_000_001, true)] {
        let info =
            format!(r#"{{"bytes":{bytes},"mempoolminfee":0.00001,"minrelaytxfee":0.00001}}"#);
        let server = Answers::new(NO_ESTIMATE, &info, "{}").serve();
        assert_eq!(server.connect().estimate_fee(1).expect("the floor"), 1);
        let is_in = server.names().iter().any(|name| name == "getrawmempool");
        assert_eq!(is_in, is_asked, "{bytes}");
    }
}

#[test]
fn nonsense_about_the_mempool_is_not_believed() {
    let whole: Value = serde_json::from_str(TWO_BLOCKS).expect("JSON");
    for field in ["bytes", "mempoolminfee", "minrelaytxfee"] {
        for wrong in ["-1", "null", "\"1\"", "true", "1e99", "NaN", "{}", ""] {
            let mut fields = whole.as_object().expect("an object").clone();
            fields.remove(field);
            let mut info = json!(fields).to_string();
            if !wrong.is_empty() {
                info = info.replace('{', &format!("{{\"{field}\":{wrong},"));
            }
            nonsense(Answers::new(NO_ESTIMATE, &info, "{}").explain(), &info);
            // Nor when there is an estimate.
            let estimate = r#"{"feerate":0.00007}"#;
            nonsense(Answers::new(estimate, &info, "{}").explain(), &info);
        }
    }
    for wrong in [
        "[]",
        "null",
        r#"{"aa":{}}"#,
        r#"{"aa":{"vsize":0,"fees":{"base":0.1}}}"#,
        r#"{"aa":{"vsize":1,"fees":{"base":-0.00000001}}}"#,
        r#"{"aa":{"vsize":1,"fees":{"base":NaN}}}"#,
        r#"{"aa":{"vsize":1,"fees":{"base":21000001}}}"#,
        r#"{"aa":{"vsize":4294967296,"fees":{"base":0.1}}}"#,
    ] {
        nonsense(
            Answers::new(NO_ESTIMATE, TWO_BLOCKS, wrong).explain(),
            wrong,
        );
    }
}

#[test]
fn a_mempool_too_long_to_read_is_an_error_that_says_so() {
    let server = Server::start(|request, _| match request.name.as_str() {
        "estimatesmartfee" => Some(Reply::Text(NO_ESTIMATE.to_owned())),
        "getmempoolinfo" => Some(Reply::Text(TWO_BLOCKS.to_owned())),
        "getrawmempool" => Some(Reply::Announced(300 << 20)),
        _ => None,
    });
    let error = server.connect().estimate_fee(1).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert!(error.message().contains("getrawmempool"), "{error}");
    // Longer than other answers may be, and not too long for a mempool.
    let entries = format!("{}{}", mempool(&[(9, 1_000_001)]), " ".repeat(33 << 20));
    let fee = Answers::new(NO_ESTIMATE, TWO_BLOCKS, entries).explain();
    assert_eq!(fee.expect("read").source, FeeSource::Mempool);
}

#[test]
fn a_target_of_no_block_is_refused_without_asking_the_node() {
    let server = Server::start(|_, _| None);
    let error = server.connect().estimate_fee(0).expect_err("the past");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = server.connect().explain_fee(0).expect_err("the past");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(server.names().is_empty());
}

#[test]
fn a_node_that_makes_no_estimates_is_unsupported() {
    for (code, said, kind) in [
        (-32603, "Fee estimation disabled", ErrorKind::Unsupported),
        (-32603, "something else", ErrorKind::InvalidResponse),
    ] {
        let server = Server::start(move |request, _| {
            (request.name == "estimatesmartfee").then_some(Reply::Error(code, said))
        });
        let error = server.connect().estimate_fee(6).expect_err(said);
        assert_eq!(error.kind(), kind, "{error}");
        let names = error.message().contains("-blocksonly");
        assert_eq!(names, kind == ErrorKind::Unsupported, "{error}");
    }
}

//! The variables, in one table that the command line prints and the README repeats.

/// A variable of the environment; its name in lower case is its key in a
/// configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it says, and the values it takes.
    pub help: &'static str,
    /// Whether it may stand in a configuration file.
    pub in_file: bool,
    /// Whether it may stand in the `btc.toml` of the current folder too: it names no program, no
    /// host and no file, and bounds no money and no evidence.
    pub in_folder: bool,
    /// Whether a value may hold a password, so that no error repeats it.
    pub is_secret: bool,
}

const fn variable(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable {
        name,
        default,
        help,
        in_file: true,
        in_folder: false,
        is_secret: false,
    }
}

/// One that the `btc.toml` of the current folder may set as well.
const fn harmless(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable {
        in_folder: true,
        ..variable(name, default, help)
    }
}

/// One whose value may hold a password, as a URL may.
const fn discreet(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable {
        is_secret: true,
        ..variable(name, default, help)
    }
}

/// One of the environment alone.
const fn unfiled(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable {
        in_file: false,
        ..variable(name, default, help)
    }
}

/// A secret of the environment alone.
const fn secret(name: &'static str, help: &'static str) -> Variable {
    Variable {
        is_secret: true,
        ..unfiled(name, "none", help)
    }
}

/// Every variable that is read.
pub const VARIABLES: &[Variable] = &[
    harmless(
        "USE_RUST_BITCOIN",
        "true",
        "who answers: `true` for Rust, `false` for Python",
    ),
    harmless(
        "SHADOW_MODE",
        "false",
        "`true`: ask both, return the primary's answer, compare and record",
    ),
    harmless(
        "PRIMARY_IMPL",
        "rust",
        "the same choice as USE_RUST_BITCOIN, by name: `python` or `rust`",
    ),
    variable(
        "LOG_FILE",
        "logs/shadow_comparison.log",
        "the comparison log of shadow mode",
    ),
    harmless(
        "LOG_ALL",
        "true",
        "`false`: matches are logged as counts only",
    ),
    variable(
        "LOG_MAX_MB",
        "64",
        "the size in MiB at which the comparison log goes on in a new file",
    ),
    variable(
        "LOG_MAX_FILES",
        "8",
        "how many files of the comparison log are kept, the current one among them",
    ),
    harmless(
        "LOG_COMPRESS",
        "false",
        "`true`: earlier files of the comparison log are compressed",
    ),
    harmless(
        "SHADOW_INLINE",
        "false",
        "`true`: the caller waits for the comparison; for tests",
    ),
    harmless("SHADOW_WORKERS", "2", "threads that compare, 1 to 64"),
    harmless(
        "SHADOW_QUEUE",
        "16384",
        "calls that may wait to be compared; more are dropped and counted",
    ),
    harmless(
        "SHADOW_TIMEOUT_SECS",
        "30",
        "the longest the secondary may take before it is left behind, 1 to 3600",
    ),
    harmless(
        "SHADOW_SAMPLING",
        "100%",
        "the share of calls that is compared: `10%`, or `get_block=10%,get_transaction=50%`",
    ),
    harmless(
        "SHADOW_RECHECK_MS",
        "500,2000,10000",
        "the waits in milliseconds before both are asked again about what a new block may explain; not with SHADOW_INLINE",
    ),
    harmless(
        "BUILD_ID",
        "none",
        "names the code under comparison, such as a commit: evidence counts only as long as it stays",
    ),
    variable(
        "METRICS_ADDR",
        "none",
        "where Prometheus finds the metrics of shadow mode, on this machine: `127.0.0.1:9332`",
    ),
    variable(
        "CALL_LOG",
        "none",
        "a file in which calls are recorded with their arguments, for `btc replay`",
    ),
    harmless(
        "FALLBACK",
        "false",
        "`true`: a read that one implementation cannot answer goes to the other",
    ),
    variable(
        "ROLLOUT_FILE",
        "none",
        "the state of a roll-out, which says how many calls Rust answers; turns shadow mode on",
    ),
    variable(
        "ROLLOUT_KEY",
        "`btc@` and the host's name",
        "which process this is to a roll-out, for calls that have no other key",
    ),
    variable(
        "ROLLOUT_WINDOW_SECS",
        "60",
        "the shortest time that a roll-out is judged by, 1 to 86400; two bad windows in a row roll it back",
    ),
    variable(
        "ROLLOUT_MIN_CALLS",
        "100",
        "the fewest calls of Rust in a window, and of a read whose times compare, 1 to 1000000",
    ),
    variable(
        "ROLLOUT_MAX_FAILURES",
        "1%",
        "by how many percentage points Rust may fail more often than Python, `0%` to `100%`, to a tenth",
    ),
    variable(
        "ROLLOUT_MAX_P99",
        "150%",
        "how long Rust's p99 of a read may be, of Python's, `100%` to `10000%`",
    ),
    variable(
        "BITCOIN_NETWORK",
        "none",
        "the node's network: `mainnet`, `testnet3`, `testnet4`, `signet`, `regtest`; needed with any other BITCOIN_ variable",
    ),
    discreet(
        "BITCOIN_RPC_URL",
        "http://127.0.0.1 at the network's port",
        "the node's RPC address, `http://host:port`",
    ),
    discreet(
        "BITCOIN_RPC_USER",
        "none",
        "the RPC user, together with BITCOIN_RPC_PASSWORD",
    ),
    secret("BITCOIN_RPC_PASSWORD", "the RPC password; environment only"),
    variable(
        "BITCOIN_RPC_COOKIE_FILE",
        "Bitcoin Core's own, for a node on this machine",
        "the cookie file that Bitcoin Core writes at each start",
    ),
    harmless(
        "BITCOIN_RPC_TIMEOUT_SECS",
        "30",
        "the longest a request to the node may take, 1 to 3600",
    ),
    variable(
        "PYTHON_BACKEND",
        "btc_legacy.backend:LegacyBackend",
        "the Python class, `module:Class`; the module is looked for in PYTHONPATH too",
    ),
    harmless(
        "PYTHON_MODE",
        "embedded",
        "where Python runs: `embedded` in this process, or `worker` processes",
    ),
    variable(
        "PYTHON_VENV",
        "`../lib/btc/venv` from the program's folder, or `.venv` of the workspace it is built in",
        "the virtual environment with the packages of `requirements.txt`",
    ),
    harmless(
        "PYTHON_TIMEOUT_SECS",
        "60",
        "the longest a Python call may take; 0 for no limit, which embeds at the least cost",
    ),
    variable(
        "WALLET_DIR",
        "none",
        "the wallet's folder; without it, the wallet operations are not offered",
    ),
    secret(
        "WALLET_PASSPHRASE",
        "what the wallet's secret is encrypted with; environment only",
    ),
    variable(
        "WALLET_PASSPHRASE_FILE",
        "none",
        "a file that holds the wallet's passphrase",
    ),
    harmless(
        "WALLET_SELECTION",
        "branch-and-bound; largest-first in shadow mode",
        "how coins are chosen: `branch-and-bound`, `largest-first`, `oldest-first`, `single-random-draw`",
    ),
    variable(
        "MAX_FEE_RATE",
        "1000",
        "the highest fee rate in sat/vB that a payment is built at, 1 to 100000000; a request of the command line goes beyond it with `--allow-high-fee`",
    ),
    variable(
        "WALLET_SOURCE",
        "core",
        "where the Rust wallet learns about the chain: `core` (the node), `p2p` (block filters from peers), `electrum`, `esplora`",
    ),
    variable(
        "P2P_PEERS",
        "those that DNS names",
        "peers for `p2p`, `host:port`, several separated by commas",
    ),
    harmless(
        "P2P_PENDING_HOURS",
        "0",
        "how long an incoming payment that a peer of `p2p` announces counts unconfirmed, 0 to 336; 0 listens to none and saves about 300 MB a day",
    ),
    discreet(
        "ELECTRUM_URL",
        "none",
        "the server for `electrum`, `ssl://host:port` with TLS, or `tcp://host:port`",
    ),
    variable(
        "ELECTRUM_CERT_FILE",
        "the system's certificates",
        "a file in PEM with the server's certificate, as it is its own, or one that has signed it",
    ),
    discreet(
        "ELECTRUM_PROXY",
        "none",
        "a SOCKS5 proxy for `electrum`, such as Tor's `127.0.0.1:9050`; it looks up the server's name",
    ),
    discreet(
        "ESPLORA_URL",
        "none",
        "the server for `esplora`, `https://host/path`",
    ),
    variable(
        "ESPLORA_CERT_FILE",
        "the system's certificates",
        "a file in PEM with the certificate that has signed the server's",
    ),
    discreet(
        "ESPLORA_PROXY",
        "none",
        "a SOCKS5 proxy for `esplora`, which looks up the server's name",
    ),
    variable(
        "BITCOIND_EXE",
        "`bitcoind` on PATH, or the cache",
        "the executable for a private node",
    ),
    unfiled(
        "BTC_CONFIG",
        "btc.toml of the current folder and of the user, if there are any",
        "the configuration file, in place of these",
    ),
];

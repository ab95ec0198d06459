//! The memory of each implementation by itself, in a process of its own under the same reads.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use btc::shadow::memory::{self, Resident};
use btc::shadow::record::Memory;
use btc::{BitcoinImplementationType, Config, Credentials, NodeConfig};
use serde::{Deserialize, Serialize};

use super::Done;
use crate::exit::{Code, Failure};
use crate::flags;
use crate::load::{Extent, Gauge, Inputs, Load, Reins, World};
use crate::output;
use crate::stop::Stop;

/// Readings over a run: enough to see whether memory grows.
const READINGS: u64 = 24;
const NAP: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A reading on its way from the child.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Reading {
    time_ms: u64,
    rss_bytes: u64,
    peak_rss_bytes: u64,
    calls: u64,
}

/// The child: calls, and prints how much memory that takes, a line of JSON each.
pub(super) fn run(options: &flags::Alone) -> Done {
    let mut text = String::new();
    let read = stdin().read_to_string(&mut text).ok();
    let inputs: Inputs = read
        .and_then(|_| serde_json::from_str(&text).ok())
        .ok_or_else(|| {
            let message = "the known inputs are expected on standard input, as JSON".to_owned();
            Failure::Other(Code::Usage, message)
        })?;
    let mut config = Config::load()?;
    config.wallet = None;
    let bitcoin = btc::connect_to(&config, options.implementation)?;
    let world = World::new(inputs);
    let gauge = Gauge::default();
    let load = Load {
        extent: Extent::Calls(options.ops),
        threads: options.threads,
        rate: None,
        mix: options.mix.reads(),
        seed: options.seed,
        stranger: None,
    };
    let reins = Reins {
        is_over: &|| false,
        is_held: &|| false,
    };
    let clock = Clock::start();
    thread::scope(|scope| {
        let calling = scope.spawn(|| load.run(&*bitcoin, &world, &gauge, &reins));
        for step in 1..READINGS {
            let mark = options.ops * step / READINGS;
            while gauge.done() < mark && !calling.is_finished() {
                thread::sleep(NAP);
            }
            tell(&clock, gauge.done())?;
        }
        while !calling.is_finished() {
            thread::sleep(NAP);
        }
        tell(&clock, gauge.done())
    })?;
    Ok(Code::Ok)
}

/// The system's time at the beginning, and evenly from there: a trend must not follow a clock that
/// is set.
struct Clock {
    began_ms: u64,
    began: Instant,
}

impl Clock {
    fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            began_ms: since.map_or(0, millis),
            began: Instant::now(),
        }
    }

    fn time_ms(&self) -> u64 {
        self.began_ms.saturating_add(millis(self.began.elapsed()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn tell(clock: &Clock, calls: u64) -> Result<(), Failure> {
    let Some(memory) = with_children() else {
        let message = "the system does not say how much memory a process takes".to_owned();
        return Err(Failure::Other(Code::Failed, message));
    };
    let reading = Reading {
        time_ms: clock.time_ms(),
        rss_bytes: memory.rss_bytes,
        peak_rss_bytes: memory.peak_rss_bytes,
        calls,
    };
    let text = serde_json::to_string(&reading).unwrap_or_default();
    output::print(format!("{text}\n").as_bytes())
}

/// The memory of this process and of its children, which are Python's workers. The peaks need not
/// have been at one time, so that their sum is the most there can have been.
fn with_children() -> Option<Resident> {
    let own = memory::of_this_process()?;
    let all = children(process::id())
        .into_iter()
        .filter_map(memory::of_process);
    Some(all.fold(own, |sum, one| Resident {
        rss_bytes: sum.rss_bytes.saturating_add(one.rss_bytes),
        peak_rss_bytes: sum.peak_rss_bytes.saturating_add(one.peak_rss_bytes),
    }))
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            parent_of(&stat) == Some(parent)
        })
        .collect()
}

/// The parent in a line of `/proc/PID/stat`, whose second field is a name that may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// What the children are to do.
pub(super) struct Task<'a> {
    /// The node, if it is not the configured one.
    pub(super) private: Option<&'a NodeConfig>,
    pub(super) inputs: &'a Inputs,
    pub(super) load: &'a Load,
    pub(super) calls: u64,
    pub(super) stop: &'a Stop,
}

/// Runs one implementation in a process of its own; its readings, the first ones first.
pub(super) fn measure(
    task: &Task<'_>,
    implementation: BitcoinImplementationType,
) -> Result<Vec<Memory>, String> {
    let mut child = Kept(start(task, implementation).map_err(|cause| cause.to_string())?);
    let inputs = serde_json::to_vec(task.inputs).map_err(|cause| cause.to_string())?;
    if let Some(mut pipe) = child.0.stdin.take() {
        // A child that ended already says more by its exit code.
        let _ = pipe.write_all(&inputs);
    }
    let (sender, lines) = mpsc::channel();
    if let Some(pipe) = child.0.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    let mut readings = Vec::new();
    loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => readings.extend(serde_json::from_str::<Reading>(&line).ok()),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if task.stop.is_asked() => {
                return Err("ended by a signal".to_owned());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let status = child.0.wait().map_err(|cause| cause.to_string())?;
    if !status.success() {
        return Err(format!("its process ended with {status}"));
    }
    let memory = readings.into_iter().map(|it| Memory {
        time_ms: it.time_ms,
        implementation: Some(implementation),
        rss_bytes: it.rss_bytes,
        peak_rss_bytes: it.peak_rss_bytes,
        calls: it.calls,
    });
    Ok(memory.collect())
}

fn start(task: &Task<'_>, implementation: BitcoinImplementationType) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([
            "shadow",
            "alone",
            "--implementation",
            implementation.as_str(),
        ])
        .args(["--ops", &task.calls.to_string()])
        .args(["--threads", &task.load.threads.to_string()])
        .args(["--mix", &task.load.mix.to_string()])
        .args(["--seed", &task.load.seed.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(node) = task.private {
        command
            .env("BITCOIN_NETWORK", btc::types::network::name(node.network))
            .env("BITCOIN_RPC_URL", &node.url);
        if let Credentials::CookieFile(path) = &node.credentials {
            command.env("BITCOIN_RPC_COOKIE_FILE", path);
        }
    }
    command.spawn()
}

/// A child that does not outlive this.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Both fail only when it is gone, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_of("7 (a) S 42 7 7 0"), Some(42));
        assert_eq!(parent_of("7 (a) b) S 1) S 42 7"), Some(42));
        assert_eq!(parent_of(""), None);
        assert!(children(process::id()).is_empty());
    }
}

//! `Browser`: a headless Chromium without a network, driven by the `DevTools` protocol over its pipe.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The longest an answer may take; a busy machine starts a browser slowly.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// The names under which it is installed.
const PROGRAMS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];
/// Nothing is looked up, fetched or kept, and no sandbox is asked for, which root has not.
const FLAGS: [&str; 14] = [
    "--headless",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-default-browser-check",
];

/// A running browser; it ends with this.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    /// What happened and was not asked for yet.
    events: VecDeque<Value>,
    last: u64,
    folder: TempDir,
}

/// One open page.
#[derive(Clone)]
pub(crate) struct Tab {
    session: String,
    target: String,
}

impl Browser {
    pub(crate) fn start() -> Result<Self, Failure> {
        let program = find().ok_or(
            "there is no Chromium on PATH; install the package chromium, or set CHROMIUM_EXE",
        )?;
        let folder = TempDir::new()?;
        let complaints = fs::File::create(folder.path().join("stderr"))?;
        // The protocol speaks through the file descriptors 3 and 4, which the shell can set.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()?;
        let input = child.stdin.take().ok_or("no pipe to the browser")?;
        let output = child.stdout.take().ok_or("no pipe from the browser")?;
        let (send, answers) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    return;
                };
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            answers,
            events: VecDeque::new(),
            last: 0,
            folder,
        })
    }

    /// An empty page without a network.
    pub(crate) fn open(&mut self) -> Result<Tab, Failure> {
        let made = self.ask(None, "Target.createTarget", json!({"url": "about:blank"}))?;
        let target = text(&made["targetId"])?;
        let attach = json!({"targetId": target, "flatten": true});
        let made = self.ask(None, "Target.attachToTarget", attach)?;
        let session = text(&made["sessionId"])?;
        let tab = Tab { session, target };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&tab, &format!("{domain}.enable"), json!({}))?;
        }
        let offline = json!({"offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.call(&tab, "Network.emulateNetworkConditions", offline)?;
        Ok(tab)
    }

    /// Closes the page and gives what happened in it.
    pub(crate) fn close(&mut self, tab: &Tab) -> Result<Vec<Value>, Failure> {
        let close = json!({"targetId": tab.target});
        self.ask(None, "Target.closeTarget", close)?;
        let of_it = |event: &Value| event["sessionId"] == tab.session.as_str();
        let (its, others) = self.events.drain(..).partition(of_it);
        self.events = others;
        Ok(Vec::from(its))
    }

    /// Calls a method of the page.
    pub(crate) fn call(&mut self, tab: &Tab, method: &str, with: Value) -> Result<Value, Failure> {
        self.ask(Some(tab), method, with)
    }

    /// Waits for an event of the page, which stays among those that happened.
    pub(crate) fn wait(&mut self, tab: &Tab, method: &str) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        let is_it =
            |event: &Value| event["method"] == method && event["sessionId"] == tab.session.as_str();
        while !self.events.iter().any(is_it) {
            let message = self.next(end, method)?;
            self.events.push_back(message);
        }
        Ok(())
    }

    fn send(&mut self, tab: Option<&Tab>, method: &str, with: Value) -> Result<(), Failure> {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method});
        message["params"] = with;
        if let Some(tab) = tab {
            message["sessionId"] = tab.session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let sent = self.input.write_all(&bytes);
        sent.map_err(|error| self.lost(method, &error.to_string()))
    }

    fn ask(&mut self, tab: Option<&Tab>, method: &str, with: Value) -> Result<Value, Failure> {
        self.send(tab, method, with)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut message = self.next(end, method)?;
            if message["id"] != self.last {
                self.events.push_back(message);
                continue;
            }
            if message["error"].is_object() {
                return Err(format!("{method}: {}", message["error"]["message"]).into());
            }
            return Ok(message["result"].take());
        }
    }

    fn next(&mut self, end: Instant, method: &str) -> Result<Value, Failure> {
        let left = end.saturating_duration_since(Instant::now());
        let next = self.answers.recv_timeout(left);
        next.map_err(|error| self.lost(method, &error.to_string()))
    }

    /// That it answers no more, with the last thing it said.
    fn lost(&self, method: &str, why: &str) -> Failure {
        let said = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
        let last = said.lines().last().unwrap_or("nothing");
        format!("the browser does not answer {method} ({why}); it said last: {last}").into()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It takes its children along when it is asked to end, and says nothing more.
        let end = Instant::now() + GRACE;
        let is_asked = self.send(None, "Browser.close", json!({})).is_ok();
        while is_asked && Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM_EXE") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    let folders: Vec<_> = env::split_paths(&path).collect();
    let places = PROGRAMS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

fn text(value: &Value) -> Result<String, Failure> {
    let text = value.as_str().ok_or("the browser left out a name")?;
    Ok(text.to_owned())
}

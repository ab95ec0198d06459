//! HTTP answers: the table that the Python side is held to as well, over a server that sends it.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use btc_iface::{BitcoinInterface, NodeConfig};
use serde::Deserialize;

use crate::server::{Raw, Reply, Server};

#[derive(Deserialize)]
struct Case {
    name: String,
    outcome: String,
    answer: Vec<Part>,
}

/// What is sent, one after the other; the connection is closed behind it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Body {
        #[serde(rename = "body")]
        _body: bool,
    },
    Chunks {
        chunks: Vec<usize>,
    },
    Repeat {
        repeat: String,
        times: usize,
    },
    Endless {
        endless: String,
    },
    Wait {
        #[serde(rename = "wait")]
        _wait: bool,
    },
}

impl Part {
    fn send(&self, to: &mut dyn Write, body: &[u8]) -> io::Result<()> {
        match self {
            Self::Text(text) => {
                let length = body.len();
                let text = text
                    .replace("{length}", &length.to_string())
                    .replace("{length:x}", &format!("{length:x}"))
                    .replace("{length:X}", &format!("{length:X}"));
                let latin: Vec<u8> = text
                    .chars()
                    .filter_map(|it| u8::try_from(it).ok())
                    .collect();
                to.write_all(&latin)
            }
            Self::Body { .. } => to.write_all(body),
            Self::Chunks { chunks } => {
                let mut rest = body;
                for size in chunks.iter().chain([&body.len()]) {
                    let (chunk, behind) = rest.split_at(rest.len().min(*size));
                    rest = behind;
                    if !chunk.is_empty() {
                        write!(to, "{:x}\r\n", chunk.len())?;
                        to.write_all(chunk)?;
                        to.write_all(b"\r\n")?;
                    }
                }
                Ok(())
            }
            Self::Repeat { repeat, times } => to.write_all(repeat.repeat(*times).as_bytes()),
            Self::Endless { endless } => {
                let many = endless.repeat(100);
                loop {
                    to.write_all(many.as_bytes())?;
                }
            }
            Self::Wait { .. } => Ok(()),
        }
    }
}

#[test]
fn an_answer_is_read_or_refused_as_the_table_says() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../btc-python/python/tests/http_answers.json");
    let text = std::fs::read_to_string(&path).expect("the table is in the repository");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the table is JSON");
    let mut wrong = Vec::new();
    for case in cases {
        let parts = case.answer.clone();
        let is_waiting = matches!(parts.last(), Some(Part::Wait { .. }));
        let server = Server::start(move |request, _| {
            let parts = parts.clone();
            (request.name == "getblockcount").then(|| {
                Reply::Raw(Raw {
                    send: Box::new(move |to, body| {
                        parts.iter().try_for_each(|part| part.send(to, body))
                    }),
                    is_left_open: is_waiting,
                })
            })
        });
        let seconds = if is_waiting { 1 } else { 20 };
        let config = NodeConfig {
            timeout: Duration::from_secs(seconds),
            ..server.config()
        };
        let outcome = match server.connect_with(&config).get_block_height() {
            Ok(7) => "read".to_owned(),
            Ok(other) => format!("another answer: {other}"),
            Err(error) => error.kind().to_string(),
        };
        if outcome != case.outcome {
            wrong.push(format!("{}: {outcome}, not {}", case.name, case.outcome));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Calls to the private node over bitcoincore-rpc: single, and many in one request.

use std::time::Duration;

use bitcoincore_rpc::jsonrpc::{self, minreq_http::MinreqHttpTransport};
use bitcoincore_rpc::{Client, RpcApi};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::NodeError;

/// Mining a full block in an unoptimised build on a busy machine takes seconds.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Calls per HTTP request: enough to make its cost vanish, few enough to show progress.
const BATCH: usize = 256;

/// One method with its parameters.
pub(crate) type Request<'a> = (&'a str, Vec<Value>);

/// A client that opens a connection per call. Unlike the keep-alive transport it never sends a
/// call twice, so that a block is never mined twice.
pub(crate) fn client(url: &str, user: String, password: String) -> Client {
    let transport = MinreqHttpTransport::builder()
        .timeout(TIMEOUT)
        .basic_auth(user, Some(password))
        .url(url)
        .expect("the builder stores any text as the url");
    Client::from_jsonrpc(jsonrpc::Client::with_transport(transport.build()))
}

pub(crate) fn call<T: DeserializeOwned>(
    client: &Client,
    method: &str,
    params: &[Value],
) -> Result<T, NodeError> {
    client
        .call(method, params)
        .map_err(|source| failed(method, source))
}

/// Sends the calls in order over as few requests as reasonable, and returns their answers in the
/// same order. The first error ends it; the calls of the same request may have run nevertheless.
pub(crate) fn batch<T: DeserializeOwned>(
    client: &Client,
    calls: &[Request<'_>],
) -> Result<Vec<T>, NodeError> {
    let client = client.get_jsonrpc_client();
    let mut answers = Vec::with_capacity(calls.len());
    for chunk in calls.chunks(BATCH) {
        let bodies = chunk
            .iter()
            .map(|(method, params)| {
                serde_json::value::to_raw_value(params).map_err(|e| failed(method, e.into()))
            })
            .collect::<Result<Vec<Box<RawValue>>, _>>()?;
        let requests: Vec<_> = chunk
            .iter()
            .zip(&bodies)
            .map(|((method, _), body)| client.build_request(method, Some(body)))
            .collect();
        let first = chunk.first().map_or("", |(method, _)| *method);
        let responses = client
            .send_batch(&requests)
            .map_err(|e| failed(first, e.into()))?;
        for ((method, _), response) in chunk.iter().zip(responses) {
            let response = response
                .ok_or_else(|| failed(method, bitcoincore_rpc::Error::UnexpectedStructure))?;
            answers.push(response.result().map_err(|e| failed(method, e.into()))?);
        }
    }
    Ok(answers)
}

fn failed(method: &str, source: bitcoincore_rpc::Error) -> NodeError {
    NodeError::Rpc {
        method: method.to_owned(),
        source,
    }
}

//! `Tap`: what a test does at each call, before it has its effect and after.

/// One call of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The number of the call since the node started, from 0 on.
    pub number: u64,
    /// The RPC method, or the path of a REST request.
    pub name: String,
}

/// When a [`Tap`] is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The call has arrived and has no effect yet.
    Before,
    /// It has had its effect, and the answer is not sent yet.
    After,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes its way.
    Proceed,
    /// The connection is closed without an answer. After the effect, this is a lost answer.
    Drop,
    /// This error is answered, and nothing is done. Before the effect only.
    Refuse(i32, String),
    /// HTTP 403 is answered, as Core does by `rpcwhitelist`, and nothing is done. Before the effect
    /// only.
    Forbid,
}

/// Is asked about each call, twice. It may use the node.
pub type Tap = Box<dyn FnMut(&Call, Moment) -> Fate + Send>;

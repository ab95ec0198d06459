//! Private nodes and the configurations that lead to them.

use std::env;

use btc::python::{PythonConfig, PythonMode};
use btc::{Credentials, NodeConfig};
use btc_regtest::{Node, NodeBuilder};

/// A private node's options, with the program that `BITCOIND_EXE` names if it does.
pub fn builder() -> NodeBuilder {
    match env::var_os("BITCOIND_EXE") {
        Some(exe) => Node::builder().exe(exe),
        None => Node::builder(),
    }
}

/// How to reach this node, with its cookie.
pub fn node_config(node: &Node) -> NodeConfig {
    NodeConfig {
        url: node.rpc_url(),
        credentials: node
            .cookie_file()
            .map_or(Credentials::None, Credentials::CookieFile),
        ..NodeConfig::new(node.network())
    }
}

/// The shipped Python class over this node, in the environment that `PYTHON_VENV` names if it does.
pub fn python_config(node: &NodeConfig, mode: PythonMode) -> PythonConfig {
    let config = PythonConfig::new(node.clone(), mode);
    match env::var_os("PYTHON_VENV") {
        Some(venv) => config.with_venv(venv),
        None => config,
    }
}

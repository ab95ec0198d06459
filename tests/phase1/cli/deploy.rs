//! What `deploy/` has, run as its page says: the unit's settings, command and signal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use btc::{Credentials, NodeConfig};
use btc_tests::{Fixture, Outcome, Program};
use serde_json::Value;

use super::OverNode;

pub(super) const OVER_NODE: &[(&str, OverNode)] =
    &[("the_unit_of_deploy_runs_and_ends_on_its_signal", unit)];

const UNIT: &str = include_str!("../../../deploy/btc-soak.service");
const PAGE: &str = include_str!("../../../docs/deploy.md");
/// The folders that the page makes.
const FOLDERS: [&str; 3] = ["/opt/btc", "/etc/btc", "/var/lib/btc"];

/// The settings of the unit's service.
fn service() -> BTreeMap<&'static str, &'static str> {
    let lines = UNIT.lines().skip_while(|line| *line != "[Service]");
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once('=')).collect()
}

/// The configuration of the page, with this node's address and login.
fn configuration(node: &NodeConfig) -> Result<String, &'static str> {
    let (_, block) = PAGE.split_once("```toml\n").ok_or("a block of TOML")?;
    let (block, _) = block.split_once("```").ok_or("its end")?;
    let Credentials::CookieFile(cookie) = &node.credentials else {
        return Err("the node has a cookie");
    };
    let line = |line: &str| match line.split_once(" = ") {
        Some(("bitcoin_network", _)) => "bitcoin_network = \"regtest\"\n".to_owned(),
        Some(("bitcoin_rpc_url", _)) => format!("bitcoin_rpc_url = \"{}\"\n", node.url),
        Some(("bitcoin_rpc_user", _)) => {
            format!("bitcoin_rpc_cookie_file = \"{}\"\n", cookie.display())
        }
        _ => format!("{line}\n"),
    };
    Ok(block.lines().map(line).collect())
}

fn unit(fixture: &Fixture) -> Outcome {
    let root = tempfile::tempdir()?;
    let below = |path: &str| root.path().join(path.trim_start_matches('/'));
    let here = |text: &str| {
        FOLDERS.iter().fold(text.to_owned(), |text, folder| {
            text.replace(folder, &below(folder).display().to_string())
        })
    };
    let service = service();
    let of = |name: &str| service.get(name).copied().ok_or("a setting of the unit");
    let command: Vec<String> = of("ExecStart")?.split(' ').map(here).collect();
    let (binary, arguments) = command.split_first().ok_or("a command")?;
    let bin = Path::new(binary).parent().ok_or("a folder")?;
    let lib = below("/opt/btc/lib/btc");
    for folder in [
        bin,
        &lib.join("python"),
        &below("/etc/btc"),
        &below("/var/lib/btc"),
    ] {
        fs::create_dir_all(folder)?;
    }
    let found = btc_tests::python_config(&fixture.config(), btc::python::PythonMode::Worker);
    symlink(&found.venv, lib.join("venv"))?;
    let package = found.package_dir.ok_or("the package of this workspace")?;
    symlink(package.join("btc_legacy"), lib.join("python/btc_legacy"))?;
    let (name, path) = of("Environment")?.split_once('=').ok_or("a variable")?;
    fs::write(here(path), configuration(&fixture.config())?)?;
    fs::set_permissions(here(path), fs::Permissions::from_mode(0o640))?;

    let log = below("/var/lib/btc/soak.log");
    let seen = log.clone();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let signal = of("KillSignal")?.strip_prefix("SIG").ok_or("a signal")?;
    let run = Program::copied_to(bin, &arguments)
        .without("PYTHON_VENV")
        .env(name, here(path))
        .signal(signal, move |_| {
            fs::metadata(&seen).is_ok_and(|log| log.len() > 20_000)
        })
        .run()
        .code(0);
    let report: Value = run.json();
    assert_eq!(report["is_cut_short"], true, "{report}");
    for direction in report["directions"].as_array().ok_or("a list")? {
        assert_eq!(direction["books_close"], true, "{direction}");
        assert_eq!(direction["mismatches"], 0, "{direction}");
    }
    let mode = fs::metadata(&log)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the evidence is for the service's user alone");
    Ok(())
}

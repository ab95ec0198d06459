//! The server, over raw sockets.

use std::io::{ErrorKind as Io, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use btc_iface::ErrorKind;
use btc_shadow::metrics::{Metrics, Server, serve, serve_beyond_this_machine};

use super::parser::parse;
use crate::log_file::{LONG, until};

fn server() -> Server {
    let address = "127.0.0.1:0".parse().expect("an address");
    serve(address, Arc::new(Metrics::new(Arc::default()))).expect("a free port")
}

fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(LONG)).expect("a time");
    connection
}

/// What comes back, until the connection is closed.
fn ask(address: SocketAddr, request: &str) -> String {
    loop {
        let mut connection = connect(address);
        // Who is sent away may hear of it while it still speaks.
        let sent = connection.write_all(request.as_bytes());
        let answer = read(&mut connection);
        // Those before may not have left yet.
        if sent.is_ok() && !answer.starts_with("HTTP/1.1 503 ") && !answer.is_empty() {
            return answer;
        }
    }
}

fn read(connection: &mut TcpStream) -> String {
    let mut answer = String::new();
    match connection.read_to_string(&mut answer) {
        Err(cause) if cause.kind() != Io::ConnectionReset => unreachable!("{cause}"),
        _ => answer,
    }
}

fn get(address: SocketAddr, target: &str) -> String {
    ask(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: here\r\n\r\n"),
    )
}

#[test]
fn metrics_and_health_are_served_and_nothing_else() {
    let server = server();
    let address = server.address();
    let answer = get(address, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"));
    assert!(head.contains("Connection: close"));
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    assert!(parse(body).contains_key("btc_shadow_calls_total"));
    for (request, status) in [
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/../etc HTTP/1.1\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "405",
        ),
        ("GET /metrics\r\n\r\n", "400"),
        ("GET /metrics HTTP/2.0\r\n\r\n", "400"),
        ("GET  /metrics HTTP/1.1\r\n\r\n", "400"),
        ("\r\n\r\n", "400"),
    ] {
        let answer = ask(address, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    let head = ask(address, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"));
}

#[test]
fn a_request_in_pieces_is_one() {
    let server = server();
    let mut connection = connect(server.address());
    for byte in "GET /healthz HTTP/1.1\r\nA: b\r\n\r\n".bytes() {
        connection.write_all(&[byte]).expect("sent");
    }
    assert!(read(&mut connection).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_request_that_is_too_long_is_refused() {
    let server = server();
    let long = "x".repeat(9 << 10);
    for request in [
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nA: {long}\r\n\r\n"),
        long,
    ] {
        let answer = ask(server.address(), &request);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let longest = "x".repeat(8 << 10);
    let request = format!("GET /healthz HTTP/1.1\r\nA: {}\r\n\r\n", &longest[100..]);
    assert!(ask(server.address(), &request).starts_with("HTTP/1.1 200 "));
}

#[test]
fn who_is_slow_is_let_go_and_keeps_nobody_for_long() {
    let server = server();
    let address = server.address();
    // Each takes one of the few places and says nothing more.
    let mut slow: Vec<_> = (0..10)
        .map(|_| {
            let mut connection = connect(address);
            // Some are sent away at once.
            let _ = connection.write_all(b"GET /metrics HTTP/1.1\r\n");
            connection
        })
        .collect();
    let answers: Vec<_> = slow.iter_mut().map(read).collect();
    let sent_away = answers.iter().filter(|it| it.starts_with("HTTP/1.1 503 "));
    assert!(sent_away.count() <= 6);
    assert!(answers.iter().filter(|it| it.is_empty()).count() >= 4);
    until("there is room again", || {
        get(address, "/healthz").starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn who_goes_away_in_the_middle_harms_nobody() {
    let server = server();
    for sent in ["", "G", "GET /metrics HTTP/1.1\r\n\r\n"] {
        let mut connection = connect(server.address());
        connection.write_all(sent.as_bytes()).expect("sent");
        connection.shutdown(Shutdown::Both).expect("open");
    }
    until("it answers", || {
        get(server.address(), "/healthz").starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn it_ends_when_it_is_dropped() {
    let server = server();
    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    // The port is free again.
    let metrics = Arc::new(Metrics::new(Arc::default()));
    drop(serve(address, Arc::clone(&metrics)).expect("a free port"));
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    let server = serve_beyond_this_machine(everywhere, metrics).expect("told to");
    let here = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    assert!(get(here, "/healthz").starts_with("HTTP/1.1 200 "));
    drop(server);
    assert!(TcpStream::connect(here).is_err());
}

#[test]
fn other_machines_are_not_served_unless_told_to() {
    let metrics = || Arc::new(Metrics::new(Arc::default()));
    for address in ["0.0.0.0:0", "192.0.2.1:9464", "[::]:0"] {
        let address = address.parse().expect("an address");
        let error = serve(address, metrics()).expect_err("beyond this machine");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("this machine only"), "{error}");
    }
    // Taken.
    let first = server();
    let error = serve(first.address(), metrics()).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.causes().count(), 1);
}

//! Fuzzes what a node, or whatever answers at its port, sends over HTTP: nothing panics, no body is
//! above the limit, and a body in chunks is what the chunks say.

#![no_main]

use btc::rust::read_http_answer;
use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 1 << 16;

fuzz_target!(|input: (&[u8], Vec<&[u8]>)| {
    let (bytes, chunks) = input;
    if let Ok((status, body)) = read_http_answer(bytes, LIMIT) {
        assert!((100..=999).contains(&status));
        assert!(body.len() as u64 <= LIMIT && body.len() <= bytes.len());
    }
    let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut whole = Vec::new();
    for chunk in chunks.into_iter().filter(|chunk| !chunk.is_empty()) {
        wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
        wire.extend(chunk);
        wire.extend(b"\r\n");
        whole.extend(chunk);
    }
    wire.extend(b"0\r\n\r\n");
    if wire.len() as u64 <= LIMIT {
        let (status, body) = read_http_answer(&wire, LIMIT).expect("sound chunks");
        assert_eq!((status, body), (200, whole));
    }
});

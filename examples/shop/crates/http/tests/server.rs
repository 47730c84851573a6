//! The server over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use shop_http::{Limits, Request, Response, Server, Stopper};

struct Running {
    address: SocketAddr,
    stopper: Stopper,
    thread: JoinHandle<()>,
}

fn start(limits: Limits, handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Running {
    let server = Server::bind("127.0.0.1:0").unwrap().with_limits(limits);
    let (address, stopper) = (server.local_addr().unwrap(), server.stopper().unwrap());
    Running { address, stopper, thread: thread::spawn(move || server.serve(handler).unwrap()) }
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn requests_are_answered_until_the_server_is_stopped() {
    let running = start(Limits::default(), |request| Response::text(200, format!("{} it is", request.path())));
    for path in ["/tea", "/coffee"] {
        let answer = exchange(running.address, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{path} it is")), "{answer}");
    }
    running.stopper.stop();
    running.thread.join().unwrap();
    assert!(TcpStream::connect(running.address).is_err(), "the port is free again");
}

#[test]
fn a_panic_in_the_handler_costs_one_request() {
    let running = start(Limits::default(), |request| match request.path() {
        "/panic" => panic!("a defect in the handler"),
        _ => Response::text(200, "fine"),
    });
    assert!(exchange(running.address, b"GET /panic HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 500 "));
    assert!(exchange(running.address, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    running.stopper.stop();
    running.thread.join().unwrap();
}

#[test]
fn a_body_that_is_refused_still_gets_its_answer() {
    let running = start(Limits { body: 10, ..Limits::default() }, |_| Response::text(200, ""));
    let mut request = b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n".to_vec();
    request.resize(100_000, b'x');
    assert!(exchange(running.address, &request).starts_with("HTTP/1.1 413 "));
    running.stopper.stop();
    running.thread.join().unwrap();
}

#[test]
fn a_slow_client_meets_the_deadline_and_not_a_timeout_per_byte() {
    let running = start(Limits { time: Duration::from_millis(200), ..Limits::default() }, |_| Response::text(200, ""));
    let began = Instant::now();
    let mut stream = TcpStream::connect(running.address).unwrap();
    let mut dripping = stream.try_clone().unwrap();
    let drip = thread::spawn(move || {
        // Ends by itself: writing to a closed connection fails.
        while dripping.write_all(b"G").is_ok() && began.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", answer.escape_ascii());
    drip.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    running.stopper.stop();
    running.thread.join().unwrap();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let running = start(Limits { connections: 1, ..Limits::default() }, |_| Response::text(200, ""));
    let idle = TcpStream::connect(running.address).unwrap();
    // The idle connection is accepted first: connections wait in one queue.
    assert!(exchange(running.address, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503 "));
    drop(idle);
    running.stopper.stop();
    running.thread.join().unwrap();
}

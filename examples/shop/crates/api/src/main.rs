//! The shop's HTTP interface: products and orders as JSON.
//!
//! | request | answer |
//! |---|---|
//! | `GET /health` | 200 while the process serves |
//! | `GET /products`, `GET /products/{id}` | the catalog |
//! | `POST /orders` | 201 with the priced order; queued for the worker where `ORDERS_DIR` is set |
//!
//! Environment: `PORT` (default 8080), `ORDERS_DIR` (default: orders are priced and not kept).

mod queue;
mod routes;

use std::env;
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::thread;

use shop_http::Server;
use shop_shutdown::Signal;

use crate::queue::Queue;
use crate::routes::Shop;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("--version") {
        println!("shop-api {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut signal = Signal::install()?;
    let port = match env::var("PORT") {
        Ok(port) => port.parse::<u16>().map_err(|_| format!("PORT is not a port number: `{port}`"))?,
        Err(_) => 8080,
    };
    let queue = env::var_os("ORDERS_DIR").map(Queue::open).transpose()?;
    let shop = Shop::new(queue);

    let server = Server::bind((Ipv4Addr::UNSPECIFIED, port))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on port {port}: {error}")))?;
    let stopper = server.stopper()?;
    eprintln!("shop-api {} listens on {}", env!("CARGO_PKG_VERSION"), server.local_addr()?);

    thread::spawn(move || {
        if signal.wait().is_ok() {
            eprintln!("asked to stop: finishing open requests");
            stopper.stop();
        }
    });
    server.serve(move |request| shop.handle(request))?;
    Ok(())
}

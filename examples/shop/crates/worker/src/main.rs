//! Fulfils the orders that the interface has queued.
//!
//! Watches `ORDERS_DIR` (default `orders`), prints a receipt for each order and moves its file to `done/`; what is not
//! an order goes to `failed/`. `--once` handles what is there and ends, with exit code 1 where an order failed.
//!
//! Environment: `ORDERS_DIR`, `POLL_MS` (default 1000).

mod inbox;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use shop_shutdown::Signal;

use crate::inbox::{Handled, Inbox};

const USAGE: &str = "usage: shop-worker [--once | --version]";

enum Mode {
    Once,
    Watch,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let mode = match arguments.iter().map(|argument| argument.to_str()).collect::<Vec<_>>().as_slice() {
        [] => Mode::Watch,
        [Some("--once")] => Mode::Once,
        [Some("--version")] => {
            println!("shop-worker {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&mode) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: &Mode) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut signal = Signal::install()?;
    let directory = env::var_os("ORDERS_DIR").map_or_else(|| PathBuf::from("orders"), PathBuf::from);
    let poll = match env::var("POLL_MS") {
        Ok(text) => text.parse().map_err(|_| format!("POLL_MS is not a number of milliseconds: `{text}`"))?,
        Err(_) => 1000,
    };
    let inbox = Inbox::open(&directory)
        .map_err(|error| format!("cannot use the queue directory `{}`: {error}", directory.display()))?;
    match mode {
        Mode::Once => {
            let handled = inbox.drain()?;
            report(&handled);
            let failed = handled.iter().any(|handled| handled.outcome.is_err());
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Mode::Watch => {
            eprintln!("shop-worker {} watches {}", env!("CARGO_PKG_VERSION"), directory.display());
            loop {
                report(&inbox.drain()?);
                if signal.wait_timeout(Duration::from_millis(poll))? {
                    eprintln!("asked to stop");
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    }
}

fn report(handled: &[Handled]) {
    for Handled { id, outcome } in handled {
        match outcome {
            Ok(order) => print!("order {id}\n{order}"),
            Err(error) => eprintln!("order {id} failed: {error}"),
        }
    }
}

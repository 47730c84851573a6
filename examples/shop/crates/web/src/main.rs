//! Serves the shop's page: static files and one line of configuration.
//!
//! Environment: `PORT` (default 8081), `WEB_ROOT` (default `/srv/www`), `API_URL` (default `http://localhost:8080`),
//! which the page learns from `/config.json`.

mod files;
mod site;

use std::env;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use shop_http::Server;
use shop_shutdown::Signal;

use crate::site::Site;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("--version") {
        println!("shop-web {}", env!("CARGO_PKG_VERSION"));
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
        Err(_) => 8081,
    };
    let root = env::var_os("WEB_ROOT").map_or_else(|| PathBuf::from("/srv/www"), PathBuf::from);
    let api = env::var("API_URL").unwrap_or_else(|_| "http://localhost:8080".to_owned());
    let site = Site::open(&root, &api).map_err(|error| format!("cannot use WEB_ROOT `{}`: {error}", root.display()))?;

    let server = Server::bind((Ipv4Addr::UNSPECIFIED, port))
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    let stopper = server.stopper()?;
    eprintln!("shop-web {} serves {} on {}", env!("CARGO_PKG_VERSION"), root.display(), server.local_addr()?);

    thread::spawn(move || {
        if signal.wait().is_ok() {
            eprintln!("asked to stop: finishing open requests");
            stopper.stop();
        }
    });
    server.serve(move |request| site.handle(request))?;
    Ok(())
}

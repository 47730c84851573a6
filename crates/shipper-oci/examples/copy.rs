//! Copies an image between two repositories and says what it took:
//! `cargo run --example copy -- oci:DIR repo:tag localhost:5000/mirror repo:tag`.

use std::io::Write as _;
use std::time::Instant;

use shipper_oci::{ClientOptions, RepositoryName, Selector, Store, Tag, copy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from_store, from, to_store, to] = &arguments[..] else {
        return Err("usage: copy STORE REPOSITORY:TAG STORE REPOSITORY:TAG".into());
    };
    let split = |text: &str| -> Result<(RepositoryName, Tag), Box<dyn std::error::Error>> {
        let (name, tag) = text.rsplit_once(':').ok_or("write REPOSITORY:TAG")?;
        Ok((name.parse()?, tag.parse()?))
    };
    let ((from, from_tag), (to, to_tag)) = (split(from)?, split(to)?);
    let started = Instant::now();
    let from = Store::parse(from_store, ClientOptions::from_env())?.repository(&from);
    let to = Store::parse(to_store, ClientOptions::from_env())?.repository(&to);
    let report = copy(&from, &Selector::Tag(from_tag), &to, &[to_tag]).await?;
    let (elapsed, stats) = (started.elapsed(), to.stats());
    writeln!(std::io::stdout(), "{} in {} ms\n{report:?}\n{stats:?}", report.digest, elapsed.as_millis())?;
    Ok(())
}

//! The queue directory, from the side that takes orders out.
//!
//! An order is moved after it was handled, so a worker that is killed in between handles it again: at least once, never
//! lost.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use shop_catalog::{Catalog, Order, OrderError, PricedOrder};

/// Bytes of an order file; the interface accepts no larger body either.
const MAX_FILE: u64 = 64 << 10;

#[derive(Debug)]
pub(crate) struct Inbox {
    waiting: PathBuf,
    done: PathBuf,
    failed: PathBuf,
    catalog: Catalog,
}

/// One order file that was taken out of the queue.
#[derive(Debug)]
pub(crate) struct Handled {
    /// The name of the file without `.json`.
    pub(crate) id: String,
    pub(crate) outcome: Result<PricedOrder, Failure>,
}

/// Why an order file was put aside.
#[derive(Debug)]
pub(crate) enum Failure {
    Read(io::Error),
    TooLarge,
    Order(OrderError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot read the file: {error}"),
            Self::TooLarge => write!(f, "the file is larger than {} KiB", MAX_FILE >> 10),
            Self::Order(OrderError::Json(why)) => write!(f, "not JSON: {why}"),
            Self::Order(error) => write!(f, "{error}"),
        }
    }
}

impl Inbox {
    /// Uses `directory`, which is created with its parts where they are missing.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let inbox = Self {
            waiting: directory.to_owned(),
            done: directory.join("done"),
            failed: directory.join("failed"),
            catalog: Catalog::builtin(),
        };
        fs::create_dir_all(&inbox.done)?;
        fs::create_dir_all(&inbox.failed)?;
        Ok(inbox)
    }

    /// Handles every order that waits, oldest id first.
    ///
    /// A bad order is put aside and reported; only a queue that cannot be listed or a file that cannot be moved is an
    /// error, because the same file would come back for ever.
    pub(crate) fn drain(&self) -> io::Result<Vec<Handled>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.waiting)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "json") && entry.file_type()?.is_file() {
                files.push(path);
            }
        }
        files.sort();
        files.iter().map(|path| self.take(path)).collect()
    }

    fn take(&self, path: &Path) -> io::Result<Handled> {
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = self.price(path);
        let to = if outcome.is_ok() { &self.done } else { &self.failed };
        fs::rename(path, to.join(path.file_name().unwrap_or_default()))?;
        Ok(Handled { id, outcome })
    }

    fn price(&self, path: &Path) -> Result<PricedOrder, Failure> {
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(Failure::Read)?;
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(Failure::Read)?;
        if text.len() as u64 > MAX_FILE {
            return Err(Failure::TooLarge);
        }
        // Prices in the file are not believed: the catalog decides.
        Order::parse(&text).and_then(|order| self.catalog.price(&order)).map_err(Failure::Order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue directory that goes away with the test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("shop-worker-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn orders_are_handled_once_and_in_order() {
        let directory = Temporary::new("once");
        for (name, quantity) in [("2", 5), ("1", 1)] {
            let order = format!(r#"{{"lines":[{{"product":"mug","quantity":{quantity}}}]}}"#);
            fs::write(directory.0.join(format!("{name}.json")), order).unwrap();
        }
        fs::write(directory.0.join("3.partial"), "{").unwrap();

        let inbox = Inbox::open(&directory.0).unwrap();
        let handled = inbox.drain().unwrap();
        let totals: Vec<_> = handled
            .iter()
            .map(|handled| (handled.id.as_str(), handled.outcome.as_ref().unwrap().total.cents()))
            .collect();
        assert_eq!(totals, [("1", 1400), ("2", 7000)]);
        assert!(inbox.drain().unwrap().is_empty());
        assert!(directory.0.join("done/1.json").is_file());
        assert!(directory.0.join("3.partial").is_file(), "still being written by the interface");
    }

    #[test]
    fn a_bad_order_is_put_aside_and_does_not_stop_the_others() {
        let directory = Temporary::new("bad");
        fs::write(directory.0.join("a.json"), "not json").unwrap();
        fs::write(directory.0.join("b.json"), r#"{"lines":[{"product":"whale","quantity":1}]}"#).unwrap();
        fs::write(directory.0.join("c.json"), vec![b' '; MAX_FILE as usize + 1]).unwrap();
        fs::write(directory.0.join("d.json"), r#"{"lines":[{"product":"mug","quantity":1}]}"#).unwrap();

        let handled = Inbox::open(&directory.0).unwrap().drain().unwrap();
        let messages: Vec<_> = handled
            .iter()
            .map(|handled| handled.outcome.as_ref().map_or_else(ToString::to_string, |order| order.total.to_string()))
            .collect();
        assert_eq!(
            messages,
            [
                "not JSON: expected a value at byte 0",
                "there is no product `whale`",
                "the file is larger than 64 KiB",
                "€ 14.00"
            ]
        );
        assert!(directory.0.join("failed/c.json").is_file());
    }
}

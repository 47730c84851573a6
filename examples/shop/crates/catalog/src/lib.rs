//! Products, orders and prices, and the JSON they travel in.
//!
//! ```
//! use shop_catalog::{Catalog, Order};
//!
//! let catalog = Catalog::builtin();
//! let order = Order::parse(br#"{"lines": [{"product": "mug", "quantity": 2}]}"#)?;
//! assert_eq!(catalog.price(&order)?.total.to_string(), "€ 28.00");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod json;
mod money;
mod order;
mod product;

pub use money::Money;
pub use order::{Line, Order, OrderError, PricedLine, PricedOrder};
pub use product::{Catalog, Product};

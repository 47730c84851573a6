//! What a customer wants, and what it costs.

use std::fmt;

use crate::json::{self, Value};
use crate::money::Money;
use crate::product::Product;

/// Lines in one order.
const MAX_LINES: usize = 50;
/// Pieces in one line.
const MAX_QUANTITY: u32 = 1_000;

/// One product and how many pieces of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The id of the product; not yet known to exist.
    pub product: String,
    /// Pieces, from 1 to 1,000.
    pub quantity: u32,
}

/// An order with at least one line and sensible quantities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    lines: Vec<Line>,
}

impl Order {
    /// Reads `{"lines": [{"product": "mug", "quantity": 2}]}`. Other members are ignored, so that an order with an
    /// id and prices, as the interface queues it, reads as well.
    ///
    /// # Errors
    /// When the text is not JSON, not of this shape, or outside the limits.
    pub fn parse(text: &[u8]) -> Result<Self, OrderError> {
        Self::from_json(&json::parse(text).map_err(OrderError::Json)?)
    }

    /// The same from JSON that was parsed already.
    ///
    /// # Errors
    /// As [`Order::parse`].
    pub fn from_json(value: &Value) -> Result<Self, OrderError> {
        let lines = value.get("lines").and_then(Value::as_array).ok_or(OrderError::Shape("`lines` is not a list"))?;
        if lines.is_empty() || lines.len() > MAX_LINES {
            return Err(OrderError::Shape("an order has 1 to 50 lines"));
        }
        let lines = lines.iter().map(line).collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// The lines, in the order in which they came.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

fn line(value: &Value) -> Result<Line, OrderError> {
    let product = value.get("product").and_then(Value::as_str).ok_or(OrderError::Shape("`product` is not a string"))?;
    let quantity = value
        .get("quantity")
        .and_then(Value::as_u64)
        .and_then(|quantity| u32::try_from(quantity).ok())
        .filter(|quantity| (1..=MAX_QUANTITY).contains(quantity))
        .ok_or(OrderError::Shape("`quantity` is not a whole number from 1 to 1000"))?;
    Ok(Line { product: product.to_owned(), quantity })
}

/// An order line with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedLine {
    /// The product.
    pub product: Product,
    /// Pieces.
    pub quantity: u32,
    /// The price of all pieces together.
    pub price: Money,
}

/// An order whose products exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedOrder {
    /// The lines, in the customer's order.
    pub lines: Vec<PricedLine>,
    /// The sum of the lines.
    pub total: Money,
}

impl PricedOrder {
    /// The order as the interface answers and queues it.
    #[must_use]
    pub fn to_json(&self, id: &str) -> Value {
        let lines = self.lines.iter().map(|line| {
            Value::object([
                ("product", line.product.id.into()),
                ("quantity", u64::from(line.quantity).into()),
                ("price_cents", line.price.cents().into()),
            ])
        });
        Value::object([
            ("id", id.into()),
            ("lines", Value::Array(lines.collect())),
            ("total_cents", self.total.cents().into()),
            ("total", self.total.to_string().into()),
        ])
    }
}

impl fmt::Display for PricedOrder {
    /// A receipt: one line per product, then the total.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let amount = line.price.to_string();
            writeln!(f, "  {:>4} x {:<24} {amount:>12}", line.quantity, line.product.name)?;
        }
        let total = self.total.to_string();
        writeln!(f, "  {:<31} {total:>12}", "total")
    }
}

/// Why an order is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderError {
    /// The text is not JSON.
    Json(json::Error),
    /// The JSON is not an order.
    Shape(&'static str),
    /// The catalog has no such product.
    UnknownProduct(String),
    /// The total does not fit.
    TooExpensive,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("the order is not JSON"),
            Self::Shape(what) => f.write_str(what),
            Self::UnknownProduct(id) => write!(f, "there is no product `{id}`"),
            Self::TooExpensive => f.write_str("the total is too large"),
        }
    }
}

impl std::error::Error for OrderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Catalog;

    #[test]
    fn an_order_that_was_queued_reads_back() {
        let order = Order::parse(br#"{"lines":[{"product":"lamp","quantity":3}]}"#).unwrap();
        let queued = Catalog::builtin().price(&order).unwrap().to_json("7").to_string();
        assert_eq!(Order::parse(queued.as_bytes()), Ok(order));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let many = format!(r#"{{"lines":[{}]}}"#, [r#"{"product":"mug","quantity":1}"#; 51].join(","));
        let cases = [
            "[]",
            "{}",
            r#"{"lines":[]}"#,
            r#"{"lines":[{}]}"#,
            r#"{"lines":[{"product":"mug"}]}"#,
            r#"{"lines":[{"product":"mug","quantity":0}]}"#,
            r#"{"lines":[{"product":"mug","quantity":-1}]}"#,
            r#"{"lines":[{"product":"mug","quantity":1.5}]}"#,
            r#"{"lines":[{"product":"mug","quantity":1001}]}"#,
            r#"{"lines":[{"product":7,"quantity":1}]}"#,
            many.as_str(),
        ];
        for text in cases {
            assert!(matches!(Order::parse(text.as_bytes()), Err(OrderError::Shape(_))), "{text}");
        }
        assert!(matches!(Order::parse(b"{"), Err(OrderError::Json(_))));
    }

    #[test]
    fn the_receipt_lines_up() {
        let order = Order::parse(br#"{"lines":[{"product":"mug","quantity":2},{"product":"lamp","quantity":10}]}"#);
        let receipt = Catalog::builtin().price(&order.unwrap()).unwrap().to_string();
        let widths: Vec<_> = receipt.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [46, 46, 46], "{receipt}");
        assert!(receipt.ends_with("€ 523.00\n"), "{receipt}");
    }
}

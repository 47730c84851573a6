//! What the shop sells.

use crate::json::Value;
use crate::money::Money;
use crate::order::{Order, OrderError, PricedLine, PricedOrder};

/// A thing one can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Names the product in orders and in paths; lower case, no spaces.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// One sentence for the page.
    pub description: &'static str,
    /// The price of one piece.
    pub price: Money,
}

impl Product {
    /// The product as the interface shows it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::object([
            ("id", self.id.into()),
            ("name", self.name.into()),
            ("description", self.description.into()),
            ("price_cents", self.price.cents().into()),
            ("price", self.price.to_string().into()),
        ])
    }
}

/// The products, in the order in which the page shows them.
#[derive(Debug, Clone, Copy)]
pub struct Catalog {
    products: &'static [Product],
}

const PRODUCTS: &[Product] = &[
    Product {
        id: "mug",
        name: "Harbour mug",
        description: "Stoneware, 350 ml, survives the dishwasher and the pier.",
        price: Money::from_cents(14_00),
    },
    Product {
        id: "lamp",
        name: "Pilot lamp",
        description: "A warm light that finds the way home at night.",
        price: Money::from_cents(49_50),
    },
    Product {
        id: "chart",
        name: "Sea chart",
        description: "The coast between two capes, printed on heavy paper.",
        price: Money::from_cents(22_90),
    },
    Product {
        id: "rope",
        name: "Ten metres of rope",
        description: "Hemp, three strands. Comes with the knot you will need.",
        price: Money::from_cents(9_75),
    },
];

impl Catalog {
    /// The catalog that is compiled in.
    #[must_use]
    pub const fn builtin() -> Self {
        Self { products: PRODUCTS }
    }

    /// Every product, in display order.
    #[must_use]
    pub fn products(&self) -> &'static [Product] {
        self.products
    }

    /// The product with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&'static Product> {
        self.products.iter().find(|product| product.id == id)
    }

    /// The order with a price for each line and the total.
    ///
    /// # Errors
    /// When a product does not exist, or when the total does not fit.
    pub fn price(&self, order: &Order) -> Result<PricedOrder, OrderError> {
        let mut total = Money::default();
        let mut lines = Vec::with_capacity(order.lines().len());
        for line in order.lines() {
            let product = self.find(&line.product).ok_or_else(|| OrderError::UnknownProduct(line.product.clone()))?;
            let price = product.price.checked_mul(line.quantity).ok_or(OrderError::TooExpensive)?;
            total = total.checked_add(price).ok_or(OrderError::TooExpensive)?;
            lines.push(PricedLine { product: *product, quantity: line.quantity, price });
        }
        Ok(PricedOrder { lines, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_fit_in_a_path() {
        let products = Catalog::builtin().products();
        let ids: BTreeSet<_> = products.iter().map(|product| product.id).collect();
        assert_eq!(ids.len(), products.len());
        assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_lowercase())), "{ids:?}");
    }

    #[test]
    fn an_order_costs_the_sum_of_its_lines() {
        let order = Order::parse(br#"{"lines":[{"product":"mug","quantity":2},{"product":"rope","quantity":1}]}"#);
        let priced = Catalog::builtin().price(&order.unwrap()).unwrap();
        assert_eq!(priced.total, Money::from_cents(37_75));
        assert_eq!(priced.lines[0].price, Money::from_cents(28_00));
    }

    #[test]
    fn a_product_that_is_not_sold_has_no_price() {
        let order = Order::parse(br#"{"lines":[{"product":"whale","quantity":1}]}"#).unwrap();
        let error = Catalog::builtin().price(&order).unwrap_err();
        assert_eq!(error, OrderError::UnknownProduct("whale".to_owned()));
    }
}

//! From a request to a response; nothing here knows about sockets.

use shop_catalog::json::Value;
use shop_catalog::{Catalog, Order, OrderError, Product};
use shop_http::{Request, Response};

use crate::queue::{self, Queue};

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Shop {
    catalog: Catalog,
    queue: Option<Queue>,
}

impl Shop {
    pub(crate) fn new(queue: Option<Queue>) -> Self {
        Self { catalog: Catalog::builtin(), queue }
    }

    /// Answers a request. Pages of any origin may ask: there are no cookies and nothing is secret.
    pub(crate) fn handle(&self, request: &Request) -> Response {
        self.route(request).with_header("access-control-allow-origin", "*").with_header("cache-control", "no-store")
    }

    fn route(&self, request: &Request) -> Response {
        let segments: Vec<&str> = request.path().split('/').skip(1).collect();
        match (request.method(), segments.as_slice()) {
            ("OPTIONS", _) => Response::empty(204)
                .with_header("access-control-allow-methods", "GET, HEAD, POST")
                .with_header("access-control-allow-headers", "content-type")
                .with_header("access-control-max-age", "600"),
            ("GET" | "HEAD", ["health"]) => health(),
            ("GET" | "HEAD", ["products"]) => self.products(),
            ("GET" | "HEAD", ["products", id]) => match self.catalog.find(id) {
                Some(product) => Response::json(200, product.to_json()),
                None => problem(404, "there is no such product"),
            },
            ("POST", ["orders"]) => self.order(request.body()),
            (_, ["health"] | ["products"] | ["products", _]) => {
                problem(405, "this path only answers GET and HEAD").with_header("allow", "GET, HEAD, OPTIONS")
            }
            (_, ["orders"]) => problem(405, "orders are sent with POST").with_header("allow", "POST, OPTIONS"),
            _ => problem(404, "there is nothing here"),
        }
    }

    fn products(&self) -> Response {
        let products = self.catalog.products().iter().map(Product::to_json).collect();
        Response::json(200, Value::object([("products", Value::Array(products))]))
    }

    fn order(&self, body: &[u8]) -> Response {
        let order = match Order::parse(body).and_then(|order| self.catalog.price(&order)) {
            Ok(order) => order,
            Err(error @ OrderError::Json(why)) => return problem(400, &format!("{error}: {why}")),
            Err(error) => return problem(422, &error.to_string()),
        };
        let id = queue::new_id();
        if let Some(queue) = &self.queue
            && let Err(error) = queue.push(&id, &order)
        {
            // The customer must not believe in an order that nobody will see.
            eprintln!("order {id} cannot be queued: {error}");
            return problem(503, "orders are not accepted at the moment").with_header("retry-after", "10");
        }
        Response::json(201, order.to_json(&id))
    }
}

fn health() -> Response {
    Response::json(200, Value::object([("status", "ok".into()), ("version", env!("CARGO_PKG_VERSION").into())]))
}

fn problem(status: u16, error: &str) -> Response {
    Response::json(status, Value::object([("error", error.into())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shop_catalog::json;

    fn ask(method: &str, path: &str, body: &str) -> (u16, Value) {
        let response = Shop::new(None).handle(&Request::new(method, path, body));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        (response.status(), json::parse(response.body()).unwrap_or(Value::Null))
    }

    #[test]
    fn each_path_answers_its_methods() {
        let cases = [
            ("GET", "/health", 200),
            ("HEAD", "/health", 200),
            ("POST", "/health", 405),
            ("GET", "/products", 200),
            ("GET", "/products/mug", 200),
            ("GET", "/products/whale", 404),
            ("GET", "/products/", 404),
            ("GET", "/orders", 405),
            ("OPTIONS", "/orders", 204),
            ("GET", "/", 404),
            ("GET", "//products", 404),
        ];
        for (method, path, status) in cases {
            assert_eq!(ask(method, path, "").0, status, "{method} {path}");
        }
    }

    #[test]
    fn the_catalog_is_listed() {
        let (_, products) = ask("GET", "/products", "");
        let products = products.get("products").and_then(Value::as_array).unwrap();
        assert_eq!(products.len(), Catalog::builtin().products().len());
        assert_eq!(products[0].get("price_cents").and_then(Value::as_u64), Some(14_00));
    }

    #[test]
    fn an_order_is_priced() {
        let (status, order) = ask("POST", "/orders", r#"{"lines":[{"product":"mug","quantity":2}]}"#);
        assert_eq!(status, 201);
        assert_eq!(order.get("total_cents").and_then(Value::as_u64), Some(28_00));
        assert!(order.get("id").and_then(Value::as_str).is_some_and(|id| !id.is_empty()));
    }

    #[test]
    fn a_bad_order_says_what_is_wrong() {
        let cases = [
            ("{", 400, "the order is not JSON: expected a string at byte 1"),
            ("{}", 422, "`lines` is not a list"),
            (r#"{"lines":[{"product":"whale","quantity":1}]}"#, 422, "there is no product `whale`"),
        ];
        for (body, status, error) in cases {
            let (answered, value) = ask("POST", "/orders", body);
            assert_eq!((answered, value.get("error").and_then(Value::as_str)), (status, Some(error)), "{body}");
        }
    }

    #[test]
    fn an_order_waits_for_the_worker_as_one_complete_file() {
        let directory = std::env::temp_dir().join(format!("shop-api-test-{}", queue::new_id()));
        let shop = Shop::new(Some(Queue::open(&directory).unwrap()));
        let body = r#"{"lines":[{"product":"rope","quantity":3}]}"#;
        assert_eq!(shop.handle(&Request::new("POST", "/orders", body)).status(), 201);

        let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0].extension().unwrap(), "json");
        let order = Order::parse(&std::fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(order.lines()[0].quantity, 3);
        std::fs::remove_dir_all(&directory).unwrap();

        // Without the directory the customer hears that it did not work.
        assert_eq!(shop.handle(&Request::new("POST", "/orders", body)).status(), 503);
    }
}

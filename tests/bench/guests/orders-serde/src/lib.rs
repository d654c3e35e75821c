//! The orders, decoded by plain serde.

use orders_columnar::{Decoder, Orders};

struct Serde;

impl Decoder for Serde {
    const NAME: &str = "orders-serde";
    type Event<'a> = orders::Event<'a>;
}

lantern_sdk::export_projection!(Orders<Serde>);

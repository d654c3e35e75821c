//! The orders, decoded by the SDK's `events!`.

use orders_columnar::{Decoder, Fields, Orders};

struct Events;

impl Decoder for Events {
    const NAME: &str = "orders-events";
    type Event<'a> = Fields<'a>;
}

lantern_sdk::export_projection!(Orders<Events>);

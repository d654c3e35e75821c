//! A row for each order and a row for each customer.
#include "lantern.h"

/// Where an order stands.
struct order {
    lantern_text order_id;
    lantern_text customer;
    /// placed, paid, shipped or cancelled.
    lantern_text status;
    int64_t items;
    int64_t total_cents;
    int64_t placed_at_micros;
};
LANTERN_TABLE(orders, struct order, (order_id), (customer, status, items, total_cents, placed_at_micros),
              .indexes = {{"orders_by_customer", {"customer"}}});

/// What a customer ordered in all.
struct customer {
    lantern_text customer;
    int64_t orders;
    int64_t cancelled;
    /// Totals of paid orders that were not cancelled.
    int64_t paid_cents;
};
LANTERN_TABLE(customers, struct customer, (customer), (orders, cancelled, paid_cents));

static void apply(const lantern_event *event) {
    if (lantern_is(event, "OrderPlaced")) {
        lantern_text customer = lantern_field_text(event, "customer");
        lantern_get_or_default(customers, customer)->orders += 1;
        lantern_put(orders, .order_id = event->aggregate_id, .customer = customer, .status = lantern_string("placed"),
                    .placed_at_micros = event->time);
        return;
    }
    struct order *order = lantern_get(orders, event->aggregate_id);
    if (!order) return lantern_fail("%.*s before OrderPlaced", LANTERN_PRINT(event->type));
    struct customer *customer = lantern_get_or_default(customers, order->customer);

    if (lantern_is(event, "ItemAdded")) {
        int64_t quantity = lantern_field_integer(event, "quantity");
        order->items += quantity;
        order->total_cents += quantity * lantern_field_integer(event, "unit_price_cents");
    } else if (lantern_is(event, "OrderPaid")) {
        order->status = lantern_string("paid");
        customer->paid_cents += order->total_cents;
    } else if (lantern_is(event, "OrderShipped")) {
        order->status = lantern_string("shipped");
    } else if (lantern_is(event, "OrderCancelled")) {
        if (!lantern_equal(order->status, lantern_string("placed"))) customer->paid_cents -= order->total_cents;
        customer->cancelled += 1;
        order->status = lantern_string("cancelled");
    }
}

const lantern_projection projection = {
    .name = "order-summary",
    .read_model_version = 1,
    .categories = {"order"},
    .event_types = {"OrderPlaced", "ItemAdded", "OrderPaid", "OrderShipped", "OrderCancelled"},
    .tables = {&orders, &customers},
    .apply = apply,
};

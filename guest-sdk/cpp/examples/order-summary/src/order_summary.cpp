//! A row for each order and a row for each customer.
#include "lantern.hpp"

/// Where an order stands.
struct Order {
    lantern::text order_id;
    lantern::text customer;
    /// placed, paid, shipped or cancelled.
    lantern::text status;
    std::int64_t items = 0;
    std::int64_t total_cents = 0;
    std::int64_t placed_at_micros = 0;
};
LANTERN_TABLE(orders, Order, (order_id), (customer, status, items, total_cents, placed_at_micros),
              .indexes = {{"orders_by_customer", {"customer"}}});

/// What a customer ordered in all.
struct Customer {
    lantern::text customer;
    std::int64_t orders = 0;
    std::int64_t cancelled = 0;
    /// Totals of paid orders that were not cancelled.
    std::int64_t paid_cents = 0;
};
LANTERN_TABLE(customers, Customer, (customer), (orders, cancelled, paid_cents));

static void apply(const lantern::event &event) {
    if (event.type == "OrderPlaced") {
        auto customer = event.get<lantern::text>("customer");
        customers.get_or_default(customer).orders += 1;
        orders.put({.order_id = event.aggregate_id,
                    .customer = customer,
                    .status = "placed",
                    .placed_at_micros = event.time});
        return;
    }
    auto *order = orders.get(event.aggregate_id);
    if (!order) return lantern::fail(event.type, " before OrderPlaced");
    auto &customer = customers.get_or_default(order->customer);

    if (event.type == "ItemAdded") {
        auto quantity = event.get<std::int64_t>("quantity");
        order->items += quantity;
        order->total_cents += quantity * event.get<std::int64_t>("unit_price_cents");
    } else if (event.type == "OrderPaid") {
        order->status = "paid";
        customer.paid_cents += order->total_cents;
    } else if (event.type == "OrderShipped") {
        order->status = "shipped";
    } else if (event.type == "OrderCancelled") {
        if (order->status != "placed") customer.paid_cents -= order->total_cents;
        customer.cancelled += 1;
        order->status = "cancelled";
    }
}

LANTERN_PROJECTION(
    .name = "order-summary",
    .read_model_version = 1,
    .categories = {"order"},
    .event_types = {"OrderPlaced", "ItemAdded", "OrderPaid", "OrderShipped", "OrderCancelled"},
    .tables = {&orders, &customers},
    .apply = apply,
);

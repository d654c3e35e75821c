//! A row for each order and a row for each customer.
const lantern = @import("lantern");

pub const projection: lantern.Projection = .{
    .name = "order-summary",
    .read_model_version = 1,
    .categories = &.{"order"},
    .event_types = lantern.eventTypes(Data),
    .tables = &.{ orders, customers },
};

const orders = lantern.Table(Order, .{
    .name = "orders",
    .key = .{.order_id},
    .indexes = .{ .orders_by_customer = .{.customer} },
});
const customers = lantern.Table(Customer, .{ .name = "customers", .key = .{.customer} });

/// Where an order stands.
const Order = struct {
    order_id: []const u8,
    customer: []const u8,
    status: enum { placed, paid, shipped, cancelled } = .placed,
    items: i64 = 0,
    total_cents: i64 = 0,
    placed_at_micros: i64,
};

/// What a customer ordered in all.
const Customer = struct {
    customer: []const u8,
    orders: i64,
    cancelled: i64,
    /// Totals of paid orders that were not cancelled.
    paid_cents: i64,
};

const Data = union(enum) {
    OrderPlaced: struct { customer: []const u8 },
    ItemAdded: struct { quantity: i64, unit_price_cents: i64 },
    OrderPaid,
    OrderShipped,
    OrderCancelled,
};

pub fn apply(event: lantern.Event) !void {
    const data = try event.decode(Data);
    if (data == .OrderPlaced) {
        const customer = data.OrderPlaced.customer;
        customers.getOrDefault(customer).orders += 1;
        _ = orders.put(.{ .order_id = event.aggregate_id, .customer = customer, .placed_at_micros = event.time });
        return;
    }
    const order = orders.get(event.aggregate_id) orelse return lantern.fail("{s} before OrderPlaced", .{event.type});
    const customer = customers.getOrDefault(order.customer);
    switch (data) {
        .OrderPlaced => unreachable,
        .ItemAdded => |item| {
            order.items += item.quantity;
            order.total_cents += item.quantity * item.unit_price_cents;
        },
        .OrderPaid => {
            order.status = .paid;
            customer.paid_cents += order.total_cents;
        },
        .OrderShipped => order.status = .shipped,
        .OrderCancelled => {
            if (order.status != .placed) customer.paid_cents -= order.total_cents;
            customer.cancelled += 1;
            order.status = .cancelled;
        },
    }
}

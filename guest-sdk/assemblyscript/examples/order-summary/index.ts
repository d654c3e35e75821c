// A row for each order and a row for each customer.

import { Event, Table, refuse, register } from "../../sdk";

/** Where an order stands. */
@row
class Order {
  @key order_id: string = "";
  customer: string = "";
  /** placed, paid, shipped or cancelled. */
  status: string = "";
  items: i64 = 0;
  total_cents: i64 = 0;
  placed_at_micros: i64 = 0;
}

/** What a customer ordered in all. */
@row
class Customer {
  @key customer: string = "";
  orders: i64 = 0;
  cancelled: i64 = 0;
  /** Totals of paid orders that were not cancelled. */
  paid_cents: i64 = 0;
}

@data
class OrderPlaced {
  customer: string = "";
}

@data
class ItemAdded {
  quantity: i64 = 0;
  unit_price_cents: i64 = 0;
}

const orders = new Table<Order>("orders");
orders.index("orders_by_customer", ["customer"]);
const customers = new Table<Customer>("customers");

function place(event: Event): void {
  const customer = event.data<OrderPlaced>().customer;
  customers.getOrDefault(customer).orders++;
  orders.put({
    order_id: event.aggregateId,
    customer,
    status: "placed",
    items: 0,
    total_cents: 0,
    placed_at_micros: event.time,
  });
}

function apply(event: Event): void {
  if (event.type == "OrderPlaced") return place(event);
  const order = orders.get(event.aggregateId);
  if (order === null) return refuse(`${event.type} before OrderPlaced`);
  const customer = customers.getOrDefault(order.customer);
  if (event.type == "ItemAdded") {
    const item = event.data<ItemAdded>();
    order.items += item.quantity;
    order.total_cents += item.quantity * item.unit_price_cents;
  } else if (event.type == "OrderPaid") {
    order.status = "paid";
    customer.paid_cents += order.total_cents;
  } else if (event.type == "OrderShipped") {
    order.status = "shipped";
  } else if (event.type == "OrderCancelled") {
    if (order.status != "placed") customer.paid_cents -= order.total_cents;
    customer.cancelled++;
    order.status = "cancelled";
  }
}

register({
  name: "order-summary",
  readModelVersion: 1,
  categories: ["order"],
  eventTypes: ["OrderPlaced", "ItemAdded", "OrderPaid", "OrderShipped", "OrderCancelled"],
  apply,
});

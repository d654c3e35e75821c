"""A row for each order and a row for each customer."""

from lantern import Event, Projection, Refused, Row


class Order(Row, table="orders", key="order_id", indexes={"orders_by_customer": ["customer"]}):
    order_id: str
    customer: str
    status: str
    """placed, paid, shipped or cancelled."""
    items: int
    total_cents: int
    placed_at_micros: int


class Customer(Row, table="customers", key="customer"):
    customer: str
    orders: int
    cancelled: int
    paid_cents: int
    """Totals of paid orders that were not cancelled."""


projection = Projection("order-summary", read_model_version=1, categories=["order"], tables=[Order, Customer])


def placed_order(event: Event) -> Order:
    order = Order.get(event.aggregate_id)
    if order is None:
        raise Refused(f"{event.event_type} before OrderPlaced")
    return order


@projection.on("OrderPlaced")
def placed(event: Event, customer: str):
    row = Customer.get_or_default(customer)
    row.orders += 1
    row.put()
    Order(event.aggregate_id, customer, "placed", items=0, total_cents=0, placed_at_micros=event.time).put()


@projection.on("ItemAdded")
def item_added(event: Event, quantity: int, unit_price_cents: int):
    order = placed_order(event)
    order.items += quantity
    order.total_cents += quantity * unit_price_cents
    order.put()


@projection.on("OrderPaid")
def paid(event: Event):
    order = placed_order(event)
    order.status = "paid"
    order.put()
    customer = Customer.get_or_default(order.customer)
    customer.paid_cents += order.total_cents
    customer.put()


@projection.on("OrderShipped")
def shipped(event: Event):
    order = placed_order(event)
    order.status = "shipped"
    order.put()


@projection.on("OrderCancelled")
def cancelled(event: Event):
    order = placed_order(event)
    customer = Customer.get_or_default(order.customer)
    if order.status != "placed":
        customer.paid_cents -= order.total_cents
    customer.cancelled += 1
    customer.put()
    order.status = "cancelled"
    order.put()

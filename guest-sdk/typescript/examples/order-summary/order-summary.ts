// A row for each order and a row for each customer.

import { projection, type Event, type Row, type Table } from '../../sdk/lantern.js';

const orders = {
  key: 'order_id',
  columns: {
    order_id: 'text',
    customer: 'text',
    status: 'text', // placed, paid, shipped or cancelled
    items: 'integer',
    total_cents: 'integer',
    placed_at_micros: 'integer',
  },
  indexes: { orders_by_customer: ['customer'] },
} as const;

const customers = {
  key: 'customer',
  columns: {
    customer: 'text',
    orders: 'integer',
    cancelled: 'integer',
    paid_cents: 'integer', // totals of paid orders that were not cancelled
  },
} as const;

type Order = Row<typeof orders>;
type Customer = Row<typeof customers>;
type Tables = { orders: Table<typeof orders>; customers: Table<typeof customers> };

/** Changes the row of the event's order and that of its customer. */
function update(
  { aggregateId, eventType }: Event,
  { orders, customers }: Tables,
  change: (order: Order, customer: Customer) => void,
) {
  const order = orders.get(aggregateId);
  if (!order) throw new Error(`${eventType} before OrderPlaced`);
  const customer = customers.getOrDefault(order.customer);
  change(order, customer);
  orders.put(order);
  customers.put(customer);
}

export const { describe, apply } = projection({
  name: 'order-summary',
  readModelVersion: 1,
  categories: ['order'],
  tables: { orders, customers },
  events: {
    OrderPlaced: { customer: 'text' },
    ItemAdded: { quantity: 'integer', unit_price_cents: 'integer' },
    OrderPaid: {},
    OrderShipped: {},
    OrderCancelled: {},
  },
  apply: {
    OrderPlaced({ aggregateId, data, time }, { orders, customers }) {
      const customer = customers.getOrDefault(data.customer);
      customer.orders += 1;
      customers.put(customer);
      orders.put({
        order_id: aggregateId,
        customer: data.customer,
        status: 'placed',
        items: 0,
        total_cents: 0,
        placed_at_micros: time,
      });
    },
    ItemAdded(event, tables) {
      const { quantity, unit_price_cents } = event.data;
      update(event, tables, (order) => {
        order.items += quantity;
        order.total_cents += quantity * unit_price_cents;
      });
    },
    OrderPaid(event, tables) {
      update(event, tables, (order, customer) => {
        order.status = 'paid';
        customer.paid_cents += order.total_cents;
      });
    },
    OrderShipped(event, tables) {
      update(event, tables, (order) => (order.status = 'shipped'));
    },
    OrderCancelled(event, tables) {
      update(event, tables, (order, customer) => {
        if (order.status !== 'placed') customer.paid_cents -= order.total_cents;
        customer.cancelled += 1;
        order.status = 'cancelled';
      });
    },
  },
});

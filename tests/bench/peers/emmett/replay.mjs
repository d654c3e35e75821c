// Replays the benchmark's events with emmett and emmett-sqlite.

import { readFileSync } from 'node:fs';
import { getSQLiteEventStore, sqliteRawSQLProjection, SQLiteConnectionPool } from '@event-driven-io/emmett-sqlite';

const lines = readFileSync(process.argv[2], 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
const events = lines.map(({ stream, type, time, data }) => ({ stream, event: { type, data: { ...JSON.parse(data), time } } }));

// On a busy machine its commit can come before its last statement has ended, and is then refused and rolled back.
async function append(stream, happened) {
  try {
    return await store.appendToStream(stream, happened);
  } catch (error) {
    if (error.code !== 'SQLITE_BUSY') throw error;
    return append(stream, happened);
  }
}

// One file for both, as the projection gets the connection of the store.
const fileName = 'rows.db';
const store = getSQLiteEventStore({ fileName });
await store.schema.migrate();
let last = 0n;
for (let from = 0, to; from < events.length; from = to) {
  const { stream } = events[from];
  for (to = from + 1; to < events.length && events[to].stream === stream; to++);
  last = (await append(stream, events.slice(from, to).map(({ event }) => event))).lastEventGlobalPosition;
}

const tables = [
  `CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, customer TEXT, status TEXT, city TEXT, items INTEGER,
     total_cents INTEGER, paid_cents INTEGER, scans INTEGER, updated_at INTEGER) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS customers (customer TEXT PRIMARY KEY, orders INTEGER, items INTEGER, paid_cents INTEGER,
     last_seen INTEGER) WITHOUT ROWID`,
];

// What an event adds to the rows; an empty text leaves what was there.
const none = { status: '', city: '', orders: 0, items: 0, total: 0, paid: 0, scans: 0 };
const changes = {
  OrderPlaced: ({ city }) => ({ status: 'placed', city, orders: 1 }),
  ItemAdded: ({ quantity, unit_price_cents }) => ({ items: quantity, total: quantity * unit_price_cents }),
  ItemRemoved: ({ quantity, unit_price_cents }) => ({ items: -quantity, total: -quantity * unit_price_cents }),
  AddressChanged: ({ city }) => ({ city }),
  OrderPaid: ({ amount_cents }) => ({ status: 'paid', paid: amount_cents }),
  OrderShipped: () => ({ status: 'shipped' }),
  ParcelScanned: ({ status }) => ({ status, scans: 1 }),
  OrderReturned: ({ refund_cents }) => ({ status: 'returned', paid: -refund_cents }),
};
const text = (value) => `'${value.replaceAll("'", "''")}'`;

const projection = sqliteRawSQLProjection({
  canHandle: Object.keys(changes),
  initSQL: tables,
  evolve: ({ type, data, metadata }) => {
    const order = text(metadata.streamName.slice('order-'.length));
    const customer = text(data.customer);
    const change = { ...none, ...changes[type](data) };
    const { orders, items, total, paid, scans } = change;
    const [status, city] = [text(change.status), text(change.city)];
    return [
      `INSERT INTO orders VALUES (${order}, ${customer}, ${status}, ${city}, ${items}, ${total}, ${paid}, ${scans}, ${data.time})
       ON CONFLICT (order_id) DO UPDATE SET
         status = CASE excluded.status WHEN '' THEN status ELSE excluded.status END,
         city = CASE excluded.city WHEN '' THEN city ELSE excluded.city END,
         items = items + excluded.items, total_cents = total_cents + excluded.total_cents,
         paid_cents = paid_cents + excluded.paid_cents, scans = scans + excluded.scans, updated_at = excluded.updated_at`,
      `INSERT INTO customers VALUES (${customer}, ${orders}, ${items}, ${paid}, ${data.time})
       ON CONFLICT (customer) DO UPDATE SET orders = orders + excluded.orders, items = items + excluded.items,
         paid_cents = paid_cents + excluded.paid_cents, last_seen = excluded.last_seen`,
    ];
  },
});

const pool = SQLiteConnectionPool({ fileName });
await pool.withConnection(async (connection) => {
  for (const sql of tables) await connection.command(sql);
});
const consumer = store.consumer({ pulling: { batchSize: 1000, pullingFrequencyInMs: 0 } });
consumer.processor({
  processorId: 'orders',
  projection,
  startFrom: 'BEGINNING',
  stopAfter: ({ metadata }) => metadata.globalPosition === last,
});
const [wall, cpu] = [process.hrtime.bigint(), process.cpuUsage()];
await consumer.start();
const seconds = Number(process.hrtime.bigint() - wall) / 1e9;
const { user, system } = process.cpuUsage(cpu);
await consumer.close();
const count = events.length;
console.log(`| emmett 0.42 with emmett-sqlite 0.42.4 | ${count} | ${(count / seconds).toFixed(0)} | ${((user + system) / count).toFixed(1)} |`);
process.exit(0);

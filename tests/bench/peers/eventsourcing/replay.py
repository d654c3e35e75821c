"""Replays the benchmark's events with the library eventsourcing."""

import json
import sys
import time
from collections import defaultdict
from datetime import datetime, timezone
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder


class OrderEvent(DomainEvent):
    data: dict
    micros: int


class OrderPlaced(OrderEvent): ...
class ItemAdded(OrderEvent): ...
class ItemRemoved(OrderEvent): ...
class AddressChanged(OrderEvent): ...
class OrderPaid(OrderEvent): ...
class OrderShipped(OrderEvent): ...
class ParcelScanned(OrderEvent): ...
class OrderReturned(OrderEvent): ...


TYPES = {event_type.__name__: event_type for event_type in OrderEvent.__subclasses__()}

# What an event adds to the rows; an empty text leaves what was there.
NOTHING = {"status": "", "city": "", "orders": 0, "items": 0, "total": 0, "paid": 0, "scans": 0}
CHANGES = {
    OrderPlaced: lambda data: {"status": "placed", "city": data["city"], "orders": 1},
    ItemAdded: lambda data: {"items": data["quantity"], "total": data["quantity"] * data["unit_price_cents"]},
    ItemRemoved: lambda data: {"items": -data["quantity"], "total": -data["quantity"] * data["unit_price_cents"]},
    AddressChanged: lambda data: {"city": data["city"]},
    OrderPaid: lambda data: {"status": "paid", "paid": data["amount_cents"]},
    OrderShipped: lambda data: {"status": "shipped"},
    ParcelScanned: lambda data: {"status": data["status"], "scans": 1},
    OrderReturned: lambda data: {"status": "returned", "paid": -data["refund_cents"]},
}

PUT_ORDER = """INSERT INTO orders VALUES (:order, :customer, :status, :city, :items, :total, :paid, :scans, :micros)
    ON CONFLICT (order_id) DO UPDATE SET
        status = CASE :status WHEN '' THEN status ELSE :status END, city = CASE :city WHEN '' THEN city ELSE :city END,
        items = items + :items, total_cents = total_cents + :total, paid_cents = paid_cents + :paid,
        scans = scans + :scans, updated_at = :micros"""
PUT_CUSTOMER = """INSERT INTO customers VALUES (:customer, :orders, :items, :paid, :micros)
    ON CONFLICT (customer) DO UPDATE SET orders = orders + :orders, items = items + :items,
        paid_cents = paid_cents + :paid, last_seen = :micros"""


class Tables(SQLiteTrackingRecorder):
    def construct_create_table_statements(self):
        return [
            *super().construct_create_table_statements(),
            """CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, customer TEXT, status TEXT, city TEXT,
                items INTEGER, total_cents INTEGER, paid_cents INTEGER, scans INTEGER, updated_at INTEGER)
                WITHOUT ROWID""",
            """CREATE TABLE IF NOT EXISTS customers (customer TEXT PRIMARY KEY, orders INTEGER, items INTEGER,
                paid_cents INTEGER, last_seen INTEGER) WITHOUT ROWID""",
        ]

    def put(self, values, tracking):
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(PUT_ORDER, values)
            cursor.execute(PUT_CUSTOMER, values)
            self._insert_tracking(cursor, tracking)


class Orders(Projection):
    @singledispatchmethod
    def process_event(self, domain_event, tracking):
        change = CHANGES[type(domain_event)](domain_event.data)
        order, customer = str(domain_event.originator_id), domain_event.data["customer"]
        self.view.put(NOTHING | change | {"order": order, "customer": customer, "micros": domain_event.micros}, tracking)


def imported(app, path):
    versions = defaultdict(int)
    stored = []
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            order = UUID(line["stream"].removeprefix("order-"))
            versions[order] += 1
            event = TYPES[line["type"]](
                originator_id=order,
                originator_version=versions[order],
                timestamp=datetime.fromtimestamp(line["time"] / 1e6, timezone.utc),
                data=json.loads(line["data"]),
                micros=line["time"],
            )
            stored.append(app.mapper.to_stored_event(event))
    for start in range(0, len(stored), 1000):
        app.recorder.insert_events(stored[start : start + 1000])
    return len(stored)


def main():
    app = Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": "store.db"})
    count = imported(app, sys.argv[1])
    tables = Tables(SQLiteDatastore("rows.db"))
    tables.create_table()
    projection = Orders(tables)
    wall, cpu = time.perf_counter(), time.process_time()
    # Its SQLite recorder has no subscription, so the loop is ours.
    position = 0
    while notifications := app.recorder.select_notifications(start=position + 1, limit=1000):
        for notification in notifications:
            event = app.mapper.to_domain_event(notification)
            projection.process_event(event, Tracking(app.name, notification.id))
        position = notifications[-1].id
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tables.datastore.close()
    print(f"| eventsourcing 9.5.6 | {count} | {count / wall:.0f} | {cpu * 1e6 / count:.1f} |")


main()

"""Punctuality of carriers and the travels of aircraft."""

from lantern import Event, Projection, Row


class Carrier(Row, table="carriers", key="carrier"):
    carrier: str
    flights: int
    """Scheduled flights, cancelled ones included."""
    cancelled: int
    departures: int
    total_departure_delay: int
    """In minutes; flights that left early count below zero."""
    mean_departure_delay: float | None
    """In minutes; null before the first departure."""


class Aircraft(Row, table="aircraft", key="tail_number"):
    tail_number: str
    flights: int
    """Scheduled flights, cancelled ones included."""
    distance: int
    """Miles of the scheduled flights."""
    last_destination: str
    """Where the flight that was scheduled last goes to."""


projection = Projection("flights", read_model_version=1, categories=["aircraft"], tables=[Carrier, Aircraft])


@projection.on("FlightScheduled")
def scheduled(event: Event, carrier: str, dest: str, distance: int):
    row = Carrier.get_or_default(carrier)
    row.flights += 1
    row.put()
    aircraft = Aircraft.get_or_default(event.aggregate_id)
    aircraft.flights += 1
    aircraft.distance += distance
    aircraft.last_destination = dest
    aircraft.put()


@projection.on("FlightDeparted")
def departed(event: Event, carrier: str, delay: int):
    row = Carrier.get_or_default(carrier)
    row.departures += 1
    row.total_departure_delay += delay
    row.mean_departure_delay = row.total_departure_delay / row.departures
    row.put()


@projection.on("FlightCancelled")
def cancelled(event: Event, carrier: str):
    row = Carrier.get_or_default(carrier)
    row.cancelled += 1
    row.put()

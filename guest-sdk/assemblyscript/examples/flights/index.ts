// Punctuality of carriers and the travels of aircraft.

import { Box, Event, Table, register } from "../../sdk";

/** The flights of one carrier. */
@row
class Carrier {
  @key carrier: string = "";
  /** Scheduled flights, cancelled ones included. */
  flights: i64 = 0;
  cancelled: i64 = 0;
  departures: i64 = 0;
  /** In minutes; flights that left early count below zero. */
  total_departure_delay: i64 = 0;
  /** In minutes; null before the first departure. */
  mean_departure_delay: Box<f64> | null = null;
}

/** The flights of one aircraft. */
@row
class Aircraft {
  @key tail_number: string = "";
  /** Scheduled flights, cancelled ones included. */
  flights: i64 = 0;
  /** Miles of the scheduled flights. */
  distance: i64 = 0;
  /** Where the flight that was scheduled last goes to. */
  last_destination: string = "";
}

@data
class FlightScheduled {
  carrier: string = "";
  dest: string = "";
  distance: i64 = 0;
}

@data
class FlightDeparted {
  carrier: string = "";
  delay: i64 = 0;
}

@data
class FlightCancelled {
  carrier: string = "";
}

const carriers = new Table<Carrier>("carriers");
const fleet = new Table<Aircraft>("aircraft");

function schedule(tailNumber: string, flight: FlightScheduled): void {
  carriers.getOrDefault(flight.carrier).flights++;
  const aircraft = fleet.getOrDefault(tailNumber);
  aircraft.flights++;
  aircraft.distance += flight.distance;
  aircraft.last_destination = flight.dest;
}

function depart(flight: FlightDeparted): void {
  const carrier = carriers.getOrDefault(flight.carrier);
  carrier.departures++;
  carrier.total_departure_delay += flight.delay;
  carrier.mean_departure_delay = new Box(<f64>carrier.total_departure_delay / <f64>carrier.departures);
}

function apply(event: Event): void {
  if (event.type == "FlightScheduled") schedule(event.aggregateId, event.data<FlightScheduled>());
  else if (event.type == "FlightDeparted") depart(event.data<FlightDeparted>());
  else if (event.type == "FlightCancelled") carriers.getOrDefault(event.data<FlightCancelled>().carrier).cancelled++;
}

register({
  name: "flights",
  readModelVersion: 1,
  categories: ["aircraft"],
  eventTypes: ["FlightScheduled", "FlightDeparted", "FlightCancelled"],
  apply,
});

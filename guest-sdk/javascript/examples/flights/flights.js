// Punctuality of carriers and the travels of aircraft.

import { projection } from '../../sdk/lantern.js';

export const { describe, apply } = projection({
  name: 'flights',
  readModelVersion: 1,
  categories: ['aircraft'],
  tables: {
    carriers: {
      key: 'carrier',
      columns: {
        carrier: 'text',
        flights: 'integer', // scheduled, cancelled ones included
        cancelled: 'integer',
        departures: 'integer',
        total_departure_delay: 'integer', // in minutes; flights that left early count below zero
        mean_departure_delay: 'real?', // null before the first departure
      },
    },
    aircraft: {
      key: 'tail_number',
      columns: {
        tail_number: 'text',
        flights: 'integer', // scheduled, cancelled ones included
        distance: 'integer', // miles of the scheduled flights
        last_destination: 'text', // of the flight that was scheduled last
      },
    },
  },
  events: {
    FlightScheduled: { carrier: 'text', dest: 'text', distance: 'integer' },
    FlightDeparted: { carrier: 'text', delay: 'integer' },
    FlightCancelled: { carrier: 'text' },
  },
  apply: {
    FlightScheduled({ data, aggregateId }, { carriers, aircraft }) {
      const carrier = carriers.getOrDefault(data.carrier);
      carrier.flights += 1;
      carriers.put(carrier);
      const plane = aircraft.getOrDefault(aggregateId);
      plane.flights += 1;
      plane.distance += data.distance;
      plane.last_destination = data.dest;
      aircraft.put(plane);
    },
    FlightDeparted({ data }, { carriers }) {
      const carrier = carriers.getOrDefault(data.carrier);
      carrier.departures += 1;
      carrier.total_departure_delay += data.delay;
      carrier.mean_departure_delay = carrier.total_departure_delay / carrier.departures;
      carriers.put(carrier);
    },
    FlightCancelled({ data }, { carriers }) {
      const carrier = carriers.getOrDefault(data.carrier);
      carrier.cancelled += 1;
      carriers.put(carrier);
    },
  },
});

// How many seats each conference has left.

import { projection } from '../../sdk/lantern.js';

/** The row with its seats counted again. */
function counted(conference) {
  const available = conference.seats - conference.reserved;
  return { ...conference, available, overbooked: available < 0 };
}

export const { describe, apply } = projection({
  name: 'seat-availability',
  readModelVersion: 1,
  categories: ['conference'],
  tables: {
    conferences: {
      key: 'conference',
      columns: {
        conference: 'text',
        seats: 'integer',
        reserved: 'integer',
        available: 'integer', // below zero when more seats are reserved than there are
        overbooked: 'boolean',
      },
    },
  },
  events: {
    ConferenceOpened: { seats: 'integer' },
    SeatsReserved: { seats: 'integer' },
    ReservationCancelled: { seats: 'integer' },
  },
  apply: {
    ConferenceOpened({ data, aggregateId }, { conferences }) {
      const conference = conferences.getOrDefault(aggregateId);
      conference.seats = data.seats;
      conferences.put(counted(conference));
    },
    SeatsReserved({ data, aggregateId }, { conferences }) {
      const conference = conferences.getOrDefault(aggregateId);
      conference.reserved += data.seats;
      conferences.put(counted(conference));
    },
    ReservationCancelled({ data, aggregateId }, { conferences }) {
      const conference = conferences.getOrDefault(aggregateId);
      conference.reserved -= data.seats;
      conferences.put(counted(conference));
    },
  },
});

// Reservations that come at the same time share the seats that are left; what no longer fits is rejected.
// The same as plugins/seat-reservation in Rust.

import { conflictResolver, reject, rewrite } from '../../sdk/conflict-resolver.js';

/** How many seats each type of event leaves of those that were left before it. */
const LEAVES = {
  SeatsOffered: (left, seats) => left + seats,
  SeatsReserved: (left, seats) => left - seats,
  ReservationCancelled: (left, seats) => left + seats,
};

export const { describe, resolve } = conflictResolver({
  name: 'seat-reservation',
  categories: ['seats'],
  resolve({ expected, unseen, proposed }) {
    const unknown = [...unseen, ...proposed].find((event) => !(event.eventType in LEAVES));
    if (unknown) throw new Error(`${unknown.eventType} is not known here`);
    if (expected === 0) return reject('the seats were offered already');
    let { left } = unseen.at(-1).data;
    const events = [];
    for (const event of proposed) {
      const { seats } = event.data;
      const after = LEAVES[event.eventType](left, seats);
      if (after < 0) return reject(`sold out: ${left} seats are left`);
      left = after;
      events.push(event.rewritten(event.eventType, { seats, left }));
    }
    return rewrite(events);
  },
});

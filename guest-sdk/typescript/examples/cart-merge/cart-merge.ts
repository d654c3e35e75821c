// Edits of a shopping cart from two devices at the same time: both stay, unless they are about the same item or the
// cart is checked out. The same as plugins/cart-merge in Rust.

import { accept, conflictResolver, reject, type Event, type Proposed } from '../../sdk/conflict-resolver.js';

interface Events {
  ItemAdded: { item: string; quantity: number };
  QuantityChanged: { item: string; quantity: number };
  ItemRemoved: { item: string };
  CheckedOut: {};
}

type Any = Event<Events> | Proposed<Events>;

function item(event: Any): string | undefined {
  switch (event.eventType) {
    case 'ItemAdded':
    case 'QuantityChanged':
    case 'ItemRemoved':
      return event.data.item;
    case 'CheckedOut':
      return undefined;
    default:
      throw new Error(`${(event as Any).eventType} is not known here`);
  }
}

/** Whether the former quantity of its item no longer counts. Added twice is added together: what counts is the sum. */
const replaces = (event: Any) => event.eventType === 'QuantityChanged' || event.eventType === 'ItemRemoved';

export const { describe, resolve } = conflictResolver<Events>({
  name: 'cart-merge',
  categories: ['cart'],
  resolve({ unseen, proposed }) {
    for (const wanted of proposed) {
      for (const there of unseen) {
        const same = item(there) === item(wanted);
        if (there.eventType === 'CheckedOut') return reject('the cart is checked out');
        if (wanted.eventType === 'CheckedOut') return reject('the cart was changed; look at it again before you check out');
        if (same && (replaces(there) || replaces(wanted))) {
          return reject(`${item(wanted)} was changed at the same time; look at the cart again`);
        }
      }
    }
    return accept();
  },
});

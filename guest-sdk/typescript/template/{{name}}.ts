// {{Name}}: how many events each stream has.

import { projection } from './lantern-sdk/lantern.js';

export const { describe, apply } = projection({
  name: '{{name}}',
  readModelVersion: 1,
  tables: {
    {{name_}}: {
      key: 'stream',
      columns: { stream: 'text', events: 'integer', last_type: 'text' },
    },
  },
  events: {
    '*': {},
  },
  apply: {
    '*'({ stream, eventType }, { {{name_}} }) {
      const row = {{name_}}.getOrDefault(stream);
      row.events += 1;
      row.last_type = eventType;
      {{name_}}.put(row);
    },
  },
});

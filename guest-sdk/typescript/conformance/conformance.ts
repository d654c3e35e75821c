// The projection of the conformance suite: it uses every part of the SDK.

import { projection, type Row, type Table } from '../sdk/lantern.js';

const things = {
  key: 'id',
  columns: {
    id: 'text',
    group_name: 'text',
    whole: 'integer?',
    fraction: 'real?',
    note: 'text?',
    bytes: 'blob?',
    flag: 'boolean?',
    changes: 'integer',
  },
  indexes: { things_by_group: ['group_name', 'flag'] },
} as const;

type Thing = Row<typeof things>;

const fromHex = (hex: string | null) => (hex === null ? null : Uint8Array.fromHex(hex));

function there(rows: Table<typeof things>, id: string) {
  const thing = rows.get(id);
  if (!thing) throw new Error(`thing ${id} is not there`);
  return thing;
}

function count(group_name: string, selection: string, found: Thing[]) {
  const total = found.reduce((sum, thing) => sum + (thing.whole ?? 0), 0);
  return { group_name, selection, members: found.length, total, ids: found.map((thing) => thing.id).join() };
}

export const { describe, apply } = projection({
  name: 'conformance',
  readModelVersion: 1,
  categories: ['thing'],
  tables: {
    things,
    groups: {
      key: ['group_name', 'selection'],
      columns: { group_name: 'text', selection: 'text', members: 'integer', total: 'integer', ids: 'text' },
    },
    echoes: {
      key: 'position',
      columns: {
        position: 'integer',
        id: 'text',
        stream: 'text',
        category: 'text',
        aggregate_id: 'text',
        version: 'integer',
        event_type: 'text',
        schema_version: 'integer',
        time: 'integer',
        content_type: 'text',
        data: 'text',
        metadata: 'text',
      },
    },
  },
  events: {
    ThingStored: { group: 'text', whole: 'integer?', fraction: 'real?', note: 'text?', bytes: 'text?', flag: 'boolean?' },
    ThingTouched: {},
    ThingCopied: { to: 'text' },
    ThingRemoved: {},
    GroupCounted: { group: 'text' },
    GroupDissolved: { group: 'text' },
    ThingRefused: { why: 'text' },
    ThingTrapped: {},
    ThingEchoed: {},
    '*': {},
  },
  apply: {
    ThingStored({ aggregateId: id, data }, { things }) {
      const changes = (things.get(id)?.changes ?? 0) + 1;
      const { group: group_name, whole, fraction, note, bytes, flag } = data;
      things.put({ id, group_name, whole, fraction, note, bytes: fromHex(bytes), flag, changes });
    },
    ThingTouched({ aggregateId }, { things }) {
      const thing = things.getOrDefault(aggregateId);
      thing.changes += 1;
      things.put(thing);
    },
    ThingCopied({ aggregateId, data }, { things }) {
      things.put({ ...there(things, aggregateId), id: data.to, changes: 1 });
    },
    ThingRemoved({ aggregateId }, { things }) {
      there(things, aggregateId);
      things.delete(aggregateId);
    },
    GroupCounted({ data: { group } }, { things, groups }) {
      groups.put(count(group, 'all', things.find('things_by_group', group)));
      groups.put(count(group, 'flagged', things.find('things_by_group', group, true)));
    },
    GroupDissolved({ data: { group } }, { things, groups }) {
      for (const { id } of things.find('things_by_group', group)) things.delete(id);
      groups.delete(group, 'all');
      groups.delete(group, 'flagged');
    },
    ThingRefused({ data }) {
      throw new Error(`refused: ${data.why}`);
    },
    ThingTrapped() {
      (null as any)['trapped on purpose'].call();
    },
    ThingEchoed(event, { echoes }) {
      echoes.put({
        position: event.position,
        id: event.id,
        stream: event.stream,
        category: event.category,
        aggregate_id: event.aggregateId,
        version: event.version,
        event_type: event.eventType,
        schema_version: event.schemaVersion,
        time: event.time,
        content_type: event.contentType,
        data: event.dataText,
        metadata: event.metadataText,
      });
    },
    '*'({ eventType }) {
      throw new Error(`unknown event type ${eventType}`);
    },
  },
});

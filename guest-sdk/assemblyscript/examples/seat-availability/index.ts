// How many seats each conference has left.

import { Event, Table, register } from "../../sdk";

/** The seats of one conference. */
@row
class Conference {
  @key conference: string = "";
  seats: i64 = 0;
  reserved: i64 = 0;
  /** Below zero when more seats are reserved than there are. */
  available: i64 = 0;
  overbooked: bool = false;
}

/** The data of every event type. */
@data
class Seats {
  seats: i64 = 0;
}

const conferences = new Table<Conference>("conferences");

function apply(event: Event): void {
  const row = conferences.getOrDefault(event.aggregateId);
  const seats = event.data<Seats>().seats;
  if (event.type == "ConferenceOpened") row.seats = seats;
  else if (event.type == "SeatsReserved") row.reserved += seats;
  else if (event.type == "ReservationCancelled") row.reserved -= seats;
  row.available = row.seats - row.reserved;
  row.overbooked = row.available < 0;
}

register({
  name: "seat-availability",
  readModelVersion: 1,
  categories: ["conference"],
  eventTypes: ["ConferenceOpened", "SeatsReserved", "ReservationCancelled"],
  apply,
});

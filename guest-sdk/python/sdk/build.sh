#!/bin/sh
# Builds a plugin: `sh build.sh MODULE NAME` writes build/NAME.wasm from MODULE.py, which has a `projection`.
# With `--dev` behind them it writes build/NAME.dev.wasm, which reads MODULE.py from standard input.
set -eu
sdk=$(dirname "$0")
PATH="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/python/bin:$PATH"

mkdir -p build
if [ "${3:-}" = --dev ]; then
    output="build/$2.dev.wasm"
    world="from lantern_dev import Source

def WitWorld(): return Source('$1')"
else
    output="build/$2.wasm"
    world="from $1 import projection

def WitWorld(): return projection"
fi
printf 'import sys\nsys.dont_write_bytecode = True\n%s\n' "$world" > build/plugin_world.py
exec componentize-py --quiet --wit-path "$sdk/wit" --world projection \
    componentize plugin_world --python-path . --python-path "$sdk" --python-path build --output "$output"

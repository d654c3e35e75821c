#!/bin/sh
# Builds a plugin: `sh build.sh MODULE NAME` writes build/NAME.wasm from MODULE.py, which has a `projection`.
set -eu
sdk=$(dirname "$0")
PATH="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/python/bin:$PATH"

mkdir -p build
printf 'from %s import projection\n\n\ndef WitWorld():\n    return projection\n' "$1" > build/plugin_world.py
exec componentize-py --quiet --wit-path "$sdk/wit" --world projection \
    componentize plugin_world --python-path . --python-path "$sdk" --python-path build --output "build/$2.wasm"

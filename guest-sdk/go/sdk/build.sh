#!/bin/sh
# Builds the projection in this folder: sh lantern-sdk/build.sh build/NAME.wasm
set -eu
PATH="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/go/go/bin:$PATH"
GOOS=wasip1 GOARCH=wasm exec go build -buildmode=c-shared -trimpath -ldflags='-s -w' -o "$1" .

#!/bin/sh
# Installs what building C, C++ and Zig plugins needs: zig, which is also a C and C++ compiler, make, and yyjson, the
# JSON reader of the C SDK, as the Python package of the same name carries it.
# With --check it only looks: one line, and 0 when everything is there.
set -eu
VERSION=0.17.0
YYJSON_PACKAGE=4.0.6
TOOLCHAINS="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}"
FOLDER="$TOOLCHAINS/zig"

find_zig() {
    if [ "$(zig version 2>/dev/null)" = "$VERSION" ]; then echo zig; else echo "$FOLDER/ziglang/zig"; fi
}

check() {
    command -v make >/dev/null || { echo "make is missing"; return 1; }
    "$(find_zig)" version >/dev/null 2>&1 || { echo "zig $VERSION is neither on the PATH nor in $FOLDER"; return 1; }
    [ -f "$TOOLCHAINS/yyjson/yyjson.c" ] || { echo "yyjson is not in $TOOLCHAINS"; return 1; }
    echo "zig $VERSION ($("$(find_zig)" cc --version | head -n 1)), $(make --version | head -n 1)"
}

if [ "${1:-}" = --check ]; then check; exit; fi
if check >/dev/null; then check; exit; fi
if ! command -v make >/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends make python3-pip
fi
[ -x "$FOLDER/ziglang/zig" ] || python3 -m pip install --quiet --root-user-action=ignore --target "$FOLDER" "ziglang==$VERSION"
if [ ! -f "$TOOLCHAINS/yyjson/yyjson.c" ]; then
    mkdir -p "$TOOLCHAINS/yyjson"
    python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$TOOLCHAINS/yyjson" "yyjson==$YYJSON_PACKAGE"
    tar -xzf "$TOOLCHAINS/yyjson/yyjson-$YYJSON_PACKAGE.tar.gz" -C "$TOOLCHAINS/yyjson" --strip-components=2 \
        "yyjson-$YYJSON_PACKAGE/yyjson/yyjson.h" "yyjson-$YYJSON_PACKAGE/yyjson/yyjson.c"
fi
check

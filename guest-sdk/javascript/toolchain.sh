#!/bin/sh
# Installs what building plugins needs: Node.js, unless there is one, and the packages of package.json.
# With --check it only looks: one line, and 0 when everything is there.
set -eu
cd "$(dirname "$0")"
[ -f package.json ] || cd .. # copied into a project: lantern-sdk/toolchain.sh

check() {
    command -v node >/dev/null || { echo "Node.js is missing: version 18 or newer"; return 1; }
    node -e '
        const { devDependencies } = require("./package.json");
        const found = Object.entries(devDependencies).map(([name, wanted]) => {
            let version = "none";
            try { version = require(`./node_modules/${name}/package.json`).version; } catch {}
            if (version !== wanted) { console.log(`${name} ${wanted} is wanted, found ${version}`); process.exit(1); }
            return `${name} ${version}`;
        });
        if (parseInt(process.versions.node) < 18) { console.log(`Node.js 18 is wanted, found ${process.version}`); process.exit(1); }
        console.log(`node ${process.version}, ${found.join(", ")}`);
    '
}

if [ "${1:-}" = --check ]; then check; exit; fi
if check >/dev/null; then check; exit; fi
if ! command -v npm >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends nodejs npm
fi
if [ -f package-lock.json ]; then npm ci --silent; else npm install --silent; fi
check

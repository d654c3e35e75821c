#!/bin/sh
# What Rust plugins need: Rust 1.87 or newer with the target wasm32-unknown-unknown.
#   toolchain.sh --check   says whether it is there, and exits with 1 if not
#   toolchain.sh           installs the target
set -eu
target=wasm32-unknown-unknown

check() {
    command -v cargo > /dev/null && command -v rustc > /dev/null || {
        echo "rust: cargo is missing: install Rust from https://rustup.rs"
        return 1
    }
    minor=$(rustc --version | cut -d. -f2)
    [ "$minor" -ge 87 ] || {
        echo "rust: $(rustc --version) is too old: rustup update"
        return 1
    }
    ls "$(rustc --print target-libdir --target $target)"/libstd-*.rlib > /dev/null 2>&1 || {
        echo "rust: the target is missing: rustup target add $target"
        return 1
    }
    echo "rust: $(rustc --version), $target"
}

if [ "${1:-}" = --check ]; then
    check
    exit
fi
check > /dev/null || rustup target add $target
check

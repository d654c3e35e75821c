//! Files of which nothing runs: forged imports, code that depends on the machine, code that no compiler comes to an
//! end with, and what is no code at all.

use super::{Crime, Stage, crime};
use crate::guest::{Guest, assembled};

pub fn crimes() -> Vec<Crime> {
    [no_code(), forged_imports(), machine_dependent(), bombs()].into_iter().flatten().collect()
}

fn file(name: &'static str, file: impl Into<Vec<u8>>, said: &'static str) -> Crime {
    Crime { name, file: file.into(), stopped: Stage::Load, said }
}

fn no_code() -> Vec<Crime> {
    let good = Guest::typed("whole", "").build();
    let trailing = [&good[..], b"\x63\xff\xff\xff\xff\x0f"].concat();
    vec![
        file("shell-script", "#!/bin/sh\nrm -rf /\n", "not WebAssembly"),
        file("zip-archive", "PK\x03\x04", "not WebAssembly"),
        file("empty-file", "", "cut off after 0 bytes"),
        file("only-the-magic", "\0asm", "cut off after 4 bytes"),
        file("half-a-file", &good[..good.len() / 2], "cut off"),
        file("trailing-garbage", trailing, "cut off"),
        file("another-version", "\0asm\x09\0\0\0", "not valid WebAssembly"),
        file("four-gigabytes", vec![0; (1 << 20) + 1], "max_file_bytes is 1048576"),
        file("command", assembled(r#"(module (func (export "_start")))"#), "command line"),
        file(
            "functions-of-no-type",
            assembled(r#"(module (func (export "describe")) (func (export "apply")))"#),
            "does not fit",
        ),
    ]
}

fn forged_imports() -> Vec<Crime> {
    let importing = |name, import: &'static str, said| {
        crime(Stage::Load, name, |name| Guest::typed(name, "").importing(import), said)
    };
    vec![
        importing("system-call", r#"(import "env" "system" (func (param i32)))"#, "env::system"),
        importing(
            "web-request",
            r#"(import "wasi:http/outgoing-handler@0.2.0" "handle" (func))"#,
            "wasi:http/outgoing-handler",
        ),
        importing(
            "file-of-newer-wasi",
            r#"(import "wasi:filesystem/types@0.3.0" "open" (func))"#,
            "wasi:filesystem/types@0.3.0",
        ),
        importing(
            "socket-of-newer-wasi",
            r#"(import "wasi:sockets/types@0.3.0" "connect" (func))"#,
            "wasi:sockets/types@0.3.0",
        ),
        importing(
            "clock-of-newer-wasi",
            r#"(import "wasi:clocks/system-clock@0.3.0" "now" (func))"#,
            "wasi:clocks/system-clock@0.3.0",
        ),
        importing(
            "random-of-newer-wasi",
            r#"(import "wasi:random/random@0.3.0" "get" (func))"#,
            "wasi:random/random@0.3.0",
        ),
        importing(
            "old-wasi-file",
            r#"(import "wasi_unstable" "path_open"
          (func))"#,
            "wasi_unstable::path_open",
        ),
        importing(
            "another-contract",
            r#"(import "lantern:plugin/read-model@0.2.0" "get" (func))"#,
            "lantern:plugin/read-model@0.2.0",
        ),
        importing(
            "invented-interface",
            r#"(import "lantern:plugin/admin@0.1.0" "shut-down" (func))"#,
            "lantern:plugin/admin",
        ),
        importing(
            "private-interface",
            r#"(import "lantern:host/stdio" "write" (func (param i32 i32 i32)))"#,
            "lantern:host/stdio",
        ),
        importing(
            "invented-function",
            r#"(import "lantern:plugin/read-model@0.1.0" "drop-table" (func))"#,
            "does not fit the world",
        ),
        importing(
            "forged-signature",
            r#"(import "lantern:plugin/log@0.1.0" "log" (func (param f64)))"#,
            "does not fit the world",
        ),
        importing("import-that-clears-the-screen", r#"(import "env" "\1b[2J\1b[H" (func))"#, "env:: [2J [H"),
        importing("forged-memory", r#"(import "env" "memory" (memory 1))"#, "env::memory"),
    ]
}

fn machine_dependent() -> Vec<Crime> {
    let with = |name, functions: &'static str, said| {
        crime(Stage::Load, name, |name| Guest::typed(name, "").with(functions), said)
    };
    let swizzle = "(func (param v128) (result v128) local.get 0 local.get 0 i8x16.relaxed_swizzle)";
    vec![
        with("relaxed-simd", swizzle, "relaxed SIMD"),
        with("shared-memory", "(memory 1 1 shared)", "threads"),
        with(
            "atomic-wait",
            "(func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))",
            "threads",
        ),
    ]
}

fn bombs() -> Vec<Crime> {
    let with =
        |name, functions: String, said| crime(Stage::Load, name, |name| Guest::typed(name, "").with(&functions), said);
    vec![
        with("compile-bomb", loops(2_000), "compiling it took more than"),
        with("many-locals", format!("(func (local {}))", "i64 ".repeat(60_000)), "not valid WebAssembly"),
        file("doubling-types", assembled(&doubling_types(30)), "not valid WebAssembly"),
        file("nested-components", nested_components(10_000), "not valid WebAssembly"),
    ]
}

/// Loops in loops, each of which hands a value on to the next: twice as many take a hundred times as long to compile.
fn loops(depth: usize) -> String {
    let (begin, end) = ("loop (param i32) (result i32) ", "local.get 0 br_if 0 end ");
    let inside = "i32.const 1 i32.add local.tee 0 local.get 0 br_if 0 ";
    format!(
        "(func (param i32)
      (result i32) local.get 0 {} {inside} {})",
        begin.repeat(depth),
        end.repeat(depth)
    )
}

/// Each type has the one before twice.
fn doubling_types(times: usize) -> String {
    let types: String =
        (1..=times).map(|n| format!("(type $t{n} (tuple $t{before} $t{before}))", before = n - 1)).collect();
    format!("(component (type $t0 (tuple u8 u8)) {types})")
}

/// Each component holds nothing but the next.
fn nested_components(depth: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    (0..depth).fold(HEADER.to_vec(), |inner, _| {
        let mut length = inner.len();
        let mut outer = [HEADER, &[4]].concat();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        [outer, inner].concat()
    })
}

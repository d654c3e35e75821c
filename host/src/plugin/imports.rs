//! What a plugin may import. Everything else is refused by name, before it is compiled.

use std::collections::BTreeSet;
use std::fmt;

use super::component::{Import, World};
use super::componentize::PREVIEW1;
use super::error::Problem;

/// The interfaces of the contract that every world may import.
const CONTRACT: [&str; 2] = ["events", "log"];

/// Those that projections may import besides.
const READ_MODEL: [&str; 3] = ["read-model", "read-model-writes", "schema"];

/// The parts of WASI 0.2 that have a deterministic answer, which mostly is "there is none".
const WASI: [&str; 27] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// Refuses imports that Lantern does not provide.
///
/// # Errors
/// [`Problem::ForbiddenImport`] with each of them, and with what to do about it.
pub(super) fn check(imports: &[Import], world: World) -> Result<(), Problem> {
    let forbidden: Vec<&Import> = imports.iter().filter(|import| !is_allowed(&import.interface, world)).collect();
    if forbidden.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<String> = forbidden.iter().map(|import| import.to_string()).collect();
    let hints: BTreeSet<&str> = forbidden.iter().map(|import| hint(&import.interface)).collect();
    let hint = hints.into_iter().collect::<Vec<_>>().join("\n      ");
    Err(Problem::ForbiddenImport { imports: names.into_iter().collect(), hint })
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.interface)?;
        self.item.as_ref().map_or(Ok(()), |item| write!(f, "::{item}"))
    }
}

fn is_allowed(interface: &str, world: World) -> bool {
    // Core modules may say in front which mangling of names they use.
    let interface = interface.strip_prefix("cm32p2|").unwrap_or(interface);
    if interface == PREVIEW1 {
        return true;
    }
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    match name.split_once(':') {
        Some(("lantern", name)) => {
            let provided = |name| CONTRACT.contains(&name) || world.is_projection() && READ_MODEL.contains(&name);
            is_release(version, "0.1") && name.strip_prefix("plugin/").is_some_and(provided)
        }
        Some(("wasi", name)) => is_release(version, "0.2") && WASI.contains(&name),
        _ => false,
    }
}

fn is_release(version: &str, line: &str) -> bool {
    version.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The change that avoids the import.
fn hint(interface: &str) -> &'static str {
    match interface {
        name if name.starts_with("lantern:plugin/read-model") => {
            "only projections have a read model; build a projection against the wit/ folder of this Lantern"
        }
        name if name.starts_with("lantern:plugin/") => {
            "build it against the wit/ folder of this Lantern: it was made for another version of the contract"
        }
        name if name.starts_with("wasi:http/") => {
            "wasi:http: a plugin has no network; componentize-js leaves it out with `-d http -d fetch-event`, jco with \
             `--disable http --disable fetch-event`, and componentize-qjs --sync does without"
        }
        name if name.starts_with("wasi:") && name.contains("@0.3") => "build it for WASI 0.2 or without WASI",
        name if name.starts_with("wasi:") => {
            "build it without this part of WASI: a plugin has only its read model and a log"
        }
        "wasi_unstable" | "wasi" => "build it with a toolchain for WASI preview 1 or for wasm32-unknown-unknown",
        "env" => {
            "env: link what the module leaves undefined; AssemblyScript: `--use abort=` takes away `env::abort`, C: no \
             `--allow-undefined`"
        }
        "__linear_memory" | "GOT.mem" | "GOT.func" => "link a whole module, without `-shared` and `-fPIC`",
        "gojs" | "go" => "gojs: build Go with `GOOS=wasip1 GOARCH=wasm` and `-buildmode=c-shared`, not with GOOS=js",
        name if name.contains("wbindgen") || name == "wbg" => "build it without wasm-bindgen: it is made for browsers",
        _ => "remove it: a plugin has only the imports of its world in wit/worlds.wit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(interface: &str) -> Import {
        Import { interface: interface.into(), item: None }
    }

    #[test]
    fn the_contract_and_deterministic_wasi_are_allowed() {
        for interface in ["lantern:plugin/read-model@0.1.0", "wasi:io/poll@0.2.3", PREVIEW1] {
            assert!(is_allowed(interface, World::Projection), "{interface} was refused");
        }
        for interface in [
            "lantern:plugin/log@0.10.0",
            "lantern:host/stdio",
            "wasi:http/types@0.2.0",
            "wasi:io/poll@0.3.0",
            "env",
            "wasi:io/poll",
        ] {
            assert!(!is_allowed(interface, World::Projection), "{interface} was taken");
        }
    }

    #[test]
    fn every_forbidden_import_is_named_once_with_advice() {
        let http = import("wasi:http/types@0.2.0");
        let function = Import { item: Some("fetch".into()), ..import("env") };
        let problem = check(&[http.clone(), import("wasi:io/poll@0.2.0"), function, http], World::Projection)
            .expect_err("was taken");
        assert!(problem.to_string().ends_with("env::fetch, wasi:http/types@0.2.0"), "{problem}");
        let Problem::ForbiddenImport { hint, .. } = problem else { panic!("{problem}") };
        assert!(hint.contains("-d http") && hint.contains("env: link"), "each has its advice: {hint}");
    }
}

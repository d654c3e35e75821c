//! What is in a plugin file, found out before anything of it is compiled or run: its form, its
//! world, and whether it asks for more than Lantern provides.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use wasmparser::{ComponentExternalKind, ComponentTypeRef, ExternalKind, Parser, Payload, Validator, WasmFeatures};

use super::componentize::PREVIEW1;
use super::error::Problem;
use super::imports;
use crate::code::ComponentDigest;

/// The worlds that Lantern runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    Projection,
    ColumnarProjection,
    ConflictResolver,
    Upcaster,
    Aggregate,
}

/// How the code is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Component,
    /// `described`: brings its own component metadata. `preview1`: imports WASI preview 1.
    CoreModule {
        described: bool,
        preview1: bool,
    },
}

/// What a plugin file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inspected {
    pub world: World,
    pub form: Form,
}

impl World {
    /// Its name in `wit/worlds.wit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::ColumnarProjection => "columnar-projection",
            Self::ConflictResolver => "conflict-resolver",
            Self::Upcaster => "upcaster",
            Self::Aggregate => "aggregate",
        }
    }

    /// Whether its plugins have a read model.
    pub fn is_projection(self) -> bool {
        matches!(self, Self::Projection | Self::ColumnarProjection)
    }
}

/// SHA-256 over the bytes of a plugin file.
pub fn digest(bytes: &[u8]) -> ComponentDigest {
    ComponentDigest(hex(&Sha256::digest(bytes)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The interfaces that a plugin file imports, in order, each once; none when it is no WebAssembly.
pub fn imported_interfaces(bytes: &[u8]) -> Vec<String> {
    let imports = Names::read(bytes).map(|names| names.imports).unwrap_or_default();
    let names: BTreeSet<String> = imports.into_iter().map(|import| import.interface).collect();
    names.into_iter().collect()
}

/// Whether a plugin file is an upcaster, or too broken to tell.
pub(super) fn may_upcast(bytes: &[u8]) -> bool {
    // Nothing has looked at the file yet: a panic over it must not end the one who looks at all files.
    let world = std::panic::catch_unwind(|| Names::read(bytes).ok()?.world().ok());
    world.ok().flatten().is_none_or(|world| world == World::Upcaster)
}

/// Looks at a plugin file without running anything of it.
///
/// # Errors
/// The first [`Problem`] found: not WebAssembly, torn, invalid, of another world, or with imports
/// that Lantern does not provide.
pub(super) fn inspect(bytes: &[u8]) -> Result<Inspected, Problem> {
    check_magic(bytes)?;
    let names = Names::read(bytes).map_err(|error| invalid(bytes, &error))?;
    Validator::new_with_features(features()).validate_all(bytes).map_err(|error| invalid(bytes, &error))?;
    let world = names.world()?;
    imports::check(&names.imports, world)?;
    let preview1 = names.imports.iter().any(|import| import.interface == PREVIEW1);
    let form = match names.component {
        true => Form::Component,
        false => Form::CoreModule { described: names.described, preview1 },
    };
    Ok(Inspected { world, form })
}

/// What WebAssembly may use. Whatever answers differently on different machines is off.
fn features() -> WasmFeatures {
    WasmFeatures::default() - WasmFeatures::RELAXED_SIMD - WasmFeatures::THREADS
}

fn check_magic(bytes: &[u8]) -> Result<(), Problem> {
    const MAGIC: &[u8] = b"\0asm";
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if start != &MAGIC[..start.len()] {
        let start = bytes[..bytes.len().min(8)].escape_ascii();
        return Err(Problem::NotWasm { start: format!("\"{start}\"") });
    }
    match bytes.len() {
        0..8 => Err(Problem::Truncated { bytes: bytes.len() }),
        _ => Ok(()),
    }
}

fn invalid(bytes: &[u8], error: &wasmparser::BinaryReaderError) -> Problem {
    // A part ends behind the end of the file, or is missing there.
    if error.message().contains("unexpected end") || error.offset() >= bytes.len() as u64 {
        return Problem::Truncated { bytes: bytes.len() };
    }
    Problem::Invalid { reason: format!("{} (at offset {})", error.message(), error.offset()) }
}

/// Something that a plugin imports: `interface` is `wasi:cli/exit@0.2.0`, `env`, ...; `item` is
/// the function, where the file says so at its outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub interface: String,
    pub item: Option<String>,
}

/// The names at the outside of a plugin.
struct Names {
    component: bool,
    described: bool,
    imports: Vec<Import>,
    exports: Vec<String>,
}

impl Names {
    fn read(bytes: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let component = Parser::is_component(bytes);
        let mut names = Self { component, described: false, imports: Vec::new(), exports: Vec::new() };
        // Modules and components inside this one have imports and exports of their own.
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                payload if depth == 1 => names.take(payload)?,
                _ => {}
            }
        }
        Ok(names)
    }

    fn take(&mut self, payload: Payload<'_>) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    // A type is no capability; it comes with an interface that is checked.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        self.imports.push(Import { interface: import.name.full_name().into_owned(), item: None });
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    if matches!(export.kind, ComponentExternalKind::Func | ComponentExternalKind::Instance) {
                        self.exports.push(export.name.full_name().into_owned());
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    self.imports.push(Import { interface: import.module.into(), item: Some(import.name.into()) });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if matches!(export.kind, ExternalKind::Func) {
                        // The standard mangling of names puts this before functions of the world.
                        let name = export.name.strip_prefix("cm32p2||").unwrap_or(export.name);
                        self.exports.push(name.into());
                    }
                }
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => self.described = true,
            _ => {}
        }
        Ok(())
    }

    fn exports(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export == name)
    }

    fn world(&self) -> Result<World, Problem> {
        let has = |names: &[&str]| self.exports("describe") && names.iter().all(|name| self.exports(name));
        let worlds = [
            (World::ColumnarProjection, has(&["apply", "flush"])),
            (World::Projection, has(&["apply"])),
            (World::ConflictResolver, has(&["resolve"])),
            (World::Upcaster, has(&["upcast"])),
            (World::Aggregate, has(&["evolve", "handle"])),
        ];
        let fitting = worlds.into_iter().find(|(_, fits)| *fits);
        fitting.map(|(world, _)| world).ok_or_else(|| Problem::WrongWorld { looks_like: self.looks_like() })
    }

    fn looks_like(&self) -> String {
        let starts = |name: &str| self.exports.iter().any(|export| export.starts_with(name));
        let known = [
            (starts("wasi:cli/run@") || self.exports("_start"), "the command line (a program with `main`)"),
            (starts("wasi:http/"), "the web (an HTTP handler)"),
        ];
        if let Some((_, world)) = known.iter().find(|(fits, _)| *fits) {
            return (*world).into();
        }
        let wanted: Vec<_> = ["describe", "apply"].into_iter().filter(|name| !self.exports(name)).collect();
        let exports: Vec<_> = self.exports.iter().take(8).map(|name| format!("`{name}`")).collect();
        let has = if exports.is_empty() { "nothing".into() } else { exports.join(", ") };
        format!("something unknown (it exports {has}, and lacks `{}`)", wanted.join("` and `"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("the fixture is valid")
    }

    fn problem(bytes: &[u8]) -> String {
        inspect(bytes).expect_err("was taken").to_string()
    }

    const PROJECTION: &str = r#"(module (import "lantern:plugin/log@0.1.0" "log" (func (param i32 i32 i32)))
        (func (export "describe") (result i32) i32.const 0)
        (func (export "apply") (param i32 i32) (result i32) i32.const 0))"#;

    #[test]
    fn a_core_module_is_known_by_what_it_exports() {
        let form = Form::CoreModule { described: false, preview1: false };
        assert_eq!(inspect(&module(PROJECTION)).expect("sound"), Inspected { world: World::Projection, form });
        let columnar =
            PROJECTION.replace("(func (export \"apply\")", "(func (export \"flush\")) (func (export \"apply\")");
        assert_eq!(inspect(&module(&columnar)).expect("sound").world, World::ColumnarProjection);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let whole = module(PROJECTION);
        for length in 0..whole.len() {
            // Cut between two sections the rest is a module, but then the exports are gone.
            let problem = problem(&whole[..length]);
            assert!(problem.contains("cut off") || problem.contains("something unknown"), "{length}: {problem}");
        }
        assert!(problem(&whole[..whole.len() - 1]).contains("cut off"));
    }

    #[test]
    fn a_file_that_is_no_wasm_is_named_by_its_start() {
        assert!(problem(b"#!/bin/sh\n").contains("starts with \"#!/bin/s\""));
        assert!(problem(b"(module)").contains("not WebAssembly"));
    }

    #[test]
    fn another_world_is_named() {
        let world =
            |name: &str| problem(&module(&format!("(module (func (export \"describe\")) (func (export \"{name}\")))")));
        assert!(world("_start").contains("command line"));
        assert!(world("greet").contains("`describe`, `greet`, and lacks `apply`"), "{}", world("greet"));
    }

    #[test]
    fn what_answers_differently_on_other_machines_is_refused() {
        let swizzle = "(func (param v128) (result v128) local.get 0 local.get 0 i8x16.relaxed_swizzle)";
        let relaxed =
            PROJECTION.replace("(func (export \"describe\")", &format!("{swizzle} (func (export \"describe\")"));
        assert!(problem(&module(&relaxed)).contains("relaxed SIMD"), "{}", problem(&module(&relaxed)));
        let shared =
            PROJECTION.replace("(func (export \"describe\")", "(memory 1 1 shared) (func (export \"describe\")");
        assert!(problem(&module(&shared)).contains("threads"), "{}", problem(&module(&shared)));
    }

    #[test]
    fn a_digest_is_the_files_sha_256() {
        assert_eq!(digest(b"abc").short(), "ba7816bf8f01");
    }
}

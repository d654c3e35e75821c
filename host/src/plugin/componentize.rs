//! Core modules into components, with Lantern's own adapter for WASI preview 1. Runs where plugins
//! are compiled: in a process that may be killed.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, SourceMap};

use super::component::{Form, World};

pub(super) const ADAPTER: &str = include_str!("adapter.wat");

/// The module name that core modules import WASI preview 1 by.
pub(super) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The contract, and what the adapter needs besides.
pub(super) const WIT: [(&str, &str); 4] = [
    ("events.wit", include_str!("../../../wit/events.wit")),
    ("read-model.wit", include_str!("../../../wit/read-model.wit")),
    ("log.wit", include_str!("../../../wit/log.wit")),
    ("worlds.wit", include_str!("../../../wit/worlds.wit")),
];
pub(super) const ADAPTER_WIT: &str = include_str!("adapter.wit");

/// A component with the same code. A component stays as it is.
///
/// # Errors
/// When the module's functions do not have the types that its world asks for.
pub(super) fn componentize(bytes: Vec<u8>, world: World, form: Form) -> anyhow::Result<Vec<u8>> {
    let Form::CoreModule { described, preview1 } = form else { return Ok(bytes) };
    let mut module = bytes;
    if !described {
        let mut resolve = Resolve::default();
        let package = push(&mut resolve, &WIT)?;
        embed(&mut module, &resolve, (package, world.name()))?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module)?;
    if preview1 {
        encoder.adapter(PREVIEW1, &adapter()?)?;
    }
    encoder.encode()
}

fn adapter() -> anyhow::Result<Vec<u8>> {
    let mut adapter = wat::parse_str(ADAPTER)?;
    let mut resolve = Resolve::default();
    let package = push(&mut resolve, &[("adapter.wit", ADAPTER_WIT)])?;
    embed(&mut adapter, &resolve, (package, "adapter"))?;
    Ok(adapter)
}

fn push(resolve: &mut Resolve, files: &[(&str, &str)]) -> anyhow::Result<PackageId> {
    let mut sources = SourceMap::default();
    for (name, text) in files {
        sources.push_str(name, *text);
    }
    let group = sources.parse().map_err(|(_, error)| anyhow::anyhow!("{error}"))?;
    Ok(resolve.push_group(group)?)
}

fn embed(module: &mut Vec<u8>, resolve: &Resolve, (package, world): (PackageId, &str)) -> anyhow::Result<()> {
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(module, resolve, world, StringEncoding::UTF8, false)
}

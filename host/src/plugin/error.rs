//! What can be wrong with a plugin, in words for the person who put the file there.

use std::time::Duration;

use super::log::printable;

/// Why a plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The plugin host itself cannot work.
    #[error("plugins cannot be loaded: {reason}")]
    Start { reason: String },
    /// This file was not taken.
    #[error("plugin {}: {}", .file.escape_debug(), printable(&problem.to_string()))]
    Rejected { file: String, problem: Problem },
}

/// What is wrong with a plugin file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("it is not WebAssembly: it starts with {start}")]
    NotWasm { start: String },
    #[error("it is cut off after {bytes} bytes")]
    Truncated { bytes: usize },
    #[error("it has {bytes} bytes; at most {limit} are allowed")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("it is not valid WebAssembly: {reason}")]
    Invalid { reason: String },
    #[error(
        "it is built for {looks_like}, not for one of Lantern's worlds projection, columnar-projection, conflict-resolver, upcaster and aggregate"
    )]
    WrongWorld { looks_like: String },
    #[error("it imports what Lantern does not provide: {}", .imports.join(", "))]
    ForbiddenImport { imports: Vec<String>, hint: String },
    #[error("it does not fit the world {world}: {reason}")]
    Mismatch { world: &'static str, reason: String },
    #[error("compiling it took more than {} s of processor time, or four times as long on the clock, and was stopped", .limit.as_secs())]
    CompileTooSlow { limit: Duration },
    #[error("compiling it needed more than {limit_mib} MiB of memory and was stopped")]
    CompileTooLarge { limit_mib: u64 },
    #[error("it could not be compiled: {reason}")]
    Compile { reason: String },
    /// The machine's fault, not the plugin's.
    #[error("the compiler could not be run: {reason}")]
    Compiler { reason: String },
    #[error("`describe` failed: {reason}")]
    Describe { reason: String },
    #[error("its description is not allowed: {reason}")]
    Description { reason: String },
}

impl PluginError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Start { .. } => {
                "check the plugin folder, its cache folder and the limits in the configuration".into()
            }
            Self::Rejected { problem, .. } => problem.hint(),
        }
    }

    /// What is wrong, without the file's name.
    pub fn reason(&self) -> String {
        match self {
            Self::Start { .. } => self.to_string(),
            Self::Rejected { problem, .. } => printable(&problem.to_string()),
        }
    }

    /// The plugin's file, where there is one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Start { .. } => None,
            Self::Rejected { file, .. } => Some(file),
        }
    }
}

impl Problem {
    fn hint(&self) -> String {
        match self {
            Self::NotWasm { .. } => "copy the built .wasm file, not its source or an archive".into(),
            Self::Truncated { .. } => {
                "copy the file again, best under another name and then renamed, so that it appears whole".into()
            }
            Self::TooLarge { .. } => "strip debug information, or raise max_file_bytes".into(),
            Self::Invalid { .. } => {
                "build it again; relaxed SIMD and threads must be off, because they are not deterministic".into()
            }
            Self::WrongWorld { .. } => {
                "export `describe` and what else its world asks for, such as `apply`, as wit/worlds.wit declares them"
                    .into()
            }
            Self::ForbiddenImport { hint, .. } => hint.clone(),
            Self::Mismatch { .. } => {
                "build it against the wit/ folder of this Lantern and compare its functions with wit/worlds.wit".into()
            }
            Self::CompileTooSlow { .. } => {
                "look for very large or deeply nested functions, or raise compile_seconds".into()
            }
            Self::CompileTooLarge { .. } => "make the plugin smaller, or raise compile_memory_mib".into(),
            Self::Compile { reason } if reason.contains("async") => {
                "Lantern calls a plugin and waits for its answer: build it without asynchronous support \
                 (componentize-qjs: --sync)"
                    .into()
            }
            Self::Compile { .. } => "build it with a current toolchain for WebAssembly".into(),
            Self::Compiler { .. } => {
                "check free disk space and the rights of the cache folder, then take the file away and put it back"
                    .into()
            }
            Self::Describe { .. } => {
                "the plugin's log has its own words; `describe` must answer at once and may not use the read model"
                    .into()
            }
            Self::Description { .. } => "correct what `describe` answers; wit/read-model.wit has the rules".into(),
        }
    }
}

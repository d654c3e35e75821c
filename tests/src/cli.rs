//! The command line as a person or a script uses it.

use std::ffi::OsStr;
use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use crate::binary::lantern;

/// `lantern` with the address of one daemon.
#[derive(Clone, Debug)]
pub struct Cli {
    server: String,
    environment: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    pub fn new(server: &str) -> Self {
        Self { server: server.to_owned(), environment: Vec::new() }
    }

    /// With one more variable in the environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("lantern can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs a command that has to work, and returns what it printed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.code, Some(0), "lantern {}: {output:?}", arguments.join(" "));
        output.stdout
    }

    /// As [`Self::ok`], with `--json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Runs a command for a person to see.
    pub fn show(&self, arguments: &[&str]) -> ExitStatus {
        self.command(arguments).status().expect("lantern can be run")
    }

    /// Starts a command without waiting for it; it prints nowhere.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("lantern can be run")
    }

    /// Starts a command whose output goes to a file.
    pub fn start_into(&self, arguments: &[&str], output: File) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stderr(output.try_clone().expect("a file has a copy")).stdout(output);
        command.spawn().expect("lantern can be run")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare_lantern();
        command.env("LANTERN_SERVER", &self.server).envs(self.environment.iter().cloned()).args(arguments);
        command
    }
}

/// `lantern` without any setting that the environment may hold.
pub(crate) fn bare_lantern() -> Command {
    let mut command = Command::new(lantern());
    for (name, _) in std::env::vars_os() {
        if is_setting(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn is_setting(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("LANTERN_")
}

//! A real daemon on a free port, in a folder of its own that goes with it. It can be stopped, killed and started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;
use crate::cli::{Cli, bare_lantern};
use crate::wait::{eventually, eventually_ok};

/// One data folder and the daemon on it.
#[derive(Debug)]
pub struct TestHost {
    folder: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    server: String,
}

impl TestHost {
    /// Starts a daemon with the default settings.
    pub fn start() -> Self {
        Self::with_settings("")
    }

    /// Starts a daemon with these settings, written as in `host/config.example.toml`.
    pub fn with_settings(toml: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("lantern-").tempdir().expect("a folder can be made");
        fs::write(folder.path().join("lantern.toml"), toml).expect("the settings can be written");
        let mut host = Self { folder, running: None };
        fs::create_dir_all(host.plugin_folder()).expect("the plugin folder can be made");
        host.start_again();
        host
    }

    /// Starts a daemon on the folder of one that has ended.
    ///
    /// # Panics
    /// When one is running, or the new one does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        if let Err(status) = self.launch(None) {
            panic!("the daemon ended at its start ({status}):\n{}", self.log());
        }
    }

    /// As [`Self::start_again`], for a daemon that crashes at `point`: the name of a place in its source, or `NAME:N` for
    /// the N-th time that it gets there. Answers whether it came so far as to listen.
    #[track_caller]
    pub fn start_again_to_crash_at(&mut self, point: &str) -> bool {
        self.launch(Some(point)).is_ok()
    }

    #[track_caller]
    fn launch(&mut self, crash_at: Option<&str>) -> Result<(), ExitStatus> {
        assert!(self.running.is_none(), "the daemon runs already");
        let printed = self.folder.path().join("stdout");
        let output = fs::File::create(&printed).expect("a file can be made");
        let log = fs::File::options().create(true).append(true).open(self.log_file()).expect("a file can be made");
        let mut command = bare_lantern();
        command.args(["serve", "--json", "--config"]).arg(self.folder.path().join("lantern.toml"));
        command.arg("--data-dir").arg(self.data_folder()).args(["--listen", "127.0.0.1:0"]);
        command.envs(crash_at.map(|point| ("LANTERN_CRASH_AT", point)));
        let mut process = command.stdout(output).stderr(log).spawn().expect("lantern can be run");
        let server = eventually("the daemon says where it listens", || {
            let ended = process.try_wait().expect("the process is ours");
            let address = address(&fs::read_to_string(&printed).unwrap_or_default());
            ended.map(Err).or(address.map(Ok))
        })?;
        self.running = Some(Running { process, server });
        Ok(())
    }

    /// Stops the daemon as an operator does, and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        let mut running = self.take_running();
        kill_process(Pid::from_child(&running.process), Signal::TERM).expect("the process is there");
        running.process.wait().expect("the process is ours")
    }

    /// Ends the daemon in the middle of whatever it does.
    pub fn kill(&mut self) {
        let mut running = self.take_running();
        running.process.kill().expect("the process is there");
        running.process.wait().expect("the process is ours");
    }

    /// Whether the daemon has ended, by itself or because it was stopped or killed.
    pub fn has_ended(&mut self) -> bool {
        self.running.take_if(|running| running.process.try_wait().expect("the process is ours").is_some());
        self.running.is_none()
    }

    /// Leaves the folder behind when the test is over, and answers where it is.
    pub fn keep_folder(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    pub fn api(&self) -> Api {
        Api::new(self.server())
    }

    pub fn cli(&self) -> Cli {
        Cli::new(self.server())
    }

    /// The address of the running daemon.
    #[track_caller]
    pub fn server(&self) -> &str {
        &self.running.as_ref().expect("the daemon runs").server
    }

    /// The id of the running daemon's process.
    #[track_caller]
    pub fn process_id(&self) -> u32 {
        self.running.as_ref().expect("the daemon runs").process.id()
    }

    /// Where a test can put its own files, too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn plugin_folder(&self) -> PathBuf {
        self.data_folder().join("plugins")
    }

    /// Everything the daemons of this folder have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Copies a file into the plugin folder, as `cp` does.
    pub fn drop_in(&self, file: &str, content: &[u8]) {
        fs::write(self.plugin_folder().join(file), content).expect("the plugin folder is there");
    }

    /// Deletes a file of the plugin folder.
    pub fn take_out(&self, file: &str) {
        fs::remove_file(self.plugin_folder().join(file)).expect("the file is there");
    }

    /// Waits until every projection has applied everything that is in the log now.
    #[track_caller]
    pub fn wait_until_live(&self, projection: &str) -> Value {
        let head = self.head();
        self.wait_until(projection, &format!("is live at {head}"), |status| {
            status["state"] == "live" && status["position"].as_u64() >= Some(head)
        })
    }

    /// Waits until a projection is there and stands as wanted.
    #[track_caller]
    pub fn wait_until(&self, projection: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let api = self.api();
        eventually_ok(&format!("{projection} {what}"), || match api.find_projection(projection) {
            Some(status) if wanted(&status) => Ok(status),
            seen => Err(seen.unwrap_or_default().to_string()),
        })
    }

    /// Waits until a file of the plugin folder is in this state, and returns what is known of it.
    #[track_caller]
    pub fn wait_for_plugin(&self, file: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let api = self.api();
        eventually_ok(&format!("{file} {what}"), || match api.plugin(file) {
            Some(plugin) if wanted(&plugin) => Ok(plugin),
            seen => Err(seen.unwrap_or_default().to_string()),
        })
    }

    /// The position of the last event in the log.
    #[track_caller]
    pub fn head(&self) -> u64 {
        self.api().get("/events?limit=1").expect(200)["head"].as_u64().expect("the log has a head")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    #[track_caller]
    fn take_running(&mut self) -> Running {
        self.running.take().expect("the daemon runs")
    }
}

/// The address in the line that `serve` prints when it takes requests.
fn address(printed: &str) -> Option<String> {
    let line: Value = serde_json::from_str(printed).ok()?;
    Some(line["address"].as_str()?.to_owned())
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // It may have died, which is then what the test is about.
            let _ = running.process.kill();
            let _ = running.process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the daemon's last words ---\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

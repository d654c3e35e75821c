//! Settings of the daemon: defaults, then a TOML file, then the environment, then flags; the later one wins. Owns the
//! names, units and defaults of all settings. Knows no other module: `cli/serve.rs` hands the values to those who
//! need them.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use serde_json::Value;

mod sections;
pub use sections::{
    Aggregates, Config, Conflicts, Daemon, Events, Http, Log, LogFormat, Plugins, Projections, Queries, Snapshots,
};

/// Every setting with its default and what it means.
pub const EXAMPLE: &str = include_str!("../config.example.toml");

/// Starts the names of environment variables: `LANTERN_HTTP__LISTEN` is `listen` in `[http]`.
const PREFIX: &str = "LANTERN_";

/// The only numbers that may be 0; others would stop the daemon from doing anything.
const MAY_BE_ZERO: [&str; 4] =
    ["events.shared_scan_mib", "events.seal_after_events", "events.rare_percent", "projections.retries"];

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// One sentence for each setting that is wrong.
    #[error("{}", .0.join("\nerror: "))]
    Wrong(Vec<String>),
}

/// A setting given as a flag: its full name, for example `http.listen`, and its value.
pub type Flag = (&'static str, String);

impl Config {
    /// Reads the file, if one is named, and the environment, and checks everything.
    ///
    /// # Errors
    /// Names every unknown setting and every wrong value, and where it stands.
    pub fn load(file: Option<&Path>, flags: Vec<Flag>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            std::fs::metadata(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        // Names without a section are not settings: orchestrators set variables like LANTERN_PORT on their own.
        figment = figment.merge(Env::prefixed(PREFIX).filter(|name| name.as_str().contains("__")).split("__"));
        for (name, value) in flags {
            figment = figment.merge(Serialized::default(name, value));
        }
        let config: Self = figment
            .extract()
            .map_err(|error| ConfigError::Wrong(error.into_iter().map(|error| sentence(&error)).collect()))?;
        config.check()?;
        Ok(config)
    }

    /// The folder that is watched for plugins; inside of the data folder, if none is set.
    pub fn plugins_dir(&self) -> PathBuf {
        self.daemon.plugins_dir.clone().unwrap_or_else(|| self.daemon.data_dir.join("plugins"))
    }

    /// The file of the tokens; inside of the data folder, if none is set.
    pub fn tokens_file(&self) -> PathBuf {
        self.http.tokens_file.clone().unwrap_or_else(|| self.daemon.data_dir.join("tokens"))
    }

    /// All settings as TOML, with their meaning: [`EXAMPLE`] with these values.
    pub fn to_toml(&self) -> String {
        let mut values = self.values();
        values["daemon"]["plugins_dir"] = self.plugins_dir().to_string_lossy().into();
        let mut section = String::new();
        let mut toml = String::new();
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name.to_owned();
            }
            match key(line).and_then(|key| Some((key, values[&section].get(key)?))) {
                // A JSON string, number, boolean or list of them is the same in TOML, which has no null.
                Some((key, value)) if !value.is_null() => toml += &format!("{key} = {value}\n"),
                _ => toml += &format!("{line}\n"),
            }
        }
        toml
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut wrong = Vec::new();
        for (section, settings) in self.values().as_object().into_iter().flatten() {
            for (key, value) in settings.as_object().into_iter().flatten() {
                let name = format!("{section}.{key}");
                if value.as_f64() == Some(0.0) && !MAY_BE_ZERO.contains(&name.as_str()) {
                    wrong.push(format!("the setting {name} is 0; it must be at least 1"));
                }
            }
        }
        if self.http.tls_certificate.is_some() != self.http.tls_key.is_some() {
            wrong.push(
                "the settings http.tls_certificate and http.tls_key belong together; set both or none".to_owned(),
            );
        }
        for name in misspelt_variables() {
            wrong.push(name);
        }
        if wrong.is_empty() { Ok(()) } else { Err(ConfigError::Wrong(wrong)) }
    }

    fn values(&self) -> Value {
        // Structs of plain values always have a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The key of a line that sets one, also when it is commented out.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(key)
}

/// Variables like LANTERN_HTTP_LISTEN, which would be passed over for want of a second underscore.
fn misspelt_variables() -> Vec<String> {
    let sections: Vec<&str> = EXAMPLE.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')).collect();
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    variables.filter_map(|name| misspelt(&name, &sections)).collect()
}

fn misspelt(variable: &str, sections: &[&str]) -> Option<String> {
    let name = variable.strip_prefix(PREFIX).filter(|name| !name.contains("__"))?;
    let (section, key) = sections.iter().find_map(|section| {
        let key = name.strip_prefix(&section.to_uppercase())?.strip_prefix('_')?;
        Some((section.to_uppercase(), key))
    })?;
    Some(format!("the variable {variable} is no setting; two underscores follow the section: {PREFIX}{section}__{key}"))
}

/// One wrong setting as a sentence: what, where, and what would be right.
fn sentence(error: &figment::Error) -> String {
    let path = error.path.join(".");
    let place = error.metadata.as_ref().map(place).unwrap_or_default();
    match &error.kind {
        Kind::UnknownField(name, known) => {
            let inner = error.path.last().filter(|last| *last != name).map(|_| format!("{path}.{name}"));
            let name = inner.unwrap_or(if path.is_empty() { name.clone() } else { path });
            format!("there is no setting {name}{place}; known there: {}", known.join(", "))
        }
        kind => format!("the setting {path}{place} is wrong: {kind}"),
    }
}

fn place(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => format!(" in {}", path.display()),
        _ if metadata.name.contains("environment") => " in the environment".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<Config, String> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Config::load(Some(file.path()), Vec::new())
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn the_example_is_the_default() {
        assert_eq!(toml(EXAMPLE), Ok(Config::default()));
    }

    #[test]
    fn the_example_has_every_setting_and_says_what_each_means() {
        let mut section = "";
        let mut found = Vec::new();
        let lines: Vec<&str> = EXAMPLE.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            }
            if let Some(key) = key(line) {
                found.push(format!("{section}.{key}"));
                assert!(index > 0 && lines[index - 1].starts_with("# "), "{section}.{key} has no comment");
            }
        }
        let values = Config::default().values();
        let sections = values.as_object().expect("sections").iter();
        let mut expected: Vec<String> = sections
            .flat_map(|(section, keys)| {
                keys.as_object().expect("keys").keys().map(move |key| format!("{section}.{key}"))
            })
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn printed_settings_read_back_as_the_same() {
        let flags = vec![("http.listen", "127.0.0.1:0".to_owned()), ("daemon.data_dir", "a \"b\"".to_owned())];
        let config = Config::load(None, flags).expect("valid");
        let printed = config.to_toml();
        assert!(printed.contains("plugins_dir = \"a \\\"b\\\"/plugins\""), "{printed}");
        let mut again = toml(&printed).expect("valid");
        assert_eq!(again.daemon.plugins_dir.take(), Some(config.plugins_dir()));
        assert_eq!(again, config);
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[http]\nlisten = \"127.0.0.1:1\"\nmax_connections = 7\n").expect("written");
        let config = Config::load(Some(file.path()), vec![("http.listen", "127.0.0.1:2".into())]).expect("valid");
        assert_eq!((config.http.listen.port(), config.http.max_connections), (2, 7));
        assert_eq!(config.daemon, Daemon::default());
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        let error = toml("[http]\nlisten_on = \"127.0.0.1:1\"\n").expect_err("unknown");
        assert!(error.starts_with("there is no setting http.listen_on in FILE; known there: listen"), "{error}");
        let error = toml("[htp]\nlisten = 1\n").expect_err("unknown");
        assert!(error.starts_with("there is no setting htp in FILE; known there: daemon"), "{error}");
    }

    #[test]
    fn wrong_values_are_named_with_their_setting() {
        let error = toml("[http]\nmax_connections = \"many\"\n").expect_err("no number");
        assert!(error.contains("the setting http.max_connections in FILE is wrong: invalid type"), "{error}");
        let error = toml("[projections]\nbatch_events = 0\nretries = 0\n").expect_err("zero");
        assert_eq!(error, "the setting projections.batch_events is 0; it must be at least 1");
        let error = toml("[http]\ntls_key = \"key.pem\"\n").expect_err("half");
        assert!(error.contains("belong together"), "{error}");
        assert!(toml("[http\n").expect_err("no TOML").contains("FILE"));
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let error = Config::load(Some(Path::new("/no/such/lantern.toml")), Vec::new()).expect_err("missing");
        assert!(error.to_string().contains("/no/such/lantern.toml"));
    }

    #[test]
    fn a_variable_with_one_underscore_is_not_passed_over() {
        let sections = ["http", "log"];
        let sentence = misspelt("LANTERN_HTTP_LISTEN", &sections).expect("misspelt");
        assert!(sentence.ends_with("LANTERN_HTTP__LISTEN"), "{sentence}");
        for fine in
            ["LANTERN_HTTP__LISTEN", "LANTERN_SERVER", "LANTERN_PORT_7171_TCP", "HTTP_LISTEN", "LANTERN_HTTPS_X"]
        {
            assert_eq!(misspelt(fine, &sections), None, "{fine}");
        }
    }
}

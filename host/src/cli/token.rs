//! `lantern token`: makes, lists and revokes the tokens of a daemon. Works on the tokens file itself, so that the first
//! token needs none.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{self, Format};
use crate::access::{Scope, Tokens, create_token, revoke_token};
use crate::config::Config;

#[derive(Subcommand)]
pub enum Token {
    /// Make a token and print it, this one time
    ///
    /// With the first token, the daemon asks everyone for one. It need not be started again.
    Create(Create),
    /// List the names and scopes of all tokens
    List(Place),
    /// Let nobody in with a token any more
    Revoke(Revoke),
}

#[derive(Args)]
pub struct Create {
    /// Who or what will use it, for example order-service
    name: String,
    /// What it may do: read, append, or admin, which includes both; several between commas
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Revoke {
    /// Name of the token
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Where the tokens file lies: as for `lantern serve`.
#[derive(Args)]
pub struct Place {
    /// TOML file with the settings of the daemon
    #[arg(long, env = "LANTERN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the log and the tokens [default: lantern-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
}

impl Place {
    fn tokens_file(&self) -> anyhow::Result<PathBuf> {
        let flags = self.data_dir.iter().map(|folder| ("daemon.data_dir", folder.clone())).collect();
        Ok(Config::load(self.config.as_deref(), flags)?.tokens_file())
    }
}

impl Token {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(format)?,
            Self::List(place) => list(&Tokens::read(&place.tokens_file()?)?, format)?,
            Self::Revoke(revoke) => {
                revoke_token(&revoke.place.tokens_file()?, &revoke.name)?;
                match format {
                    Format::Json => output::print(json!({ "revoked": revoke.name }))?,
                    Format::Person => output::print(format_args!("{} is revoked", revoke.name))?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    fn run(&self, format: Format) -> anyhow::Result<()> {
        let file = self.place.tokens_file()?;
        let token = create_token(&file, &self.name, &self.scopes)?;
        match format {
            Format::Json => output::print(json!({ "name": self.name, "scopes": words(&self.scopes), "token": token }))?,
            Format::Person => {
                // Only the token goes to standard output: TOKEN=$(lantern token create ...) holds nothing else.
                output::print(token)?;
                eprintln!(
                    "{} may {}. Keep the token: {} has only its hash.",
                    self.name,
                    may(&self.scopes),
                    file.display()
                );
                eprintln!("Use it with LANTERN_TOKEN or --token, or in the header Authorization: Bearer TOKEN.");
            }
        }
        Ok(())
    }
}

fn list(tokens: &Tokens, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        let tokens = tokens.iter().map(|token| json!({ "name": token.name, "scopes": words(&token.scopes) }));
        return Ok(output::print(Value::from_iter(tokens))?);
    }
    if tokens.iter().next().is_none() {
        return Ok(output::print("no tokens")?);
    }
    let mut table = output::table(["NAME", "SCOPES"]);
    for token in tokens.iter() {
        table.add_row([&token.name, &token.scope_list()]);
    }
    Ok(output::print_table(&table)?)
}

fn words(scopes: &[Scope]) -> Vec<&'static str> {
    scopes.iter().map(|scope| scope.as_str()).collect()
}

fn may(scopes: &[Scope]) -> String {
    if scopes.contains(&Scope::Admin) { "do everything".to_owned() } else { words(scopes).join(" and ") }
}

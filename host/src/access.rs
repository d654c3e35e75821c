//! Who may use the API: tokens with scopes. Knows the file that keeps them, which holds no token,
//! only what a token can be recognised by.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Lets people and scanners see what a leaked token belongs to.
const TOKEN_PREFIX: &str = "lantern_";
/// A larger file is refused.
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_NAME_LETTERS: usize = 64;
const FIRST_LINE: &str =
    "# Tokens of Lantern's API: name, scopes, SHA-256 of the token. `lantern token` writes this file.\n";

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// See events, read models, projections, plugins and figures.
    Read,
    /// Append and import events.
    Append,
    /// Control projections, and everything else.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Read, Self::Append, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scope = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        scope.ok_or_else(|| format!("{text:?} is no scope; there are read, append and admin"))
    }
}

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot use the tokens file {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("line {line} of the tokens file {} is wrong: {reason}", path.display())]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("{0:?} is no name for a token: write up to {MAX_NAME_LETTERS} letters, digits, -, _ or .")]
    Name(String),
    #[error("there is a token {0:?} already; revoke it, or choose another name")]
    Exists(String),
    #[error("there is no token {name:?}; {}", list(known))]
    Unknown { name: String, known: Vec<String> },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "there is none at all".to_owned() } else { format!("there are {}", known.join(", ")) }
}

/// A token as its file has it: enough to recognise it, not enough to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub scopes: Vec<Scope>,
    sha256: [u8; 32],
}

impl Token {
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// The scopes between commas.
    pub fn scope_list(&self) -> String {
        self.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
    }

    fn line(&self) -> String {
        format!("{} {} {}\n", self.name, self.scope_list(), hex(&self.sha256))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, scopes, sha256] = words[..] else {
            return Err("write a name, scopes between commas, and a SHA-256".into());
        };
        let sha256 = from_hex(sha256).ok_or("the SHA-256 has to be 64 hexadecimal digits")?;
        let scopes = scopes.split(',').map(Scope::from_str).collect::<Result<_, _>>()?;
        check_name(name).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), scopes, sha256 })
    }
}

/// The tokens of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Reads a file; one that is not there holds no token.
    ///
    /// # Errors
    /// When it cannot be read, or names the line that is wrong.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        Self::parse(&text(path)?, path)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }

    /// The token that someone shows. Compares in a time that says nothing about what would match.
    pub fn find(&self, shown: &str) -> Option<&Token> {
        let sha256: [u8; 32] = Sha256::digest(shown).into();
        self.0.iter().find(|token| token.sha256.ct_eq(&sha256).into())
    }

    fn parse(text: &str, path: &Path) -> Result<Self, AccessError> {
        let mut tokens: Vec<Token> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason| AccessError::Line { path: path.to_owned(), line: index + 1, reason };
            let token: Token = line.parse().map_err(wrong)?;
            if tokens.iter().any(|other| other.name == token.name) {
                return Err(wrong(format!("the name {:?} is used twice", token.name)));
            }
            tokens.push(token);
        }
        Ok(Self(tokens))
    }
}

/// Adds a token to a file, which is made if need be, and returns it: nobody can show it again.
///
/// # Errors
/// When the name cannot be taken, or the file cannot be changed; it is then as before.
pub fn create_token(path: &Path, name: &str, scopes: &[Scope]) -> Result<String, AccessError> {
    check_name(name)?;
    change(path, |text, tokens| {
        if tokens.iter().any(|token| token.name == name) {
            return Err(AccessError::Exists(name.to_owned()));
        }
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).map_err(|error| failed(path)(io::Error::other(error)))?;
        let shown = format!("{TOKEN_PREFIX}{}", hex(&random));
        let token = Token { name: name.to_owned(), scopes: scopes.to_vec(), sha256: Sha256::digest(&shown).into() };
        let text = if text.is_empty() { FIRST_LINE } else { text };
        let separator = if text.ends_with('\n') { "" } else { "\n" };
        Ok((format!("{text}{separator}{}", token.line()), shown))
    })
}

/// Takes a token out of a file.
///
/// # Errors
/// When there is no token of this name, or the file cannot be changed.
pub fn revoke_token(path: &Path, name: &str) -> Result<(), AccessError> {
    change(path, |text, tokens| {
        if !tokens.iter().any(|token| token.name == name) {
            let known = tokens.iter().map(|token| token.name.clone()).collect();
            return Err(AccessError::Unknown { name: name.to_owned(), known });
        }
        let kept = text.lines().filter(|line| line.split_whitespace().next() != Some(name));
        Ok((kept.map(|line| format!("{line}\n")).collect(), ()))
    })
}

/// Puts a new file in the place of the old one, one change at a time.
fn change<T>(
    path: &Path,
    change: impl FnOnce(&str, &Tokens) -> Result<(String, T), AccessError>,
) -> Result<T, AccessError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed(path))?;
    let one_at_a_time = File::open(folder).map_err(failed(path))?;
    one_at_a_time.lock().map_err(failed(path))?;
    let text = text(path)?;
    let (text, result) = change(&text, &Tokens::parse(&text, path)?)?;
    // Only its owner may read and write the new file.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed(path))?;
    file.write_all(text.as_bytes()).map_err(failed(path))?;
    file.as_file().sync_all().map_err(failed(path))?;
    file.persist(path).map_err(|error| failed(path)(error.error))?;
    one_at_a_time.sync_all().map_err(failed(path))?;
    Ok(result)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> AccessError {
    move |source| AccessError::File { path: path.to_owned(), source }
}

/// The file as it is; nothing when it is not there.
fn text(path: &Path) -> Result<String, AccessError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Ok(file) if file.len() > MAX_FILE_BYTES => {
            return Err(failed(path)(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes"))));
        }
        _ => {}
    }
    fs::read_to_string(path).map_err(failed(path))
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=MAX_NAME_LETTERS).contains(&name.len()) && name.bytes().all(is_letter);
    if is_name { Ok(()) } else { Err(AccessError::Name(name.to_owned())) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.bytes().map(|byte| (byte as char).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    if text.len() == 64 { bytes.try_into().ok() } else { None }
}

/// Who may use the API right now: the file is looked at on every question, so that a new token
/// counts and a revoked one does not, without a restart.
#[derive(Clone, Debug)]
pub struct Access(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    path: PathBuf,
    /// Once tokens are asked for, a file that goes away does not open the API again.
    asks: bool,
    /// What the tokens were read from.
    seen: Option<Seen>,
    tokens: Result<Arc<Tokens>, String>,
}

/// Device, inode, time of the last change in seconds and nanoseconds, and size.
type Seen = (u64, u64, i64, i64, u64);

impl Access {
    /// Everyone may do everything until there is a file at `path`; `asks` is for a file that has to be there.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or has to be there and is not.
    pub fn open(path: &Path, asks: bool) -> Result<Self, AccessError> {
        let tokens = Arc::new(Tokens::read(path)?);
        if asks && !path.exists() {
            return Err(failed(path)(io::Error::new(
                ErrorKind::NotFound,
                "it is not there; `lantern token create NAME --scope admin` makes it",
            )));
        }
        let known = Known { path: path.to_owned(), asks, seen: None, tokens: Ok(tokens) };
        Ok(Self(Arc::new(Mutex::new(known))))
    }

    /// The tokens of which a request needs one; none when everyone may do everything. Looks at the
    /// file, and reads it when it is another one.
    ///
    /// # Errors
    /// Why the tokens cannot be read; nobody may do anything then.
    pub fn tokens(&self) -> Result<Option<Arc<Tokens>>, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match fs::metadata(&known.path) {
            Ok(file) => Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&known.path)(error).to_string()),
        };
        if seen != known.seen {
            known.asks |= seen.is_some();
            known.seen = seen;
            known.tokens = Tokens::read(&known.path).map(Arc::new).map_err(|error| error.to_string());
            match &known.tokens {
                Ok(tokens) => tracing::info!(tokens = tokens.0.len(), file = %known.path.display(), "read the tokens"),
                Err(error) => tracing::error!(error, "nobody may use the API until this is mended"),
            }
        }
        if known.asks { known.tokens.clone().map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/tokens");
        (folder, path)
    }

    #[test]
    fn a_token_is_found_by_itself_alone_and_its_file_does_not_hold_it() {
        let (_folder, path) = file();
        let orders = create_token(&path, "orders", &[Scope::Append]).expect("created");
        let reports = create_token(&path, "reports", &[Scope::Read, Scope::Append]).expect("created");
        assert_eq!(orders.len(), TOKEN_PREFIX.len() + 2 * TOKEN_BYTES);
        let tokens = Tokens::read(&path).expect("reads");
        let name = |shown: &str| tokens.find(shown).map(|token| token.name.as_str());
        assert_eq!((name(&orders), name(&reports)), (Some("orders"), Some("reports")));
        for other in ["", "orders", &orders[1..], &orders.to_uppercase(), &format!("{orders} ")] {
            assert_eq!(name(other), None, "{other:?}");
        }
        let text = fs::read_to_string(&path).expect("reads");
        assert!(!text.contains(&orders[TOKEN_PREFIX.len()..]), "{text}");
        assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
    }

    #[test]
    fn admin_may_do_everything_and_the_others_only_what_they_say() {
        let allowed = |scope| {
            let token = Token { name: "a".into(), scopes: vec![scope], sha256: [0; 32] };
            Scope::ALL.map(|wanted| token.allows(wanted))
        };
        assert_eq!(allowed(Scope::Read), [true, false, false]);
        assert_eq!(allowed(Scope::Append), [false, true, false]);
        assert_eq!(allowed(Scope::Admin), [true, true, true]);
    }

    #[test]
    fn a_name_is_used_once_and_a_revoked_token_is_gone_while_comments_stay() {
        let (_folder, path) = file();
        let first = create_token(&path, "orders", &[Scope::Read]).expect("created");
        assert!(matches!(create_token(&path, "orders", &[Scope::Read]), Err(AccessError::Exists(_))));
        for name in ["", "a b", "a\nb", "#a", "é", &"a".repeat(65)] {
            assert!(matches!(create_token(&path, name, &[Scope::Read]), Err(AccessError::Name(_))), "{name:?}");
        }
        let text = fs::read_to_string(&path).expect("reads");
        fs::write(&path, format!("{text}# orders is for the shop")).expect("writes");
        create_token(&path, "reports", &[Scope::Read]).expect("created");
        revoke_token(&path, "orders").expect("revoked");
        assert_eq!(Tokens::read(&path).expect("reads").find(&first), None);
        assert!(fs::read_to_string(&path).expect("reads").contains("# orders is for the shop\n"));
        let error = revoke_token(&path, "orders").expect_err("was there").to_string();
        assert_eq!(error, "there is no token \"orders\"; there are reports");
    }

    #[test]
    fn two_who_create_tokens_at_once_both_get_one() {
        let (_folder, path) = file();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let path = &path;
                scope.spawn(move || create_token(path, name, &[Scope::Read]).expect("created"));
            }
        });
        assert_eq!(Tokens::read(&path).expect("reads").iter().count(), 4);
    }

    #[test]
    fn a_wrong_line_is_named_and_closes_the_api() {
        let (_folder, path) = file();
        create_token(&path, "orders", &[Scope::Read]).expect("created");
        let access = Access::open(&path, false).expect("opens");
        let sound = fs::read_to_string(&path).expect("reads");
        let sha256 = "0".repeat(64);
        for (line, reason) in [
            ("orders read".to_owned(), "write a name"),
            (format!("other write {sha256}"), "no scope"),
            (format!("other read {}", &sha256[1..]), "64 hexadecimal"),
            (format!("other read +{}", &sha256[1..]), "64 hexadecimal"),
            (format!("orders read {sha256}"), "used twice"),
        ] {
            fs::write(&path, format!("{sound}{line}\n")).expect("writes");
            let error = access.tokens().expect_err("was taken");
            assert!(error.contains("line 3 of the tokens file") && error.contains(reason), "{error}");
            assert!(Access::open(&path, false).is_err());
        }
        fs::write(&path, vec![b'#'; 2 << 20]).expect("writes");
        assert!(access.tokens().expect_err("was taken").contains("more than"));
        fs::write(&path, sound).expect("writes");
        assert_eq!(access.tokens().expect("mended").expect("tokens are asked for").iter().count(), 1);
    }

    #[test]
    fn the_api_is_open_until_there_is_a_file_and_never_again() {
        let (_folder, path) = file();
        assert!(Access::open(&path, true).expect_err("it is not there").to_string().contains("lantern token create"));
        let access = Access::open(&path, false).expect("opens");
        assert_eq!(access.tokens(), Ok(None));
        let shown = create_token(&path, "orders", &[Scope::Read]).expect("created");
        assert!(access.tokens().expect("reads").expect("are asked for").find(&shown).is_some());
        revoke_token(&path, "orders").expect("revoked");
        assert_eq!(access.tokens(), Ok(Some(Arc::default())));
        fs::remove_file(&path).expect("deleted");
        assert_eq!(access.tokens(), Ok(Some(Arc::default())));
    }
}

//! Where the server's programs are. There is no one place: Debian keeps them out of PATH.
//!
//! This file reads PATH from the environment. It is the one exception to the rule that only
//! `config/` does: PATH is no setting of ours, and looking through it is the job here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::error::{BinaryProblem, Error, FoundVersion, UnusableFolder};

/// Folders where the systems' packages put the programs: a parent, how the names of its folders of
/// interest begin, and where below them the programs are.
const USUAL_PLACES: [(&str, &str, &str); 13] = [
    ("/usr/lib/postgresql", "", "bin"),   // Debian, Ubuntu
    ("/usr/libexec", "postgresql", ""),   // Alpine
    ("/usr", "pgsql-", "bin"),            // Red Hat and SUSE, from postgresql.org
    ("/usr/lib", "postgresql", "bin"),    // SUSE
    ("/usr/lib64", "postgresql-", "bin"), // Gentoo
    ("/usr/local", "pgsql", "bin"),       // built from source
    ("/usr/local", "bin", ""),            // FreeBSD, Homebrew on Intel
    ("/opt/homebrew", "bin", ""),         // Homebrew
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/opt/local/lib", "postgresql", "bin"), // MacPorts
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// A PostgreSQL version, ordered by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// What has to be equal for a server to read a cluster.
    pub major: u32,
    /// 0 for a version that has not been released.
    pub minor: u32,
    /// As the program says it, such as "15.18" or "18beta1".
    pub text: String,
}

impl Version {
    /// Reads the answer to `postgres -V`, such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
    pub fn parse(answer: &str) -> Option<Self> {
        let rest = answer.trim().strip_prefix("postgres (PostgreSQL) ")?;
        let text = rest.split_whitespace().next()?;
        let major_digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (major, rest) = text.split_at(major_digits);
        let minor: String = rest.strip_prefix('.').unwrap_or("").chars().take_while(char::is_ascii_digit).collect();
        Some(Self { major: major.parse().ok()?, minor: minor.parse().unwrap_or(0), text: text.to_owned() })
    }
}

/// One server's programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    pub version: Version,
}

impl Programs {
    pub fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// The programs in the folder that was set, or else the newest of those found; where there is a
    /// cluster already, of the major version that made it.
    pub fn find(set: Option<&Path>, cluster: &Path, cluster_major: Option<u32>, account: &Account) -> Result<Self, Error> {
        let mut found = match set {
            Some(folder) => {
                vec![Self::look_into(folder, account).map_err(Error::BinariesUnusable)?]
            }
            None => Self::search(account)?,
        };
        found.sort_by(|a, b| a.version.cmp(&b.version));
        let Some(wanted) = cluster_major else {
            return found.pop().ok_or(Error::NotInstalled { unusable: Vec::new() });
        };
        if let Some(at) = found.iter().rposition(|programs| programs.version.major == wanted) {
            return Ok(found.swap_remove(at));
        }
        let found = found.into_iter().map(|Self { folder, version }| FoundVersion { version: version.text, folder }).collect();
        Err(Error::OtherMajorVersion { cluster: cluster.to_path_buf(), cluster_major: wanted, found })
    }

    /// All usable ones, at least one.
    fn search(account: &Account) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        let mut unusable = Vec::new();
        let mut seen = BTreeSet::new();
        for folder in candidates(account) {
            // Several names often lead to one folder.
            let Ok(program) = folder.join("postgres").canonicalize() else { continue };
            if !seen.insert(program) {
                continue;
            }
            match Self::look_into(&folder, account) {
                Ok(programs) => found.push(programs),
                Err(problem) => unusable.push(problem),
            }
        }
        if found.is_empty() { Err(Error::NotInstalled { unusable }) } else { Ok(found) }
    }

    fn look_into(folder: &Path, account: &Account) -> Result<Self, UnusableFolder> {
        let fail = |problem| UnusableFolder { folder: folder.to_path_buf(), problem };
        // The programs run in another working directory than ours.
        let folder = &std::path::absolute(folder).map_err(|cause| fail(BinaryProblem::CannotRun(cause)))?;
        let Ok(postgres) = folder.join("postgres").canonicalize() else {
            return Err(fail(BinaryProblem::Missing("postgres")));
        };
        // initdb looks for postgres beside itself, so that links have to be followed; but where
        // only the links lie side by side, they are what counts.
        let real = postgres.parent().unwrap_or(folder);
        let folder = [real, folder]
            .into_iter()
            .find(|folder| folder.join("initdb").exists())
            .ok_or_else(|| fail(BinaryProblem::Missing("initdb")))?;
        let answer =
            account.command(folder.join("postgres")).arg("-V").output().map_err(|cause| fail(BinaryProblem::CannotRun(cause)))?;
        let answer = String::from_utf8_lossy(&answer.stdout);
        let version = Version::parse(&answer).ok_or_else(|| fail(BinaryProblem::UnknownVersion(answer.into_owned())))?;
        Ok(Self { folder: folder.to_path_buf(), version })
    }
}

/// Every folder worth a look: PATH, what `pg_config` says, the usual places.
fn candidates(account: &Account) -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH is no setting of ours: see the head of this file")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    let pg_config = folders.iter().map(|folder| folder.join("pg_config")).find(|p| p.exists());
    folders.extend(pg_config.and_then(|program| bindir(&program, account)));
    for (parent, prefix, below) in USUAL_PLACES {
        folders.extend(folders_below(parent, prefix).map(|folder| folder.join(below)));
    }
    folders
}

fn bindir(pg_config: &Path, account: &Account) -> Option<PathBuf> {
    let answer = account.command(pg_config).arg("--bindir").output().ok()?;
    let folder = PathBuf::from(str::from_utf8(&answer.stdout).ok()?.trim());
    folder.is_absolute().then_some(folder)
}

fn folders_below(parent: &str, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let starts = move |name: &OsStr| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    fs::read_dir(parent).into_iter().flatten().flatten().filter(move |entry| starts(&entry.file_name())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::Version;

    fn parsed(answer: &str) -> Option<(u32, u32, String)> {
        Version::parse(answer).map(|version| (version.major, version.minor, version.text))
    }

    #[test]
    fn a_version_is_read_from_the_answers_of_all_kinds_of_servers() {
        for (answer, major, minor, text) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15, 18, "15.18"),
            ("postgres (PostgreSQL) 17.2\n", 17, 2, "17.2"),
            ("postgres (PostgreSQL) 18beta1", 18, 0, "18beta1"),
            ("postgres (PostgreSQL) 19devel\n", 19, 0, "19devel"),
            ("postgres (PostgreSQL) 9.6.24", 9, 6, "9.6.24"),
            ("postgres (PostgreSQL) 16.4 (Homebrew)", 16, 4, "16.4"),
        ] {
            assert_eq!(parsed(answer), Some((major, minor, text.to_owned())), "{answer}");
        }
    }

    #[test]
    fn an_answer_that_is_not_a_servers_has_no_version() {
        for answer in ["", "psql (PostgreSQL) 15.18", "postgres (PostgreSQL) ", "postgres 15.18"] {
            assert_eq!(parsed(answer), None, "{answer}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        let version = |number: &str| Version::parse(&format!("postgres (PostgreSQL) {number}"));
        assert!(version("15.18") > version("15.9"));
        assert!(version("15.18") < version("16.0"));
        assert!(version("18beta1") < version("18.1"));
    }
}

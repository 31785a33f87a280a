//! The last heads that a key has signed, in a file outside the database: a database that is older than its checkpoints is known by it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::domain::proof::Hash;
use crate::domain::proof::tree::Head;

/// The file: a line for each log, `<origin> <size> <root>`. Processes that share it take turns.
#[derive(Debug, Clone)]
pub(super) struct SignedHeads {
    path: PathBuf,
}

impl SignedHeads {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the heads by origin; a file that is not there has none.
    pub(super) fn read(&self) -> io::Result<BTreeMap<String, Head>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => text.lines().map(|line| parse(line).ok_or_else(|| self.malformed())).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(self.cannot("read", &error)),
        }
    }

    /// Adds heads, and returns when they are on the disk. A smaller head never takes the place of a greater one.
    pub(super) fn remember(&self, heads: &BTreeMap<String, Head>) -> io::Result<()> {
        let _turn = self.lock().map_err(|error| self.cannot("lock", &error))?;
        let mut all = self.read()?;
        for (origin, head) in heads {
            let known = all.entry(origin.clone()).or_insert(*head);
            if known.size < head.size {
                *known = *head;
            }
        }
        let text: Vec<String> = all.iter().map(|(origin, Head { size, root })| format!("{origin} {size} {root}\n")).collect();
        self.replace(&text.concat()).map_err(|error| self.cannot("write", &error))
    }

    /// Writes a new file beside the old one and puts it in its place: whatever dies when, one of the two is there and whole.
    fn replace(&self, text: &str) -> io::Result<()> {
        let beside = self.beside("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.beside("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    fn malformed(&self) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("{} is not a file of signed heads", self.path.display()))
    }

    fn cannot(&self, what: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot {what} {}: {error}", self.path.display()))
    }
}

fn parse(line: &str) -> Option<(String, Head)> {
    let mut words = line.split(' ');
    let (origin, size, root) = (words.next()?, words.next()?, words.next()?);
    let head = Head { size: size.parse().ok()?, root: Hash::parse_hash(root).ok()? };
    words.next().is_none().then(|| (origin.to_owned(), head))
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    fn heads(heads: &[(&str, u64)]) -> BTreeMap<String, Head> {
        let head = |size: u64| Head { size, root: tlog_tiles::record_hash(&size.to_be_bytes()) };
        heads.iter().map(|(origin, size)| ((*origin).to_owned(), head(*size))).collect()
    }

    #[test]
    fn heads_are_kept_by_origin_and_the_greater_one_stays() {
        let directory = tempdir().expect("a directory");
        let file = SignedHeads::new(directory.path().join("heads"));
        assert_eq!(file.read().expect("no file is no heads"), heads(&[]));
        file.remember(&heads(&[("a/acme", 3), ("a/zebra", 1)])).expect("written");
        file.remember(&heads(&[("a/acme", 2), ("a/zebra", 5), ("b/acme", 1)])).expect("written");
        assert_eq!(file.read().expect("read"), heads(&[("a/acme", 3), ("a/zebra", 5), ("b/acme", 1)]));
    }

    #[test]
    fn a_file_of_anything_else_is_refused_and_not_written_over() {
        let directory = tempdir().expect("a directory");
        let path = directory.path().join("heads");
        let file = SignedHeads::new(path.clone());
        for text in ["hello\n", "a 1\n", "a x 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", "a 1 47DEQpj8\n", "\n"] {
            fs::write(&path, text).expect("the file");
            assert_eq!(file.read().expect_err("no heads").kind(), ErrorKind::InvalidData, "{text:?}");
            assert!(file.remember(&heads(&[("a", 1)])).is_err());
            assert_eq!(fs::read_to_string(&path).expect("the file"), text);
        }
    }
}

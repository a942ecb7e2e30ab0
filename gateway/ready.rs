//! The file that says the daemon is ready, and where.

use std::io;
use std::path::{Path, PathBuf};

use opgate::Addresses;

/// A ready file. It is there exactly while the daemon serves.
#[derive(Debug)]
pub(crate) struct ReadyFile<'a>(Option<&'a Path>);

impl<'a> ReadyFile<'a> {
    /// The file at `path`, if one is wanted. One that a killed daemon left behind is removed.
    pub(crate) fn new(path: Option<&'a Path>) -> io::Result<Self> {
        let file = Self(path);
        file.remove()?;
        Ok(file)
    }

    /// Writes it. Whoever sees it sees all of it.
    pub(crate) fn write(&self, addresses: &Addresses) -> io::Result<()> {
        let Some(path) = self.0 else { return Ok(()) };
        let ready = serde_json::json!({
            "http": addresses.http.to_string(),
            "amqp": addresses.amqp.to_string(),
            "http_tls": addresses.http_tls,
            "admin": addresses.admin.to_string(),
            "admin_tls": addresses.admin_tls,
            "pid": std::process::id(),
        });
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        std::fs::write(&aside, format!("{ready}\n"))?;
        std::fs::rename(&aside, path)
    }

    /// Removes it, if it is there.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self.0.map_or(Ok(()), std::fs::remove_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

//! The newest session in a file, for the next run of the program.

use rustls::pki_types::ServerName;
use std::fs::{File, remove_file};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use udtls::{ClientSessionStore, Session};

/// Whoever can read the file can pass for the client: only its owner may.
#[derive(Debug)]
pub(crate) struct SessionFile(pub(crate) PathBuf);

impl SessionFile {
    fn write(&self, session: &Session) -> io::Result<()> {
        let mut options = File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.0)?.write_all(&session.to_bytes())
    }

    /// The session, which is gone from the file then: it is good for once.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        File::open(&self.0)?.read_to_end(&mut octets)?;
        remove_file(&self.0)?;
        Ok(octets)
    }
}

impl ClientSessionStore for SessionFile {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        // A session that is lost costs a full handshake, and no more.
        if let Err(error) = self.write(&session) {
            eprintln!("{}: {error}", self.0.display());
        }
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        match self.read() {
            Ok(octets) => Session::from_bytes(&octets).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                eprintln!("{}: {error}", self.0.display());
                None
            }
        }
    }
}

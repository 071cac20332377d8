//! What flags say instead of the file: it stays when the file is loaded again.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Token};
use crate::sandbox::Mode as SandboxMode;
use crate::sockets::ListenAddress;

impl Config {
    /// Listens on `address` instead.
    #[must_use]
    pub fn with_listen(mut self, listen: ListenAddress) -> Self {
        self.listen = listen.clone();
        self.origin.listen = Some(listen);
        self
    }

    /// Serves health and metrics on `address` instead.
    #[must_use]
    pub fn with_admin(mut self, admin: ListenAddress) -> Self {
        self.admin = admin.clone();
        self.origin.admin = Some(admin);
        self
    }

    /// Keeps what the breakers have learned in `file`.
    #[must_use]
    pub fn with_state(mut self, file: PathBuf) -> Self {
        self.origin.state = Some(file.clone());
        self.state = Some(file);
        self
    }

    /// Has another sandbox.
    #[must_use]
    pub fn with_sandbox(mut self, mode: SandboxMode) -> Self {
        self.sandbox = mode;
        self.origin.sandbox = Some(mode);
        self
    }

    /// Has changes need this token.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token.clone());
        self.origin.token = Some(token);
        self.origin.secret = None;
        self
    }

    /// Has changes need the token in this file, which may be another one when it is loaded again.
    ///
    /// # Errors
    /// When the file can't be read, or is no token.
    pub fn with_token_file(mut self, file: &Path) -> Result<Self, ConfigError> {
        let token = Token::read(file).map_err(|rule| ConfigError::Unreadable {
            file: file.display().to_string(),
            rule: rule.into(),
        })?;
        self.token = Some(token);
        self.origin.token_file = Some(file.to_owned());
        self.origin.secret = Some(file.to_owned());
        Ok(self)
    }
}

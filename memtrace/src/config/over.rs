//! What was typed goes over what is in the file, whenever that is read.
use super::file::File;
use crate::dossier::Trigger;
use crate::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `None`, and nothing in a list: not typed.
#[derive(Clone, Debug, Default)]
pub struct Over {
    pub file: Option<PathBuf>,
    pub triggers: Vec<Trigger>,
    pub directory: Option<PathBuf>,
    pub headroom_percent: Option<u64>,
    pub max_dir_bytes: Option<u64>,
    pub listen: Option<SocketAddr>,
    pub listen_anywhere: bool,
}

impl Over {
    /// The file, if there is one, with what was typed.
    pub fn read(&self) -> Result<File, Error> {
        let mut file = self.file.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
        let File { dossiers, http, .. } = &mut file;
        if !self.triggers.is_empty() {
            dossiers.triggers.clone_from(&self.triggers);
        }
        if let Some(directory) = &self.directory {
            dossiers.directory.clone_from(directory);
        }
        dossiers.headroom_percent = self.headroom_percent.unwrap_or(dossiers.headroom_percent);
        dossiers.max_bytes = self.max_dir_bytes.unwrap_or(dossiers.max_bytes);
        http.listen = self.listen.unwrap_or(http.listen);
        http.allow_any_address |= self.listen_anywhere;
        Ok(file)
    }
}

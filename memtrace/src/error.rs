//! What ends a run, and the exit code it ends with: 1 runtime failure, 2 usage, 3 the host cannot, 4 no such target.
use crate::kernel::KernelError;
use std::process::ExitCode;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    /// What is in the way, and what to do.
    #[error("{0}")]
    Host(String),
    #[error("{0}")]
    NoTarget(String),
    #[error("{0}")]
    Kernel(#[from] KernelError),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    /// Of a command that was observed nobody else tells the end.
    #[error("{error}; the command ended with {status}")]
    BesideCommand { error: Box<Error>, status: std::process::ExitStatus },
}

impl Error {
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Error::Usage(_) => 2,
            Error::Host(_) => 3,
            Error::NoTarget(_) => 4,
            Error::Kernel(_) | Error::Io { .. } => 1,
            Error::BesideCommand { error, .. } => return error.exit_code(),
        })
    }

    pub(crate) fn io(what: &'static str) -> impl Fn(std::io::Error) -> Error {
        move |source| Error::Io { what, source }
    }
}

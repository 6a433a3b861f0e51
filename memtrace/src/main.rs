//! Parse, run, exit code. Data goes to stdout, everything else to stderr.
use memtrace::cli::Cli;
use memtrace::{kernel, pipeline};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // memtrace starts itself in two hidden roles; neither is for people.
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|a| a.to_str()) {
        Some(kernel::CHILD_ARGUMENT) => return kernel::child_main(),
        Some(pipeline::EXEC_ARGUMENT) => return pipeline::exec_main(&arguments[1..]),
        _ => {}
    }
    let cli = Cli::from_arguments();
    log_to_stderr(cli.verbosity());
    match cli.run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("memtrace: {e}");
            e.exit_code()
        }
    }
}

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            eprintln!("memtrace: {}", record.args());
        }
    }

    fn flush(&self) {}
}

fn log_to_stderr(verbosity: u8) {
    let level = match verbosity {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}

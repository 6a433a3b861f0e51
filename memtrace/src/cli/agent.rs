use super::black_box::BlackBoxArgs;
use crate::config;
use crate::config::over::Over;
use crate::error::Error;
use crate::pipeline;
use clap::Args;
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(
    override_usage = "memtrace agent [OPTIONS] [-p PID | -c CGROUP | --comm GLOB | --exe GLOB | -a | -- CMD...]",
    mut_group("who", |who| who.required(false)),
    // It is resident, twice: the kernel maps a ring two times in a row.
    mut_arg("ring_bytes", |ring| ring.default_value("1MiB"))
)]
pub(super) struct Agent {
    #[command(flatten)]
    args: BlackBoxArgs,
    /// Where /metrics, /healthz, /readyz and /api/v1/processes are served [default: 127.0.0.1:9460]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Listen on an address that others reach, too: there is neither encryption nor a password
    #[arg(long)]
    listen_anywhere: bool,
}

impl Agent {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let out = std::io::BufWriter::new(std::io::stdout());
        let over = Over { listen: self.listen, listen_anywhere: self.listen_anywhere, ..self.args.over() };
        let file = over.read()?;
        file.http.check_address()?;
        if self.args.is_check() {
            pipeline::check(&file)?;
        }
        if let Some(text) = self.args.shown(&file)? {
            return pipeline::print(out, &text);
        }
        let mut watch = self.args.config(file.clone())?;
        watch.cpu_percent = Some(file.limits.cpu_percent);
        watch.max_rss_bytes = Some(file.limits.max_rss_bytes);
        watch.session.max_open_files = Some(file.limits.max_open_files);
        pipeline::agent(config::Agent { watch, over, file }, out)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Verb};
    use crate::config::Targets;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn only_the_agent_need_not_be_told_whom_it_observes() {
        Cli::command().debug_assert();
        let targets = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["memtrace", "agent"], arguments].concat()).unwrap();
            let Verb::Agent(agent) = cli.verb else { panic!("another verb") };
            let file = agent.args.over().read().unwrap();
            agent.args.config(file).unwrap().session.targets
        };
        assert!(matches!(targets(&[]), Targets::AllGo));
        assert!(matches!(targets(&["-p", "7"]), Targets::Pids(pids) if pids == [7]));
        assert!(Cli::try_parse_from(["memtrace", "watch-oom"]).is_err());
        assert!(Cli::try_parse_from(["memtrace", "agent", "-a", "-p", "7"]).is_err());
        assert!(Cli::try_parse_from(["memtrace", "agent", "--listen", "localhost"]).is_err());
    }
}

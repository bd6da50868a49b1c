//! The command line: everything around the filter that is done once, not per request.

mod admin;
mod certificate;
mod check;
mod inspect;
mod key;
mod redis;
mod reload;
mod render;
mod run;
mod site;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Weir, an AI API gateway that lives inside Envoy.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find every mistake in the configuration
    Check {
        #[command(flatten)]
        file: File,
        /// Besides, whether this Envoy configuration, YAML or JSON, fits it
        #[arg(long, value_name = "FILE")]
        envoy: Option<PathBuf>,
    },
    /// Make a client key and show what to put into the configuration
    #[command(args_conflicts_with_subcommands = true)]
    Key {
        #[command(subcommand)]
        deed: Option<key::Deed>,
    },
    /// Print the Envoy configuration that the gateway runs with
    Render {
        #[command(flatten)]
        file: File,
        /// For what
        #[arg(long = "for", value_enum)]
        target: Target,
        #[command(flatten)]
        module: Module,
        #[command(flatten)]
        mesh: render::Mesh,
    },
    /// Wait until the gateway that runs has taken the configuration as it is now
    Reload {
        #[command(flatten)]
        file: File,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Start the gateway
    Run {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        module: Module,
        /// How many worker threads; as many as there are cores if absent
        #[arg(long)]
        concurrency: Option<u32>,
    },
}

#[derive(Args)]
struct File {
    /// The configuration
    #[arg(long, default_value = "weir.yaml")]
    config: PathBuf,
}

#[derive(Args)]
struct Module {
    /// The filter, as Envoy finds it; dist/weir.wasm if absent, or in a mesh /etc/weir/filter/weir.wasm
    #[arg(long = "wasm")]
    path: Option<String>,
}

impl Module {
    fn or(&self, usual: &'static str) -> &str {
        self.path.as_deref().unwrap_or(usual)
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// A bootstrap configuration for an Envoy of one's own
    Envoy,
    /// Patches for the proxies of a mesh
    Istio,
}

fn main() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(text) => {
            show(&text);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be printed at the end.
fn carry_out(command: Command) -> Result<String, String> {
    match command {
        Command::Check { file, envoy } => check::check(&file.config, envoy.as_deref()),
        Command::Key { deed: None } => key::make(),
        Command::Key { deed: Some(deed) } => deed.carry_out(),
        Command::Render { target: Target::Envoy, mesh, .. } if !mesh.is_empty() => Err(ONLY_ISTIO.to_owned()),
        Command::Render { file, target: Target::Envoy, module, .. } => {
            render::envoy(&site::Site::load(&file.config)?, module.or(HERE))
        }
        Command::Render { file, target: Target::Istio, module, mesh } => {
            render::istio(site::Site::elsewhere(&file.config)?, module.or(IN_A_POD), &mesh)
        }
        Command::Schema => Ok(schema()),
        Command::Reload { file } => reload::reload(&file.config),
        Command::Run { file, module, concurrency } => {
            run::run(&file.config, module.or(HERE), concurrency).map(|()| String::new())
        }
    }
}

const HERE: &str = "dist/weir.wasm";
const IN_A_POD: &str = "/etc/weir/filter/weir.wasm";
const ONLY_ISTIO: &str = "--place, --selector and --namespace are for Istio: add --for istio";

fn schema() -> String {
    format!("{:#}\n", weir::config::schema::schema())
}

/// Prints. A reader who has seen enough and gone away is no problem.
fn show(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

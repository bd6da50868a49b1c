//! What learning from the vendors is worth: `cargo run --release --example routing_sim` prints the table of
//! `docs/routing.md`, with `--plot` it draws `docs/routing.svg` besides, and with `--bench` it measures a choice instead.

mod bench;
mod contest;
mod learned;
mod plot;
mod policy;
mod random;
mod replay;
mod scenario;
mod vendor;

use std::process::ExitCode;

use contest::{POLICIES, Round, contest, overall};

const SEED: u64 = 1;
/// Requests per second.
const RATE: f64 = 20.0;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => table(&contest(SEED, RATE)),
        Some("--bench") => bench::bench(),
        Some("--plot") => {
            let rounds = contest(SEED, RATE);
            table(&rounds);
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routing.svg");
            if let Err(problem) = std::fs::write(path, plot::svg(&rounds)) {
                eprintln!("{path}: {problem}");
                return ExitCode::FAILURE;
            }
        }
        Some(other) => {
            eprintln!("{other}: there are --bench and --plot");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn table(rounds: &[Round]) {
    println!("| scenario | {} |", POLICIES.join(" | "));
    println!("|---|{}", "--:|".repeat(POLICIES.len()));
    for round in rounds {
        println!("| {} | {} |", round.scenario.name, cells(&round.regrets()));
    }
    println!("| **mean** | {} |", cells(&overall(rounds)));
    for misled in rounds.iter().filter_map(|round| round.misled(0)) {
        println!("\nFailed vendor first, after two seconds of the outage: {:.2} %", 100.0 * misled);
    }
}

fn cells(regrets: &[f64]) -> String {
    regrets.iter().map(|regret| format!("{regret:.2}")).collect::<Vec<_>>().join(" | ")
}

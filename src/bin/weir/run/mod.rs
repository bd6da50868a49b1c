//! `weir run`: from a configuration to a gateway that answers, and back to nothing.
//!
//! Whatever stands in the way is said before Envoy is started: a port that is taken, a filter that is not built, an
//! Envoy that is not installed. Two Envoys may share a port without noticing, so the ports are tried first.

mod announce;
mod envoy;
mod find;
mod inputs;
mod probe;
mod scratch;
mod served;
mod server;
mod watch;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use weir::config::{Admin, Config, Redis, Secret};

use crate::certificate::Certificate;
use crate::show;
use crate::site::{Site, is_there, remedy};
use envoy::Envoy;
use inputs::Inputs;
pub use inputs::version;
use probe::Probe;
use scratch::Scratch;
use served::Served;
use server::Server;
use watch::Watch;

/// Runs a gateway until a signal ends it.
pub fn run(config: &Path, module: &str, concurrency: Option<u32>) -> Result<(), String> {
    let stop = stop_signal()?;
    let mut site = Site::load(config)?;
    let inputs = Inputs::look(config, &site);
    let binary = find::envoy()?;
    if !Path::new(module).is_file() {
        return Err(format!("there is no filter at {module}: `make build` makes it, --wasm names another place"));
    }
    let certificate = site.config.tls.as_ref().map(Certificate::read).transpose()?;
    let probe = Probe::new(certificate.as_ref())?;
    try_ports(&site.config)?;
    let (server, news) = Server::start(site.config.redis.as_ref());
    news.iter().for_each(|news| eprintln!("{news}"));
    let scratch = Scratch::new()?;
    if let Some(redis) = &mut site.config.redis {
        prepare_redis(redis, &scratch)?;
    }
    let (served, bootstrap) = Served::first(&site, module, &inputs.version(), &scratch)?;
    let drain = site.config.routing.total_timeout + MARGIN;
    let mut envoy = Envoy::start(&binary, &bootstrap, concurrency.unwrap_or_else(cores), drain)?;
    let door = reachable(site.config.listen);
    if until_ready(&mut envoy, &probe, door, &stop)? == Outcome::Ready {
        show(&announce::ready(&site, certificate.as_ref(), door));
        envoy.speak_up();
        let mut watch = Watch::new(config, &scratch, site, served, server, inputs);
        until_stopped(&mut envoy, &mut watch, &stop)?;
    }
    envoy.stop()
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Ready,
    Stopped,
}

fn until_ready(envoy: &mut Envoy, probe: &Probe, door: SocketAddr, stop: &AtomicBool) -> Result<Outcome, String> {
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Some(status) = envoy.ended() {
            return Err(format!("Envoy did not start ({status}). It says:\n{}", envoy.errors()));
        }
        if probe.answers(door) {
            return Ok(Outcome::Ready);
        }
        if started.elapsed() > STARTUP {
            return Err(format!("Envoy started, but {door}/health did not answer. It says:\n{}", envoy.errors()));
        }
        thread::sleep(TICK);
    }
    Ok(Outcome::Stopped)
}

fn until_stopped(envoy: &mut Envoy, watch: &mut Watch<'_>, stop: &AtomicBool) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        if let Some(status) = envoy.ended() {
            return Err(format!("Envoy ended by itself ({status})"));
        }
        if let Some(news) = watch.look() {
            eprintln!("{news}");
        }
        thread::sleep(TICK);
    }
    Ok(())
}

/// Becomes true at Ctrl-C, at SIGTERM, and when the terminal goes away.
fn stop_signal() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| format!("cannot listen for signals: {error}"))?;
    }
    Ok(stop)
}

fn try_ports(config: &Config) -> Result<(), String> {
    let admin = match &config.admin {
        Admin::Loopback(address) => Some(("admin", *address)),
        Admin::Unix(_) => None,
    };
    for (field, address) in [("listen", config.listen)].into_iter().chain(admin) {
        TcpListener::bind(address).map_err(|error| format!("{field}: cannot listen on {address}: {error}"))?;
    }
    Ok(())
}

/// Moves the socket behind which Redis needs no password into a folder that nobody else can enter. What Envoy would say
/// of a password that is not there is hard to read.
fn prepare_redis(redis: &mut Redis, scratch: &Scratch) -> Result<(), String> {
    if let Some(missing) = redis.password.as_ref().filter(|password| !is_there(password)) {
        return Err(format!("redis.password: {}", remedy(missing, "the password")));
    }
    if let Some(Secret::File(path)) = &redis.password
        && fs::read(path).is_ok_and(|text| text.ends_with(b"\n"))
    {
        return Err(format!(
            "redis.password: {path} ends with a line end, and Envoy takes that for a part of the password"
        ));
    }
    let socket = scratch.file("redis.sock");
    scratch::text(&socket)?.clone_into(&mut redis.socket);
    Ok(())
}

/// How this machine reaches an address on which it listens.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn cores() -> u32 {
    thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok()).unwrap_or(2)
}

/// Compiling the filter takes under a second on a slow machine. Envoy also asks once for every vendor's address before it
/// listens, so that the first requests find their vendors; a name server that is silent makes it wait, and then start.
const STARTUP: Duration = Duration::from_secs(60);
/// Too short for a person to notice.
const TICK: Duration = Duration::from_millis(50);
/// A request that is over is settled within this time.
const MARGIN: Duration = Duration::from_secs(5);

//! `weir.yaml` while the gateway runs: another one takes its place as soon as it stands there, if it is good.
//!
//! The file is looked at, and not waited for, so it does not matter how it was changed: in place, by another that took
//! its name, or by a mount. The same holds for the files with credentials. What was seen has to be the same a moment
//! later before anything is done about it, because an editor may still be writing.

use std::path::Path;
use std::time::{Duration, Instant};

use super::inputs::Inputs;
use super::prepare_redis;
use super::scratch::Scratch;
use super::served::Served;
use super::server::Server;
use crate::certificate::Certificate;
use crate::site::Site;

/// The configuration that runs, and what was seen of the one that may come.
pub struct Watch<'w> {
    file: &'w Path,
    scratch: &'w Scratch,
    site: Site,
    served: Served,
    redis: Vec<Server>,
    /// What was last carried out, or refused.
    done: Inputs,
    seen: Inputs,
    looked: Instant,
    exchanges: u64,
}

impl<'w> Watch<'w> {
    /// Watches over what runs.
    pub fn new(
        file: &'w Path,
        scratch: &'w Scratch,
        site: Site,
        served: Served,
        redis: Option<Server>,
        inputs: Inputs,
    ) -> Watch<'w> {
        let redis = redis.into_iter().collect();
        Watch {
            file,
            scratch,
            site,
            served,
            redis,
            seen: inputs.clone(),
            done: inputs,
            looked: Instant::now(),
            exchanges: 0,
        }
    }

    /// Time has passed: looks whether there is something to do, and does it. What is to be told of it.
    pub fn look(&mut self) -> Option<String> {
        if self.looked.elapsed() < INTERVAL {
            return None;
        }
        self.looked = Instant::now();
        let before = std::mem::replace(&mut self.seen, Inputs::look(self.file, &self.site));
        let settled = before == self.seen;
        if settled && self.seen != self.done {
            self.done = self.seen.clone();
            return Some(match self.reload() {
                Ok(news) => news,
                Err(problem) => {
                    format!("{} was changed, and the gateway goes on as before:\n{problem}", self.file.display())
                }
            });
        }
        if self.served.has_leftovers() {
            return self.exchange(None).inspect_err(|_| self.served.postpone()).err();
        }
        None
    }

    fn reload(&mut self) -> Result<String, String> {
        let mut site = Site::load(self.file)?;
        let inputs = Inputs::look(self.file, &site);
        if site.config.admin != self.site.config.admin {
            return Err("admin: another address takes a restart".to_owned());
        }
        site.config.tls.as_ref().map(Certificate::read).transpose()?;
        let mut news = Vec::new();
        if let Some(redis) = &mut site.config.redis {
            prepare_redis(redis, self.scratch)?;
        }
        if site.config.redis != self.site.config.redis {
            let (server, said) = Server::start(site.config.redis.as_ref());
            self.redis.extend(server);
            news.extend(said);
        }
        news.extend(site.left_out.iter().map(|out| format!("left out: {} ({})", out.vendor, out.remedy())));
        self.exchange(Some(site))?;
        // What it names beyond the one before was looked at before it was used, so this is what was done.
        if inputs.has_the_text_of(&self.done) {
            self.done = inputs;
        }
        news.push(format!("{} was changed, and the gateway runs with it", self.file.display()));
        Ok(news.join("\n"))
    }

    /// Gives Envoy another configuration, or the present one without what it needs no more.
    fn exchange(&mut self, site: Option<Site>) -> Result<(), String> {
        self.exchanges += 1;
        let version = format!("{}.{}", self.done.version(), self.exchanges);
        self.served.exchange(site.as_ref().unwrap_or(&self.site), &version, self.scratch)?;
        if let Some(site) = site {
            self.site = site;
        }
        Ok(())
    }
}

/// A person who has saved a file waits for no longer than this, twice; an editor writes it in far less.
const INTERVAL: Duration = Duration::from_millis(100);

//! What a running Envoy is given, and how it is given something else.
//!
//! Envoy takes its listeners, clusters, routes, filter and secrets from files and exchanges each as soon as another file
//! stands in its place. Nothing binds these together, so they go one by one in an order in which whatever is referred to
//! is there already, each once Envoy has said that it took the one before. What it refuses, it does not use; then those
//! before are put back.
//!
//! Requests that are on their way end with the configuration that they began with. Their next vendor may be one that
//! went: those stay for as long as a request may take.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use weir::config::Admin;

use super::MARGIN;
use super::scratch::Scratch;
use crate::admin::statistics;
use crate::render::{CLUSTERS, Document, Layout, Parts};
use crate::site::Site;

/// What Envoy is given now.
pub struct Served {
    folder: PathBuf,
    module: String,
    admin: Admin,
    parts: Parts,
    version: String,
    /// The vendors that went, and until when a request may still be on its way to them.
    gone: Vec<(String, Instant)>,
}

impl Served {
    /// Writes the files with which Envoy starts, and the one that names them: its path.
    pub fn first(site: &Site, module: &str, version: &str, scratch: &Scratch) -> Result<(Served, PathBuf), String> {
        let folder = scratch.folder().to_owned();
        let parts = Parts::new(site, module, &Layout::Files(folder.clone()))?;
        let bootstrap = crate::render::dynamic(site, &parts, &folder);
        let served = Served {
            folder,
            module: module.to_owned(),
            admin: site.config.admin.clone(),
            parts,
            version: version.to_owned(),
            gone: Vec::new(),
        };
        for document in served.parts.documents(version) {
            scratch.replace(&document.name, &document.text)?;
        }
        let bootstrap = scratch.write("envoy.yaml", &bootstrap)?;
        Ok((served, bootstrap))
    }

    /// Gives Envoy another configuration. If it does not take it, it has the one before, and the error says why.
    pub fn exchange(&mut self, site: &Site, version: &str, scratch: &Scratch) -> Result<(), String> {
        let now = Instant::now();
        let expired = |until: &Instant| *until <= now;
        let over: Vec<String> =
            self.gone.iter().filter(|(_, until)| expired(until)).map(|(name, _)| name.clone()).collect();
        let old = self.parts.without(&over);
        let parts = Parts::beside(&old, site, &self.module, &Layout::Files(self.folder.clone()))?;
        self.swap(&parts, version, scratch)?;
        let until = now + site.config.routing.total_timeout + MARGIN;
        let gone = parts.vendors().iter().filter(|name| site.config.vendor(name).is_none());
        let known = std::mem::take(&mut self.gone);
        let since = |name: &String| known.iter().find(|(known, _)| known == name).map_or(until, |(_, until)| *until);
        self.gone = gone.map(|name| (name.clone(), since(name))).collect();
        (self.parts, self.version) = (parts, version.to_owned());
        Ok(())
    }

    /// Whether a vendor that went is not needed any more.
    pub fn has_leftovers(&self) -> bool {
        self.gone.iter().any(|(_, until)| *until <= Instant::now())
    }

    /// It could not be done: looks again later.
    pub fn postpone(&mut self) {
        let later = Instant::now() + LATER;
        self.gone.iter_mut().for_each(|(_, until)| *until = later.max(*until));
    }

    fn swap(&self, parts: &Parts, version: &str, scratch: &Scratch) -> Result<(), String> {
        let before = self.parts.documents(&self.version);
        let documents = parts.documents(version);
        for (i, document) in documents.iter().enumerate() {
            let known = before.iter().any(|before| before.name == document.name);
            if let Err(problem) = self.hand_over(document, version, known, scratch) {
                let done = |name: &String| documents.iter().take(i + 1).any(|document| document.name == *name);
                for document in before.iter().filter(|before| done(&before.name)) {
                    scratch.replace(&document.name, &document.text)?;
                }
                return Err(format!("{}: {problem}", document.name));
            }
        }
        Ok(())
    }

    /// Puts one file into its place and waits until Envoy has taken it. A secret that is new nobody watches yet.
    fn hand_over(&self, document: &Document, version: &str, known: bool, scratch: &Scratch) -> Result<(), String> {
        let refused = self.refused(&document.watch)?;
        scratch.replace(&document.name, &document.text)?;
        if known {
            self.until_taken(&document.watch, version, &refused)?;
        }
        if document.watch == CLUSTERS { self.until_warm() } else { Ok(()) }
    }

    fn until_taken(&self, watch: &str, version: &str, refused: &str) -> Result<(), String> {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.value(&format!("{watch}.version_text"))? == version {
                return Ok(());
            }
            if self.refused(watch)? != refused {
                return Err("Envoy refuses it, its log says why".to_owned());
            }
            thread::sleep(TICK);
        }
        Err("Envoy did not take it in time".to_owned())
    }

    /// How often it was refused.
    fn refused(&self, watch: &str) -> Result<String, String> {
        self.value(&format!("{watch}.update_rejected"))
    }

    /// A cluster is there for requests once its vendor's address is known, or cannot be found.
    fn until_warm(&self) -> Result<(), String> {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE && self.value("cluster_manager.warming_clusters")? != "0" {
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn value(&self, name: &str) -> Result<String, String> {
        let found = statistics(&self.admin, &format!("^{}$", name.replace('.', "\\.")))?;
        Ok(found.into_iter().next().map(|(_, value)| value).unwrap_or_default())
    }
}

/// What is left over costs a few kilobytes.
const LATER: Duration = Duration::from_secs(60);
/// Envoy takes a file within some milliseconds; a name server that is silent makes clusters wait.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(10);

//! A configuration together with what the machine at hand has for it.
//!
//! A vendor whose credential is not there would only answer 401, so it is left out: of the clusters, of the routes and
//! of what the filter is told. A model that only such vendors serve stays and answers that nobody serves it. While no
//! real vendor is there at all, the echo vendor stands in for everybody, so that a fresh clone answers.

use std::path::Path;

use weir::config::{self, Config, Form, Secret, Written, written};

/// What can be run here.
pub struct Site {
    /// The configuration without the vendors that were left out, as written.
    pub written: Written,
    /// The same, checked.
    pub config: Config,
    /// The vendors that were left out.
    pub left_out: Vec<LeftOut>,
    /// Who answers.
    pub cast: Cast,
}

/// A vendor without its credential.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The vendor's name.
    pub vendor: String,
    /// Where its credential should have been.
    pub missing: Secret,
}

/// Who answers for the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// The vendors that the models name.
    AsWritten,
    /// The echo vendor, for everybody.
    StandIn,
}

impl LeftOut {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        remedy(&self.missing, "its key")
    }
}

/// Where a secret is to be put.
pub fn remedy(missing: &Secret, what: &str) -> String {
    match missing {
        Secret::Env(name) => format!("set {name}"),
        Secret::File(path) => format!("put {what} into {path}"),
    }
}

impl Site {
    /// Reads a configuration file and looks for the credentials that it names.
    pub fn load(path: &Path) -> Result<Site, String> {
        let written = config::yaml(&text(path)?).map_err(|problems| problems.to_string())?;
        Site::new(written, is_there)
    }

    /// Reads a configuration file for another machine, which has all credentials.
    pub fn elsewhere(path: &Path) -> Result<Site, String> {
        let written = config::yaml(&text(path)?).map_err(|problems| problems.to_string())?;
        Site::new(written, |_| true)
    }

    /// The configuration as far as the credentials are there.
    pub fn new(mut written: Written, is_there: impl Fn(&Secret) -> bool) -> Result<Site, String> {
        let config = config::check(&written, Form::File).map_err(|problems| problems.to_string())?;
        let left_out = left_out(&config, is_there);
        written.vendors.retain(|vendor| !left_out.iter().any(|out| out.vendor == vendor.name));
        let cast = recast(&mut written, &config)?;
        let config = config::check(&written, Form::Rendered).map_err(|problems| problems.to_string())?;
        Ok(Site { written, config, left_out, cast })
    }
}

/// The text of a configuration file.
pub fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The vendors whose credential is not there.
pub fn left_out(config: &Config, is_there: impl Fn(&Secret) -> bool) -> Vec<LeftOut> {
    let missing = |vendor: &config::Vendor| vendor.secrets().into_iter().find(|secret| !is_there(secret));
    let without = config.vendors.iter().filter_map(|vendor| Some((vendor, missing(vendor)?)));
    without.map(|(vendor, missing)| LeftOut { vendor: vendor.name.clone(), missing }).collect()
}

/// Takes the absent vendors out of the models and keys, or puts the echo vendor in for all of them.
fn recast(written: &mut Written, config: &Config) -> Result<Cast, String> {
    let is_echo = |name: &str| config.vendor(name).is_some_and(|(_, vendor)| vendor.endpoint.is_none());
    let present: Vec<String> = written.vendors.iter().map(|vendor| vendor.name.clone()).collect();
    let echo = present.first().ok_or(NOBODY)?;
    if present.iter().all(|name| is_echo(name)) && present.len() < config.vendors.len() {
        for model in &mut written.models {
            model.serve = vec![written::Hop { vendor: echo.clone(), model: None, price: None }];
        }
        for vendors in written.keys.iter_mut().filter_map(|key| key.vendors.as_mut()) {
            *vendors = vec![echo.clone()];
        }
        return Ok(Cast::StandIn);
    }
    for model in &mut written.models {
        model.serve.retain(|hop| present.contains(&hop.vendor));
    }
    for vendors in written.keys.iter_mut().filter_map(|key| key.vendors.as_mut()) {
        vendors.retain(|vendor| present.contains(vendor));
    }
    Ok(Cast::AsWritten)
}

/// Whether a credential is on this machine, and not empty.
pub fn is_there(secret: &Secret) -> bool {
    match secret {
        Secret::Env(name) => std::env::var_os(name).is_some_and(|value| !value.is_empty()),
        Secret::File(path) => std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0),
    }
}

const NOBODY: &str = "no vendor has a credential and there is no echo vendor: nobody could answer. \
                      Set a vendor's credential, or add {name: echo, kind: echo} to vendors";

#[cfg(test)]
mod tests {
    use super::*;

    fn site(there: &[&str]) -> Result<Site, String> {
        let yaml = "
vendors:
- {name: openai, kind: openai, url: 'https://h', credential: {env: A}}
- {name: claude, kind: anthropic, url: 'https://h', credential: {file: /b}}
- {name: echo, kind: echo}
models:
- {name: m, serve: [{vendor: openai}, {vendor: claude}]}
- {name: n, serve: [{vendor: claude, model: x}]}
- {name: o, serve: [{vendor: echo}]}
keys:
- {name: k, sha256: 37a721706adc5240e60def713f9817d6800983f74ab6c89c32f41c244b29e03f, vendors: [openai]}
";
        Site::new(config::yaml(yaml).unwrap(), |secret| match secret {
            Secret::Env(name) | Secret::File(name) => there.contains(&name.as_str()),
        })
    }

    /// `m=openai,claude` and so on.
    fn serving(site: &Site) -> Vec<String> {
        let line = |model: &written::Model| {
            let vendors: Vec<&str> = model.serve.iter().map(|hop| hop.vendor.as_str()).collect();
            format!("{}={}", model.name, vendors.join(","))
        };
        site.written.models.iter().map(line).collect()
    }

    #[test]
    fn leaves_out_vendors_without_a_credential() {
        for (there, cast, models) in [
            (&["A", "/b"][..], Cast::AsWritten, ["m=openai,claude", "n=claude", "o=echo"]),
            (&["A"], Cast::AsWritten, ["m=openai", "n=", "o=echo"]),
            (&["/b"], Cast::AsWritten, ["m=claude", "n=claude", "o=echo"]),
            (&[], Cast::StandIn, ["m=echo", "n=echo", "o=echo"]),
        ] {
            let site = site(there).unwrap();
            assert_eq!((site.cast, serving(&site)), (cast, models.map(str::to_owned).to_vec()), "{there:?}");
        }
        let may = |there| site(there).unwrap().written.keys[0].vendors.clone().unwrap().concat();
        assert_eq!([may(&["A"]), may(&["/b"]), may(&[])], ["openai", "", "echo"]);
        let remedies: Vec<String> = site(&[]).unwrap().left_out.iter().map(LeftOut::remedy).collect();
        assert_eq!(remedies, ["set A", "put its key into /b"]);
    }
}

//! `models`.

use super::cache::{self, Gateway};
use super::limits::rules;
use super::price::Prices;
use super::{Form, ROUTED, check_names, unknown, weights};
use crate::config::problem::Problems;
use crate::config::{Hop, Model, Vendor, written};

/// Every model, if all are right. Without `vendors`, some of which are wrong, there are no prices to look up.
pub(super) fn models(
    written: &written::Written,
    vendors: Option<&[Vendor]>,
    form: Form,
    problems: &mut Problems,
) -> Option<Vec<Model>> {
    let prices = Prices::new(vendors.unwrap_or_default());
    let names: Vec<&str> = written.models.iter().map(|model| model.name.as_str()).collect();
    check_names("models", &names, ROUTED, problems);
    let checked: Vec<_> = written
        .models
        .iter()
        .enumerate()
        .map(|(i, model)| {
            let at = format!("models[{i}].serve");
            if model.serve.is_empty() && form == Form::File {
                problems.note(&at, "names nobody: at least one vendor must serve the model");
            }
            let serve = hops(model, &at, &written.vendors, problems);
            let serve = prices.of_hops(model, serve, &format!("models[{i}]"), problems);
            let rules = rules(model.limits.as_ref(), None, &format!("models[{i}]"), problems);
            let gateway = Gateway::of(written.cache.as_ref());
            let cache = cache::own(model.cache.as_ref(), &format!("models[{i}].cache"), gateway, problems);
            let weights = model.weights.as_ref().map(|own| weights(own, &format!("models[{i}].weights"), problems));
            Some(Model { name: model.name.clone(), cache, weights, serve: serve?, rules: rules? })
        })
        .collect();
    checked.into_iter().collect()
}

fn hops(model: &written::Model, at: &str, vendors: &[written::Vendor], problems: &mut Problems) -> Option<Vec<Hop>> {
    let mut hops: Vec<Option<Hop>> = Vec::new();
    for (i, written) in model.serve.iter().enumerate() {
        let name = written.model.as_ref().unwrap_or(&model.name).clone();
        if written.model.is_some() && !is_foreign_name(&name) {
            problems.note(format!("{at}[{i}].model"), "must be 1 to 256 characters, none of them a control character");
        }
        let position = vendors.iter().position(|vendor| vendor.name == written.vendor);
        let vendor = position.ok_or_else(|| unknown("vendor", &written.vendor, vendors.iter().map(|v| &*v.name)));
        let vendor = problems.keep(format!("{at}[{i}].vendor"), vendor);
        let hop = vendor.map(|vendor| Hop { vendor, model: name, price: None, context: None });
        if hop.is_some() && hops.contains(&hop) {
            problems.note(format!("{at}[{i}]"), "is listed twice");
        }
        hops.push(hop);
    }
    hops.into_iter().collect()
}

/// What vendors call their models is their affair; this much fits into a URL and a log line.
fn is_foreign_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.contains(char::is_control)
}

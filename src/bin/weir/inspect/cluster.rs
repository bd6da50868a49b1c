//! Where requests go.

use weir::config::{Config, Problems, Vendor};
use weir::flow::call::INNER;
use weir::redis::BRIDGE;

use super::listener::Led;
use super::node::Node;
use super::plugin::Plugin;

/// Checks the clusters that routes lead vendors' requests to, and those that the filter calls by their names.
pub fn clusters(root: &Node<'_>, led: &[Led<'_>], config: &Config, problems: &mut Problems) {
    let all = root.at("static_resources.clusters");
    let find = |name: &str| all.items().into_iter().find(|cluster| cluster.name() == name);
    let mut seen: Vec<&str> = Vec::new();
    for Led { vendor, cluster } in led {
        if seen.contains(vendor) {
            continue;
        }
        seen.push(vendor);
        match (config.vendor(vendor), find(cluster.text())) {
            (None, _) => {
                problems.note(&cluster.path, format!("there is no vendor {vendor:?} in the configuration of Weir"))
            }
            (_, None) => problems.note(&cluster.path, format!("there is no cluster {:?}", cluster.text())),
            (Some((_, vendor)), Some(cluster)) => one(&cluster, vendor, root, problems),
        }
    }
    let bridge = config.redis.as_ref().map(|_| BRIDGE);
    for name in [INNER].into_iter().chain(bridge) {
        if find(name).is_none() {
            problems.note(&all.path, format!("lacks {name}, which the filter calls"));
        }
    }
    inside(root, &all, problems);
}

fn one(cluster: &Node<'_>, vendor: &Vendor, root: &Node<'_>, problems: &mut Problems) {
    let options = cluster.at("typed_extension_protocol_options").members().into_iter();
    let Some((_, options)) = options.into_iter().find(|(name, _)| *name == HTTP) else {
        problems
            .note(&cluster.path, format!("lacks the upstream filter: typed_extension_protocol_options with {HTTP}"));
        return;
    };
    let list = options.at("http_filters");
    let filters = list.items();
    let plugin = |filter: &Node<'_>| Plugin::of(filter).is_some_and(|plugin| plugin.role() == "vendor");
    let Some(place) = filters.iter().position(plugin) else {
        problems.note(&list.path, "lacks the filter in its role vendor: requests would go out untranslated");
        return;
    };
    if let Some(plugin) = filters.get(place).and_then(Plugin::of).filter(|plugin| plugin.vendor() != vendor.name) {
        let text = format!("translates for {:?}, and routes lead {:?} here", plugin.vendor(), vendor.name);
        problems.note(plugin.config.at("configuration").path, text);
    }
    credential(&list, &filters, place, vendor, root, problems);
    signature(&list, &filters, place, vendor, problems);
    if !filters.last().is_some_and(|filter| filter.is_a("UpstreamCodec")) {
        problems.note(&list.path, "must end with envoy.filters.http.upstream_codec");
    }
    if !cluster.at("load_assignment.endpoints").items().iter().any(|host| host.at("priority").value == 1)
        && cluster.at("type").text().ends_with("DNS")
    {
        problems.note(
            cluster.at("load_assignment.endpoints").path,
            "lacks a closed host of priority 1: while the name cannot be resolved, no other vendor would be tried",
        );
    }
}

/// The credential comes in behind the filter, which must not see it.
fn credential(
    list: &Node<'_>,
    filters: &[Node<'_>],
    place: usize,
    vendor: &Vendor,
    root: &Node<'_>,
    problems: &mut Problems,
) {
    if vendor.credential.is_none() {
        return;
    }
    let injector = filters.iter().position(|filter| filter.is_a("CredentialInjector"));
    match injector {
        None => {
            problems.note(&list.path, "lacks envoy.filters.http.credential_injector: the vendor gets no credential")
        }
        Some(injector) if injector < place => {
            problems.note(&list.path, "has the credential before the filter, which takes it out again");
        }
        Some(injector) => {
            let secret =
                filters.get(injector).map(|filter| filter.at("typed_config.credential.typed_config.credential"));
            let known =
                |name: &str| root.at("static_resources.secrets").items().iter().any(|secret| secret.name() == name);
            if let Some(secret) = secret.filter(|secret| !secret.at("sds_config").is_there() && !known(secret.name())) {
                problems
                    .note(&secret.path, format!("there is no secret {:?} in static_resources.secrets", secret.name()));
            }
        }
    }
}

/// What is signed must be what goes out, so the signature comes behind the filter, too.
fn signature(list: &Node<'_>, filters: &[Node<'_>], place: usize, vendor: &Vendor, problems: &mut Problems) {
    let Some(signing) = &vendor.signing else {
        return;
    };
    let signer = filters.iter().enumerate().find(|(_, filter)| filter.is_a("AwsRequestSigning"));
    match signer {
        None => problems.note(
            &list.path,
            "lacks envoy.filters.http.aws_request_signing: requests would go out without a signature",
        ),
        Some((signer, _)) if signer < place => {
            problems.note(&list.path, "signs requests before the filter, which then changes them");
        }
        Some((_, signer)) => {
            let region = signer.at("typed_config.region");
            if region.text() != signing.region {
                problems.note(&region.path, format!("must be {:?}, the vendor's region", signing.region));
            }
        }
    }
}

/// Addresses inside this Envoy lead somewhere.
fn inside(root: &Node<'_>, clusters: &Node<'_>, problems: &mut Problems) {
    let listeners = root.at("static_resources.listeners").items();
    for address in clusters.all().iter().map(|node| node.at("envoy_internal_address.server_listener_name")) {
        let there =
            |listener: &Node<'_>| listener.name() == address.text() && listener.at("internal_listener").is_there();
        if address.is_there() && !listeners.iter().any(there) {
            problems.note(&address.path, format!("there is no internal listener {:?}", address.text()));
        }
    }
}

const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

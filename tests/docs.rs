//! The documentation against the code: no page names a file that is not there, and the API's page is complete.

#![allow(clippy::unwrap_used, reason = "a test may panic; clippy takes the functions that tests share for traffic's")]

use std::fs;
use std::path::{Path, PathBuf};

use weir::flow::endpoint::ENDPOINTS;
use weir::flow::trace::TAGS;
use weir::metric::METRICS;

#[test]
fn no_page_names_a_file_that_is_not_there() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let relative = links.filter(|link| !link.contains("://")).map(|link| page.parent().unwrap().join(link));
        let quoted = text.split('`').skip(1).step_by(2).filter(|word| names_a_file(word)).map(|word| root().join(word));
        wrong.extend(relative.chain(quoted).filter(|path| !path.exists()).map(|path| (page.clone(), path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_page_of_the_api_is_complete() {
    let page = fs::read_to_string(root().join("docs/api.md")).unwrap();
    for (path, method, _) in ENDPOINTS {
        assert!(page.contains(&format!("| `{method} {path}` |")), "{method} {path}");
    }
    assert!(statuses().len() > 15, "the statuses are found");
    for status in statuses() {
        assert!(page.contains(&format!("\n| {status} |")), "status {status}");
    }
}

#[test]
fn the_page_of_metrics_is_complete() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for metric in METRICS {
        let labels = if metric.labels.is_empty() { String::new() } else { format!("{{{}}}", metric.labels.join(",")) };
        let row = format!("| `{}{labels}` | {} | ", metric.name, metric.kind.word());
        assert!(page.contains(&row), "{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `api_gateway_") && line.contains("` | ")).count();
    // Three of them stand in the table of other people's names, too.
    assert_eq!(rows, METRICS.len() + 3);
    for (attribute, _) in TAGS {
        assert!(page.contains(&format!("`{attribute}`")), "{attribute}");
    }
}

/// Every status that the code gives an answer of its own: in its refusals, and in the table of vendors' failures.
fn statuses() -> Vec<String> {
    let sources =
        ["src/refusal.rs", "src/vendor/failure.rs"].map(|path| fs::read_to_string(root().join(path)).unwrap());
    let shown = |source: &str, before: &str| -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        code.split(before).skip(1).map(|rest| rest.chars().take(3).collect()).collect()
    };
    let [refusal, failure] = &sources;
    let found: Vec<String> =
        [shown(refusal, "Refusal::new("), shown(failure, "row("), shown(failure, "upstream(")].concat();
    found.into_iter().filter(|word| word.parse::<u16>().is_ok()).collect()
}

/// Whether a quoted word is a path of this project, and not a pattern of paths.
fn names_a_file(word: &str) -> bool {
    let folders = ["src/", "tests/", "docs/", "envoy/", ".ci/"];
    folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['<', '*', ' '])
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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
fn the_tables_of_fields_are_those_of_the_types() {
    let path = root().join("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(FIELDS).unwrap();
    let (kept, after) = rest.split_once(END).unwrap();
    let tables = format!("\n\n{}\n", weir::config::schema::reference());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, [before, FIELDS, &tables, END, after].concat()).unwrap();
    } else {
        assert!(kept == tables, "out of step; `UPDATE=1 cargo test --test docs` writes the tables anew");
    }
}

/// Where the tables of the page of the configuration begin and end.
const FIELDS: &str = "<!-- Made from src/config/written.rs. -->";
const END: &str = "<!-- The end of what is made. -->";

#[test]
fn the_chinese_pages_are_in_step() {
    for (page, chinese) in [("README.md", "README.zh-CN.md"), ("docs/api.md", "docs/api.zh-CN.md")] {
        let [page, chinese] = [page, chinese].map(|path| fs::read_to_string(root().join(path)).unwrap());
        assert_eq!(code(&page), code(&chinese));
        assert_eq!(rows(&page), rows(&chinese));
        let headings = |page: &str| -> Vec<usize> {
            prose(page).filter(|line| line.starts_with('#')).map(|line| line.matches('#').count()).collect()
        };
        assert_eq!(headings(&page), headings(&chinese));
    }
}

/// The blocks of code of a page, which are the same in every language.
fn code(page: &str) -> Vec<&str> {
    page.split("```").skip(1).step_by(2).collect()
}

/// The lines of a page that are no code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    page.split("```").step_by(2).flat_map(str::lines)
}

/// What the rows of a page's tables are about, where that is a name or a number: endpoints, headers, statuses, metrics.
fn rows(page: &str) -> Vec<String> {
    prose(page)
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .filter(|cell| cell.starts_with(|start: char| start == '`' || start.is_ascii_digit()))
        .map(|cell| cell.replace('、', ", "))
        .collect()
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
    let folders = ["src/", "tests/", "docs/", "envoy/", "docker/", "observe/", ".ci/"];
    folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['<', '*', ' '])
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

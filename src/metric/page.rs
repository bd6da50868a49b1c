//! The page `/metrics`: Envoy's text, as Prometheus wants it.
//!
//! Envoy prints whole numbers, no descriptions, and `{}` where there are no labels. Here each line of it is either one of
//! the [`table`](super::table)'s, and is rewritten with its public name and unit, or somebody else's, and is dropped or
//! kept as it is. A line that cannot be read is left out: a scraper that meets one refuses the whole page.

use super::table::{Kind, METRICS, Metric, Unit};

/// What becomes of statistics that are not Weir's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are left out.
    Dropped,
    /// They follow where they stand.
    Kept,
}

/// A gauge at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which.
    pub gauge: &'static Metric,
    /// The values of its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub value: f64,
}

/// Makes the page out of what Envoy's admin interface says and what is read; readings of one gauge stand together.
pub fn page(envoy: &[u8], others: Others, readings: &[Reading]) -> Vec<u8> {
    let mut page = Page { out: String::with_capacity(envoy.len() + envoy.len() / 4 + 1024), told: 0 };
    for line in envoy.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let known = match line.strip_prefix("# TYPE ") {
            Some(rest) => page.introduce_known(rest),
            None => page.known(line),
        };
        match (known, others) {
            (Known::Ours, _) | (Known::Foreign, Others::Dropped) => {}
            (Known::Foreign, Others::Kept) => page.keep(line),
        }
    }
    for Reading { gauge, labels, value } in readings {
        page.introduce(gauge);
        page.out.push_str(gauge.name);
        page.labels(gauge.labels.iter().copied().zip(labels.iter().map(String::as_str)), escaped);
        page.value(&value.to_string());
    }
    page.out.into_bytes()
}

struct Page {
    out: String,
    /// Which of [`METRICS`] have been introduced, a bit for each.
    told: u64,
}

/// Whose a line is.
enum Known {
    /// Weir's; it is done with.
    Ours,
    /// Somebody else's.
    Foreign,
}

impl Page {
    /// `NAME counter`
    fn introduce_known(&mut self, rest: &str) -> Known {
        let name = rest.split(' ').next().unwrap_or_default();
        match METRICS.into_iter().find(|metric| !metric.inside.is_empty() && metric.inside == name) {
            Some(metric) => {
                self.introduce(metric);
                Known::Ours
            }
            None => Known::Foreign,
        }
    }

    /// Describes a metric, once.
    fn introduce(&mut self, metric: &'static Metric) {
        let place = METRICS.iter().position(|known| std::ptr::eq(*known, metric)).unwrap_or(METRICS.len());
        if self.told & (1 << place) != 0 {
            return;
        }
        self.told |= 1 << place;
        for part in ["# HELP ", metric.name, " ", metric.help, "\n# TYPE ", metric.name, " ", metric.kind.word(), "\n"]
        {
            self.out.push_str(part);
        }
    }

    /// One sample, if it is Weir's.
    fn known(&mut self, line: &str) -> Known {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let Some((metric, suffix)) = find(name) else { return Known::Foreign };
        let start = self.out.len();
        if self.sample(metric, suffix, line.get(name.len()..).unwrap_or_default()).is_none() {
            self.out.truncate(start);
        }
        Known::Ours
    }

    /// What stands after the name: labels, if any, and the value.
    fn sample(&mut self, metric: &'static Metric, suffix: &str, rest: &str) -> Option<()> {
        let (labels, value) = labels(rest)?;
        let unit = if suffix == "_count" || suffix == "_bucket" { Unit::One } else { metric.unit };
        let value = scaled(value, unit)?;
        self.introduce(metric);
        self.out.push_str(metric.name);
        self.out.push_str(suffix);
        let bound = labels.iter().find(|(label, _)| *label == "le" && suffix == "_bucket");
        let bound = match bound {
            Some((_, bound)) => Some(if *bound == "+Inf" { "+Inf".to_owned() } else { scaled(bound, metric.unit)? }),
            None if suffix == "_bucket" => return None,
            None => None,
        };
        let own = metric.labels.iter().filter_map(|own| labels.iter().find(|(label, _)| label == own).copied());
        self.labels(own.chain(bound.as_deref().map(|bound| ("le", bound))), |value, out| out.push_str(value));
        self.value(&value);
        Some(())
    }

    fn labels<'l>(&mut self, labels: impl Iterator<Item = (&'l str, &'l str)>, write: fn(&str, &mut String)) {
        let mut before = '{';
        for (label, value) in labels {
            self.out.push(before);
            self.out.push_str(label);
            self.out.push_str("=\"");
            write(value, &mut self.out);
            self.out.push('"');
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
    }

    fn value(&mut self, value: &str) {
        self.out.push(' ');
        self.out.push_str(value);
        self.out.push('\n');
    }

    /// Somebody else's line.
    fn keep(&mut self, line: &str) {
        match line.split_once("{} ") {
            Some((name, value)) if !name.contains(['"', ' ']) => {
                self.out.push_str(name);
                self.value(value);
            }
            _ if line.is_empty() => {}
            _ => {
                self.out.push_str(line);
                self.out.push('\n');
            }
        }
    }
}

/// The metric with this name in Envoy, and what a histogram adds to it.
fn find(name: &str) -> Option<(&'static Metric, &'static str)> {
    if !name.starts_with("api_gateway_") {
        return None;
    }
    METRICS.into_iter().filter(|metric| !metric.inside.is_empty()).find_map(|metric| {
        let rest = name.strip_prefix(metric.inside)?;
        let suffixes: &[&'static str] = match metric.kind {
            Kind::Histogram(_) => &["_bucket", "_sum", "_count"],
            Kind::Counter | Kind::Gauge => &[""],
        };
        suffixes.iter().find(|suffix| **suffix == rest).map(|suffix| (metric, *suffix))
    })
}

/// `{a="x",b="y"} 1`, taken apart; values stay escaped as they are.
fn labels(rest: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let mut labels = Vec::new();
    let Some(mut rest) = rest.strip_prefix('{') else { return Some((labels, rest.strip_prefix(' ')?)) };
    while !rest.starts_with('}') {
        let (label, after) = rest.split_once("=\"")?;
        let end = closing(after)?;
        labels.push((label, after.get(..end)?));
        rest = after.get(end + 1..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some((labels, rest.strip_prefix("} ")?))
}

/// Where the quote stands that ends a value.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Envoy's number in the page's unit, as a decimal; `None` if it is none.
fn scaled(number: &str, unit: Unit) -> Option<String> {
    let digits = match unit {
        Unit::One => {
            let fine = number.parse::<f64>().ok()?.is_finite();
            return fine.then(|| number.to_owned());
        }
        Unit::NanoUsd => 9,
        Unit::Micros => 6,
    };
    // Sums of histograms are not whole: Envoy estimates them.
    let whole = number.parse::<u64>().ok().or_else(|| {
        let number = number.parse::<f64>().ok().filter(|number| (0.0..1e18).contains(number))?;
        Some(number.round() as u64)
    })?;
    let one = 10_u64.pow(digits);
    let text = format!("{}.{:0width$}", whole / one, whole % one, width = digits as usize);
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn escaped(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use crate::test;

    fn rewritten(envoy: &str, others: Others) -> String {
        String::from_utf8(page(envoy.as_bytes(), others, &[])).unwrap()
    }

    fn ours(envoy: &str) -> String {
        rewritten(envoy, Others::Dropped)
    }

    #[test]
    fn describes_each_metric_and_cleans_its_name() {
        let help = table::REDIS_SKIPPED.help;
        assert_eq!(
            ours("# TYPE api_gateway_redis_skipped_total counter\napi_gateway_redis_skipped_total{} 3\n\n"),
            format!(
                "# HELP api_gateway_redis_skipped_total {help}\n# TYPE api_gateway_redis_skipped_total counter\n\
                 api_gateway_redis_skipped_total 3\n"
            )
        );
    }

    #[test]
    fn keeps_labels_as_they_are_escaped() {
        let line = r#"api_gateway_unmetered_total{vendor="a\"b\\,c} 1"} 7"#;
        let page = ours(line);
        assert!(page.ends_with(&format!("\n{line}\n")), "{page}");
    }

    #[test]
    fn labels_that_envoy_adds_are_left_out() {
        let page = ours(r#"api_gateway_unmetered_total{envoy_response_code="503",vendor="a_rq_503"} 7"#);
        assert!(page.ends_with("\napi_gateway_unmetered_total{vendor=\"a_rq_503\"} 7\n"), "{page}");
    }

    #[test]
    fn money_is_told_in_dollars() {
        for (nano, usd) in [
            ("0", "0"),
            ("1", "0.000000001"),
            ("1230000", "0.00123"),
            ("1000000000", "1"),
            ("18446744073709551615", "18446744073.709551615"),
        ] {
            let page = ours(&format!("api_gateway_cost_nanousd_total{{vendor=\"v\",model=\"m\"}} {nano}"));
            assert!(
                page.ends_with(&format!("\napi_gateway_cost_usd_total{{vendor=\"v\",model=\"m\"}} {usd}\n")),
                "{page}"
            );
        }
    }

    #[test]
    fn times_are_told_in_seconds() {
        let envoy = "# TYPE api_gateway_overhead_us histogram\n\
            api_gateway_overhead_us_bucket{endpoint=\"/x\",le=\"50\"} 1\n\
            api_gateway_overhead_us_bucket{endpoint=\"/x\",le=\"1e+06\"} 2\n\
            api_gateway_overhead_us_bucket{endpoint=\"/x\",le=\"+Inf\"} 3\n\
            api_gateway_overhead_us_sum{endpoint=\"/x\"} 1710.0099999999999\n\
            api_gateway_overhead_us_count{endpoint=\"/x\"} 3\n";
        let page = ours(envoy);
        let (_, samples) = page.split_once("# TYPE api_gateway_overhead_seconds histogram\n").unwrap();
        assert_eq!(
            samples,
            "api_gateway_overhead_seconds_bucket{endpoint=\"/x\",le=\"0.00005\"} 1\n\
             api_gateway_overhead_seconds_bucket{endpoint=\"/x\",le=\"1\"} 2\n\
             api_gateway_overhead_seconds_bucket{endpoint=\"/x\",le=\"+Inf\"} 3\n\
             api_gateway_overhead_seconds_sum{endpoint=\"/x\"} 0.00171\n\
             api_gateway_overhead_seconds_count{endpoint=\"/x\"} 3\n"
        );
    }

    #[test]
    fn what_is_not_ours_is_dropped_or_kept() {
        let envoy =
            "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\nenvoy_x{a=\"{} 1\"} 2\napi_gateway_new{} 3\n";
        assert_eq!(ours(envoy), "");
        assert_eq!(
            rewritten(envoy, Others::Kept),
            "# TYPE envoy_server_live gauge\nenvoy_server_live 1\nenvoy_x{a=\"{} 1\"} 2\napi_gateway_new 3\n"
        );
    }

    #[test]
    fn a_line_that_cannot_be_read_is_left_out() {
        for line in [
            "api_gateway_unmetered_total",
            "api_gateway_unmetered_total{",
            "api_gateway_unmetered_total{} ",
            "api_gateway_unmetered_total{} x",
            "api_gateway_unmetered_total{vendor=\"a} 1",
            "api_gateway_unmetered_total{vendor=\"a\\\"} 1",
            "api_gateway_unmetered_total{vendor=\"a\"}1",
            "api_gateway_unmetered_total{vendor} 1",
            "api_gateway_unmetered_total{} nan",
            "api_gateway_unmetered_total_bucket{le=\"1\"} 1",
            "api_gateway_overhead_us{} 1",
            "api_gateway_overhead_us_bucket{} 1",
            "api_gateway_overhead_us_bucket{le=\"x\"} 1",
            "api_gateway_cost_nanousd_total{} -1",
            "api_gateway_cost_nanousd_total{} 1e30",
            "# TYPE",
            "# TYPE ",
            "",
        ] {
            assert_eq!(ours(line), "", "{line}");
        }
        assert_eq!(page(b"api_gateway_unmetered_total{vendor=\"\xff\"} 1\n", Others::Kept, &[]), b"");
    }

    #[test]
    fn any_cut_and_any_damage_is_survived() {
        let line = "# TYPE api_gateway_overhead_us histogram\napi_gateway_overhead_us_bucket{endpoint=\"/\\\"x\",le=\"50\"} 1\n";
        let line = line.as_bytes();
        for cut in 0..line.len() {
            for others in [Others::Dropped, Others::Kept] {
                let (before, after) = line.split_at(cut);
                let mut damaged = line.to_vec();
                damaged[cut] = b'"';
                for text in [before, after, &damaged] {
                    let _ = page(text, others, &[]);
                }
            }
        }
    }

    #[test]
    fn gauges_follow() {
        let reading = |gauge, labels: &[&str], value| Reading {
            gauge,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            value,
        };
        let readings = [
            reading(&table::BREAKER, &["v", "a\"b\\\n"], 2.0),
            reading(&table::BREAKER, &["v", "m"], 0.0),
            reading(&table::IN_FLIGHT, &[], 0.25),
        ];
        let page = String::from_utf8(page(b"", Others::Dropped, &readings)).unwrap();
        let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines,
            [
                "# TYPE api_gateway_breaker_state gauge",
                r#"api_gateway_breaker_state{vendor="v",model="a\"b\\\n"} 2"#,
                r#"api_gateway_breaker_state{vendor="v",model="m"} 0"#,
                "# TYPE api_gateway_in_flight gauge",
                "api_gateway_in_flight 0.25",
            ]
        );
    }
}

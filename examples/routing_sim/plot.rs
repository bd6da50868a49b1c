//! The picture in `docs/routing.md`: mean loss over time, of what is learned, the order of the file, and the oracle.

use std::fmt::Write;

use crate::contest::{POLICIES, Round};
use crate::replay::Outcome;
use crate::scenario::LENGTH;

/// Which policies are drawn, and the class of their line.
const LINES: [(&str, &str); 3] = [("learned", "a"), ("order of the file", "b"), ("least latency", "c")];
const COLUMNS: usize = 2;
/// A panel, and the space around it, in pixels.
const PANEL: (f64, f64) = (340.0, 120.0);
const GAP: (f64, f64) = (60.0, 50.0);
/// The largest loss that is drawn; a line that goes beyond stays at the edge.
const TOP: f64 = 10.0;
/// Seconds that are one point of a line.
const STEP: f64 = 5.0;

/// Colours that are dark enough on white and bright enough on black.
const STYLE: &str = "text{font:12px sans-serif;fill:#808080}.t{font-weight:bold}path{fill:none;stroke-width:1.5}\
.a{stroke:#2f81f7}.b{stroke:#d1603d}.c{stroke:#9a6fd0}.o{stroke:#808080;stroke-dasharray:3 3}\
.f{stroke:#808080;stroke-width:.5}";

/// The picture.
pub fn svg(rounds: &[Round]) -> String {
    let rows = (rounds.len() + 1).div_ceil(COLUMNS) as f64;
    let (width, height) = (COLUMNS as f64 * (PANEL.0 + GAP.0), rows * (PANEL.1 + GAP.1));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Mean loss over time in the shipped scenarios</title>\n<style>{STYLE}</style>\n"
    );
    for (place, round) in rounds.iter().enumerate() {
        panel(&mut svg, place, round);
    }
    legend(&mut svg, rounds.len());
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, place: usize, round: &Round) {
    let (x, y) = corner(place);
    let bottom = y + PANEL.1;
    let _ = writeln!(svg, "<text class=\"t\" x=\"{x}\" y=\"{}\">{}</text>", y - 6.0, round.scenario.name);
    let _ = writeln!(svg, "<path class=\"f\" d=\"M{x} {y}V{bottom}H{}\"/>", x + PANEL.0);
    for loss in [2.0, TOP] {
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{loss}</text>", x - 5.0, height(y, loss) + 4.0);
    }
    for second in [0.0, 150.0, 300.0] {
        let across = x + second / LENGTH * PANEL.0;
        let _ = writeln!(svg, "<text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>", bottom + 15.0);
    }
    for (policy, class) in LINES.iter().rev() {
        let outcomes = POLICIES.iter().position(|name| name == policy).and_then(|index| round.outcomes.get(index));
        line(svg, (x, y), class, outcomes.into_iter().flatten());
    }
    line(svg, (x, y), "o", round.oracle.iter());
}

fn line<'o>(svg: &mut String, (x, y): (f64, f64), class: &str, outcomes: impl Iterator<Item = &'o Outcome>) {
    let mut sums = vec![(0.0, 0.0); (LENGTH / STEP) as usize];
    for outcome in outcomes {
        if let Some((sum, count)) = sums.get_mut((outcome.at / STEP) as usize) {
            (*sum, *count) = (*sum + outcome.loss, *count + 1.0);
        }
    }
    let points = sums.iter().enumerate().filter(|(_, (_, count))| *count > 0.0).map(|(index, (sum, count))| {
        let across = x + (index as f64 + 0.5) * STEP / LENGTH * PANEL.0;
        format!("{across:.1} {:.1}", height(y, sum / count))
    });
    let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{}\"/>", points.collect::<Vec<_>>().join("L"));
}

fn legend(svg: &mut String, place: usize) {
    let (x, y) = corner(place);
    let _ =
        writeln!(svg, "<text x=\"{x}\" y=\"{}\">mean loss, 2 = the cheapest and the fastest at once</text>", y + 10.0);
    for (row, (policy, class)) in LINES.into_iter().chain([("oracle", "o")]).enumerate() {
        let y = y + 32.0 + 20.0 * row as f64;
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{x} {}h30\"/>", y - 4.0);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\">{policy}</text>", x + 38.0);
    }
}

fn corner(place: usize) -> (f64, f64) {
    let (column, row) = ((place % COLUMNS) as f64, (place / COLUMNS) as f64);
    (column * (PANEL.0 + GAP.0) + GAP.0 / 2.0, row * (PANEL.1 + GAP.1) + GAP.1 / 2.0)
}

fn height(y: f64, loss: f64) -> f64 {
    y + PANEL.1 * (1.0 - loss.min(TOP) / TOP)
}

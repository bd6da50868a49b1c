"""Whether a series of samples grows, or only wavers; and a picture of it."""

from dataclasses import dataclass
from itertools import combinations
from statistics import median


@dataclass(frozen=True)
class Bound:
    """How much a series may seem to grow in the second half of a run and still pass for flat.

    Wavering is taken from the series itself, three times its median distance from the line; but a process also takes memory by the
    megabyte and keeps it, so beside that there is a least growth that means anything: a share of its middle, or so much.
    """

    share: float
    least: float

    def of(self, values, line):
        wavering = 3 * median(abs(value - at) for value, at in zip(values, line, strict=True))
        return max(wavering, self.share * median(values), self.least)


def slope(points):
    """Of the line through the points, by Theil and Sen: the median of the slopes between any two. Up to a third of the points
    may be anything."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    return median(slopes) if slopes else 0.0


@dataclass(frozen=True)
class Verdict:
    """What the second half of a series has done."""

    grown: float
    bound: float

    @property
    def flat(self):
        return self.grown <= self.bound


def judge(points, bound):
    """Of the second half, because the first is when a gateway fills its memories."""
    half = thinned(points[len(points) // 2:])
    if len(half) < 4:
        raise ValueError("too few samples to say anything")
    steep = slope(half)
    middle = median(y - steep * x for x, y in half)
    values = [y for _, y in half]
    grown = steep * (half[-1][0] - half[0][0])
    return Verdict(grown, bound.of(values, [middle + steep * x for x, _ in half]))


def thinned(points, most=400):
    """Every so many of the points, so that there are not too many pairs."""
    return points[:: len(points) // most + 1]


def plot(series):
    """An SVG with a panel for each series: (title, points, verdict or None)."""
    width, height, left = 900, 130, 70
    panels = []
    for number, (title, points, verdict) in enumerate(series):
        top = number * height + 24
        xs, ys = [x for x, _ in points], [y for _, y in points]
        # From zero, so that wavering does not look like a mountain.
        wide, high = max(max(xs) - min(xs), 1e-9), max(max(ys) * 1.1, 1e-9)
        path = " ".join(f"{left + (x - min(xs)) / wide * (width - left - 10):.1f},{top + 90 - y / high * 90:.1f}"
                        for x, y in thinned(points, 800))
        said = f"; grew {verdict.grown:.1f} of {verdict.bound:.1f} in the second half" if verdict else ""
        colour = "#b00020" if verdict and not verdict.flat else "#1f6feb"
        panels.append(
            f'<text x="{left}" y="{top - 6}">{title}{said}</text>'
            f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">{high:.0f}</text>'
            f'<text x="{left - 6}" y="{top + 92}" text-anchor="end">0</text>'
            f'<rect x="{left}" y="{top}" width="{width - left - 10}" height="90" fill="none" stroke="#ccc"/>'
            f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(series) * height}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>{"".join(panels)}</svg>\n')

"""What the rounds come to: medians, ratios to the bare Envoy of the same round, the cost of a chunk, and tables of them."""

from statistics import median

from rows import PIECES

BEGIN = "<!-- Made by `UPDATE=1 make bench`. -->"
END = "<!-- The end of what is made. -->"
FIGURES = ["requests_per_second", "cpu_us", "p50_us", "p99_us", "resident_mb"]

GOALS = [
    ("relay 1 KB", "cpu_ratio", 1.3),
    ("relay 100 KB", "cpu_ratio", 2.0),
    ("Anthropic", "cpu_ratio", 1.6),
    ("L1 hit", "cpu_ratio", 0.8),
    ("relay 1 KB, alone", "p50_added_us", 150),
]
"""At most this, of a row's figure."""
CHUNK_GOAL = 1.3


def summary(rows, results, about):
    """All that was measured, by row; a ratio is the median of the rounds' ratios, and so is a difference."""
    table = {}
    for row in rows:
        rounds = results[row.name]
        told = {figure: round(median(one[figure] for one in rounds), 1) for figure in FIGURES}
        if row.basis and row.basis in results:
            told |= {"basis": row.basis, **compared(rounds, results[row.basis])}
        table[row.name] = {**told, "connections": row.connections, "rounds": rounds}
    return {**about, "rows": table, "chunk": chunk(results)}


def compared(rounds, basis):
    pairs = list(zip(rounds, basis, strict=True))

    def ratio(figure):
        return round(median(one[figure] / other[figure] for one, other in pairs), 3)

    def added(figure):
        return round(median(one[figure] - other[figure] for one, other in pairs), 1)

    return {"requests_ratio": ratio("requests_per_second"), "cpu_ratio": ratio("cpu_us"),
            "p50_added_us": added("p50_us"), "p99_added_us": added("p99_us")}


def chunk(results):
    """What one chunk more costs: a long stream without a short one, by the chunks between."""
    needed = [f"{bare}stream of {pieces}" for bare in ("bare ", "") for pieces in (PIECES, 1)]
    if not all(name in results for name in needed):
        return None
    each = [[(long["cpu_us"] - short["cpu_us"]) / (PIECES - 1) for long, short in zip(results[many], results[one])]
            for many, one in (needed[:2], needed[2:])]
    bare, weir = each
    return {"bare_us": round(median(bare), 2), "weir_us": round(median(weir), 2),
            "cpu_ratio": round(median(one / other for one, other in zip(weir, bare)), 3)}


def page(told):
    """The tables, as a page of documentation has them."""
    many = {name: row for name, row in told["rows"].items() if row["connections"] > 1}
    alone = {name: row for name, row in told["rows"].items() if row["connections"] == 1}
    machine = told["machine"]
    pinned = "Envoy on one core, vendor, load and Redis on the others" if machine["cores"] > 1 else "all on its only core"
    parts = [f"{machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}, {pinned}; the medians of "
             f"{told['rounds']} rounds of {told['seconds']} s in rotating order."]
    if many:
        parts.append(rows_page(many, f"{max(row['connections'] for row in many.values())} connections"))
    if told["chunk"]:
        parts.append("One more chunk of a stream costs {bare_us} us of a bare Envoy and {weir_us} us of Weir: "
                     "{cpu_ratio} times.".format(**told["chunk"]))
    if alone:
        parts.append(rows_page(alone, "one connection"))
    if goals := goals_page(told):
        parts.append(goals)
    return "\n\n".join(parts)


def goals_page(told):
    """What was aimed at, of what was measured."""
    units = {"cpu_ratio": "CPU, times a bare Envoy", "p50_added_us": "us added to the p50"}
    reached = [(f"{name}: {units[figure]}", goal, told["rows"][name][figure]) for name, figure, goal in GOALS
               if figure in told["rows"].get(name, {})]
    if told["chunk"]:
        reached.append((f"a streamed chunk: {units['cpu_ratio']}", CHUNK_GOAL, told["chunk"]["cpu_ratio"]))
    lines = [f"| {what} | {goal:g} | {measured:.4g} | {'yes' if measured <= goal else 'no'} |" for what, goal, measured in reached]
    return "\n".join(["| goal | at most | measured | reached |", "|" + "---|" * 4, *lines]) if lines else ""


def rows_page(rows, title):
    lines = [f"| {title} | requests/s | CPU us of Envoy | compared with | ratio | p50 us | p99 us | p50 added | p99 added | MB |",
             "|" + "---|" * 10]
    for name, row in rows.items():
        direct = name.startswith("direct")
        cells = [name.removesuffix(", alone"), f"{row['requests_per_second']:.0f}", "-" if direct else f"{row['cpu_us']:.1f}",
                 row.get("basis", "-").removesuffix(", alone"),
                 f"{row['cpu_ratio']:.2f}" if "basis" in row and not direct else "-", f"{row['p50_us']:.0f}",
                 f"{row['p99_us']:.0f}", f"{row['p50_added_us']:+.0f}" if "basis" in row else "-",
                 f"{row['p99_added_us']:+.0f}" if "basis" in row else "-", "-" if direct else f"{row['resident_mb']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def put(page_text, made):
    """A page with another middle between its markers."""
    before, found, rest = page_text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"

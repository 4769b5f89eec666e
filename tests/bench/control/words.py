# SPDX-License-Identifier: Apache-2.0
"""From figures to words: the table and the verdicts. Measures nothing."""

SECTION = ("<!-- control: written by control/run.py -->", "<!-- /control -->")

# Figure → what must hold, what is aimed at.
LIMITS = {
    "probe: p99, ms": (50, 25),
    "proxy: Pss, MB": (60, 30),
    "controller: Pss, MB": (300, 200),
    "cold start of controller and proxy → all 200, ms": (5_000, 2_000),
    "cold start of a proxy → all 200, ms": (5_000, 2_000),
    "foreign routes: busiest controller, % of a core": (1, None),
}


def best(name: str, values: list[float]) -> float:
    """Noise only adds to a time; what memory grew to is what counts."""
    return max(values) if ", MB" in name or "events a second" in name and "of a core" not in name else min(values)


def table(seen: dict[str, list[float]]) -> str:
    lines = ["| | seen | all rounds | must hold | aim |", "| --- | --- | --- | --- | --- |"]
    for name, values in seen.items():
        found = best(name, values)
        must, aim = LIMITS.get(name, (None, None))
        lines.append(f"| {name} | **{number(found)}** | {' '.join(number(value) for value in values)} | "
                     f"{verdict(found, must, 'holds', 'FAILS')} | {verdict(found, aim, 'met', 'not met')} |")
    return "\n".join(lines)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def verdict(found: float, limit: float | None, good: str, bad: str) -> str:
    return "" if limit is None else f"≤ {limit:,}: {good if found <= limit else bad}"


def broken(seen: dict[str, list[float]]) -> list[str]:
    """Must-hold figures that do not hold, or were not seen."""
    bad = [f"{name}: not seen" for name in LIMITS if name not in seen]
    for name, values in seen.items():
        must = LIMITS.get(name, (None,))[0]
        if must is not None and best(name, values) > must:
            bad.append(f"{name}: {number(best(name, values))}, {must:,} must hold")
    return bad

# SPDX-License-Identifier: Apache-2.0
"""From figures to words: the table, the verdicts, the section of the page. Measures nothing."""

import os
import platform
import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
OPEN, CLOSE = "<!-- control: written by control/run.py -->", "<!-- /control -->"

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


def machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"model name\s*:\s*(.*)", cpuinfo.read())
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}."


def write_readme(text: str) -> None:
    """Replaces what stands between the markers; the rest of the page is written by hand."""
    page = README.read_text(encoding="utf-8")
    before, rest = page.split(OPEN, 1)
    after = rest.split(CLOSE, 1)[1]
    README.write_text(f"{before}{OPEN}\n\n{text.strip()}\n\n{CLOSE}{after}", encoding="utf-8")

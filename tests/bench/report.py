# SPDX-License-Identifier: Apache-2.0
"""From rounds to words: tables, verdicts on the gates, the results. Measures nothing."""

import statistics
from dataclasses import dataclass

import measure
import page
import peers
from benches import GATES, Bench, Gate

SECTION = ("<!-- results: written by run.py -->", "<!-- /results -->")


@dataclass
class Outcome:
    """Everything that was seen of one bench."""

    bench: Bench
    labels: list[str]
    rounds: list[dict[str, measure.Sample]]
    failures: list[str]
    saturation: float

    def kept(self, label: str) -> list[measure.Sample]:
        return [r[label] for r in self.rounds if label in r and r[label].keeps(self.saturation)]

    def ratio(self, subject: str, base: str) -> tuple[float, float, float] | None:
        found = measure.ratios(self.rounds, subject, base, self.saturation)
        return measure.interval(found) if found else None


def table(outcome: Outcome) -> str:
    """One bench as Markdown."""
    many = len(outcome.bench.hosts) > 1
    bases = ["1 host"] if many else [base for base in outcome.bench.bases if base in outcome.labels]
    per_core = outcome.bench.unit.startswith("CPU")
    head = ["", f"{outcome.bench.unit}: min (median)"] + (["a second and core"] if per_core else [])
    head += [f"× {base}" for base in bases] + ["rounds kept"]
    lines = [f"### {outcome.bench.name}: {outcome.bench.title}", "", row(head), row(["---"] * len(head))]
    for label in outcome.labels:
        values = [sample.value for sample in outcome.kept(label)]
        cells = [label]
        cells.append(f"{min(values):.2f} ({statistics.median(values):.2f})" if values else "not saturated")
        if per_core:
            cells.append(f"{1e6 / min(values):,.0f}" if values and min(values) > 0 else "–")
        for base in outcome.bench.bases_of(label) if many else bases:
            cells.append("1" if base == label else spread(outcome.ratio(label, base)))
        cells.append(f"{len(values)} of {len(outcome.rounds)}{busy(outcome, label)}")
        lines.append(row(cells))
    lines += [""] + [f"- failed round: {failure}" for failure in outcome.failures]
    return "\n".join(lines).rstrip() + "\n"


def busy(outcome: Outcome, label: str) -> str:
    seen = [r[label].busy for r in outcome.rounds if label in r and r[label].busy is not None]
    return f", busy {statistics.median(seen):.2f}" if seen else ""


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def spread(ratio: tuple[float, float, float] | None) -> str:
    return f"**{ratio[0]:.2f}** [{ratio[1]:.2f}–{ratio[2]:.2f}]" if ratio else "–"


def judge(gate: Gate, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    """The verdict on a gate (holds, fails, no rounds, not run) and the number it rests on."""
    outcome = outcomes.get(gate.bench)
    if not outcome or gate.subject not in outcome.labels or gate.base not in [None, *outcome.labels]:
        return "not run", "–"
    if gate.base is None:
        values = [sample.value for sample in outcome.kept(gate.subject)]
        seen, words = (statistics.median(values), f"{statistics.median(values):.2f}") if values else (None, "–")
    else:
        ratio = outcome.ratio(gate.subject, gate.base)
        seen, words = (ratio[0], spread(ratio)) if ratio else (None, "–")
    if seen is None:
        return "no rounds", words
    if gate.must:
        return ("holds" if seen <= gate.limit else "FAILS"), words
    return ("met" if seen <= gate.limit else f"not met, {seen / gate.limit - 1:+.0%}"), words


def gates(outcomes: dict[str, Outcome]) -> str:
    lines = [row(["", "bench", "subject", "limit", "seen", "verdict"]), row(["---"] * 6)]
    for gate in GATES:
        verdict, words = judge(gate, outcomes)
        limit = f"≤ {gate.limit:g}" + (f" × {gate.base}" if gate.base else f" {outcome_unit(gate, outcomes)}")
        kind = "must hold" if gate.must else "aim"
        lines.append(row([kind, gate.bench, gate.subject, limit, words, verdict]))
    return "\n".join(lines) + "\n"


def outcome_unit(gate: Gate, outcomes: dict[str, Outcome]) -> str:
    return outcomes[gate.bench].bench.unit if gate.bench in outcomes else "KiB a connection"


def broken(outcomes: dict[str, Outcome]) -> list[str]:
    """The must-hold gates that do not hold; one that was to be run and has no kept round does not hold either."""
    bad = []
    for gate in GATES:
        verdict, words = judge(gate, outcomes)
        if gate.must and verdict in ("FAILS", "no rounds"):
            bad.append(f"{gate.bench}: {gate.subject} ≤ {gate.limit:g} × {gate.base or 'absolute'}: {words} {verdict}")
    return bad


def results(outcomes: dict[str, Outcome], when: str, how: str) -> str:
    """The whole results section."""
    parts = [f"Run of {when}: {how}.", "", page.machine(), ""]
    parts += [row(["program", "version"]), row(["---", "---"])]
    parts += [row([name, said]) for name, said in peers.versions().items()]
    parts += ["", "### Gates", "", gates(outcomes)]
    parts += [table(outcome) for outcome in outcomes.values()]
    return "\n".join(parts)

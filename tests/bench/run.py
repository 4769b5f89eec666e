#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./dev bench`: Torana beside nginx, HAProxy, Envoy and a raw relay in one run. The method is in README.md.

  run.py                                  everything: about half an hour on two idle CPUs; writes README.md
  run.py --only h1,h2 --peers torana,haproxy --rounds 20
  run.py --quick                          two rounds of one second, saturation not asked: does it work at all?
  run.py --check                          exit 1 unless every must-hold gate holds
  run.py --instructions h1,h2             user instructions a request by cachegrind instead
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import benches
import instructions
import measure
import page
import peers
import place
import report
from process import Failed, raise_limits


def arguments() -> argparse.Namespace:
    names = [bench.name for bench in benches.BENCHES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=listed(names), default=names, metavar="BENCH,…", help=", ".join(names))
    parser.add_argument("--peers", type=listed(list(peers.PEERS)), default=list(peers.PEERS), metavar="PEER,…",
                        help=", ".join(peers.PEERS))
    parser.add_argument("--rounds", type=int, default=6, help="paired rounds that must be kept (default 6)")
    parser.add_argument("--seconds", type=int, default=3, help="length of one load (default 3)")
    parser.add_argument("--saturation", type=float, default=0.95, help="least on-CPU ÷ wall of a kept round")
    parser.add_argument("--quick", action="store_true", help="2 rounds, 1 s, no saturation rule; writes nothing")
    parser.add_argument("--write", action="store_true", help="write README.md though the run is not a whole one")
    parser.add_argument("--check", action="store_true", help="exit 1 unless every must-hold gate holds")
    parser.add_argument("--instructions", type=listed(list(instructions.SHAPES)), metavar="SHAPE,…",
                        help="count user instructions a request: " + ", ".join(instructions.SHAPES))
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds, given.saturation = 2, 1, 0.0
    return given


def listed(known: list[str]):
    def parse(text: str) -> list[str]:
        asked = text.split(",")
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return asked
    return parse


def order(sides: list, number: int) -> list:
    """ABCD, DCBA, BCDA, ADCB …: every second round is its neighbour backwards, so that drift cancels."""
    turned = sides[number // 2 % len(sides):] + sides[:number // 2 % len(sides)]
    return turned[::-1] if number % 2 else turned


def run_bench(bench: benches.Bench, rig: measure.Rig, given: argparse.Namespace) -> report.Outcome:
    sides = bench.sides(given.peers)
    wanted = min(given.rounds, bench.rounds)
    saturation = given.saturation if bench.saturation is None else min(bench.saturation, given.saturation)
    outcome = report.Outcome(bench, [label for label, _, _ in sides], [], [], saturation)
    print(f"\n{bench.name}: {bench.title}", flush=True)
    for number in range(2 * wanted):
        if number >= wanted and all(len(outcome.kept(label)) >= wanted for label in outcome.labels):
            break
        if number >= wanted and given.saturation <= 0:
            break
        outcome.rounds.append(run_round(bench, rig, order(sides, number), number, outcome.failures))
    print(report.table(outcome), flush=True)
    return outcome


def run_round(bench: benches.Bench, rig: measure.Rig, sides: list, number: int, failures: list[str]) -> dict:
    seen = {}
    for label, peer, hosts in sides:
        try:
            seen[label] = bench.weigh(rig, peer, hosts)
        except Failed as failed:
            failures.append(f"{label}, round {number + 1}: {failed}")
            print(f"  round {number + 1} {label}: FAILED: {failed}", file=sys.stderr, flush=True)
            continue
        sample = seen[label]
        note = "" if sample.busy is None else f" busy {sample.busy:.2f} steal {sample.steal:.1%}"
        print(f"  round {number + 1} {label}: {sample.value:.2f} {bench.unit}, n={sample.count}{note}", flush=True)
    return seen


def save(outcomes: dict[str, report.Outcome], when: str) -> None:
    place.RESULTS.mkdir(parents=True, exist_ok=True)
    raw = {name: {"rounds": [{label: asdict(sample) for label, sample in round.items()} for round in outcome.rounds],
                  "failures": outcome.failures} for name, outcome in outcomes.items()}
    file = place.RESULTS / f"{when.replace(':', '')}.json"
    file.write_text(json.dumps(raw, indent=1))
    print(f"raw numbers: {file}")


def main() -> int:
    given = arguments()
    if (os.cpu_count() or 1) < 2:
        print("a bench needs two CPUs: one for the proxy, one for client and backend", file=sys.stderr)
        return 2
    subprocess.run([str(place.HERE / "setup.sh")], check=True)
    raise_limits()
    # As Ctrl-C does: the servers of the round are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    outcomes = {}
    try:
        with measure.rig(given.seconds, 1) as rig:
            if given.instructions:
                print(instructions.table(rig, given.peers, given.instructions))
                return 0
            for bench in (bench for bench in benches.BENCHES if bench.name in given.only):
                outcomes[bench.name] = run_bench(bench, rig, given)
    except place.Absent as absent:
        print(f"absent: {absent}", file=sys.stderr)
        return 2
    return conclude(given, outcomes, when)


def conclude(given: argparse.Namespace, outcomes: dict[str, report.Outcome], when: str) -> int:
    print(report.gates(outcomes))
    save(outcomes, when)
    whole = not given.quick and len(outcomes) == len(benches.BENCHES) and set(given.peers) == set(peers.PEERS)
    if whole or given.write:
        how = f"{given.rounds} paired rounds of {given.seconds} s, saturation ≥ {given.saturation:g}"
        page.write(report.SECTION, report.results(outcomes, when, how))
        print(f"wrote {page.README}")
    failures = [failure for outcome in outcomes.values() for failure in outcome.failures]
    for bad in report.broken(outcomes) + failures:
        print(f"✘ {bad}", file=sys.stderr)
    return 1 if failures or given.check and report.broken(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())

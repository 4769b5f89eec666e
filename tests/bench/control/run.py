#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./dev bench --control`: how fast a change is in force, and what controller and proxy weigh, at 5,000 routes, in the
test cluster, where Torana is installed as it is released. The method is in ../README.md.

  run.py                       three rounds; writes the results into ../README.md
  run.py --routes 200 --quick  one small round: does it work at all? Writes nothing
  run.py --foreign             only what routes of others cost; writes nothing
  run.py --check               exit 1 unless every must-hold figure holds
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import page
import phases
import place
import words
from cluster import Api, Failed
from edge import Site


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=5_000)
    parser.add_argument("--probes", type=int, default=300, help="routes added one by one in a round")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    parser.add_argument("--quick", action="store_true", help="one round of 20 probes; writes nothing")
    parser.add_argument("--foreign", action="store_true", help="only what routes of others cost; writes nothing")
    parser.add_argument("--check", action="store_true", help="exit 1 unless every must-hold figure holds")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.probes = 1, 20
    return given


def measure(site: Site, given: argparse.Namespace):
    """Figures as they are found, each with its phase."""
    if given.foreign:
        yield from phases.rest(site, 30)
    else:
        yield from own(site, given)
    for _ in range(given.rounds):
        yield from phases.foreign(site, given.routes)


def own(site: Site, given: argparse.Namespace):
    """Of routes that are Torana's."""
    yield from phases.burst(site, given.routes)
    # What the probes need is there before them.
    site.api.each(range(given.routes, given.routes + given.probes), site.service)
    for _ in range(given.rounds):
        yield from phases.probe(site, given.routes, given.probes)
    yield from phases.weight(site)
    yield from phases.rest(site, 5 if given.quick else 30)
    for _ in range(given.rounds):
        yield from phases.cold(site, given.routes)
    yield from phases.weight(site)


def main() -> int:
    given = arguments()
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    site, seen = Site(Api()), {}
    # What a run leaves behind ends with the cluster: to take so many objects away one by one takes minutes.
    site.remove()
    try:
        site.build()
        for figure in measure(site, given):
            seen.setdefault(figure.name, []).append(figure.value)
            print(f"{figure.name}: {figure.value:.1f}", flush=True)
    except Failed as failed:
        print(f"✘ {failed}", file=sys.stderr)
        return 1
    print("\n" + words.table(seen))
    place.RESULTS.mkdir(parents=True, exist_ok=True)
    (place.RESULTS / f"control-{when.replace(':', '')}.json").write_text(json.dumps(seen, indent=1))
    if not (given.quick or given.foreign):
        page.write(words.SECTION, f"Run of {when}: {given.routes:,} routes, {given.rounds} rounds of {given.probes} probes, "
                           f"best of them; {page.machine()}\n\n" + words.table(seen))
    broken = words.broken(seen)
    for bad in broken:
        print(f"✘ {bad}", file=sys.stderr)
    return 1 if given.check and broken else 0


if __name__ == "__main__":
    sys.exit(main())

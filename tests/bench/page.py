# SPDX-License-Identifier: Apache-2.0
"""README.md, in which every bench has a section of its own, and the line on the machine. Measures nothing."""

import os
import platform
import re

import place

README = place.HERE / "README.md"


def machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"model name\s*:\s*(.*)", cpuinfo.read())
    return (f"Machine: {model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, "
            f"Linux {platform.release()}, load {os.getloadavg()[0]:.1f} at the end.")


def write(section: tuple[str, str], text: str) -> None:
    """Replaces what stands between the markers of `section`; the rest of the page is written by hand."""
    opening, closing = section
    page = README.read_text(encoding="utf-8")
    before, rest = page.split(opening, 1)
    after = rest.split(closing, 1)[1]
    README.write_text(f"{before}{opening}\n\n{text.strip()}\n\n{closing}{after}", encoding="utf-8")

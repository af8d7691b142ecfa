"""What a call costs in the dialplan: python bench/dialplan.py [NUMBERS ...] (default: 20 2000 20000). The numbers are
in two files of different regions, with one pattern per hundred numbers. Each INVITE is decided on the edge's loop, so
all other messages wait for that long."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from gateway.dialplan import Dialplan, Route

AT = datetime(2026, 3, 4, 15, tzinfo=UTC)
REGIONS = {"US": "+1212{:07}", "GB": "+4420{:08}"}


def write(folder: Path, count: int) -> list[Path]:
    (folder / "p.py").write_text("from agent import Agent\n\n\nclass Somebody(Agent):\n    pass\n")
    paths = []
    for region, form in REGIONS.items():
        lines = [f'  "{form.format(2_000_000 + n)}": p.Somebody' for n in range(count // 2)]
        lines += [f'  "{form.format(5_000_000 + n)[:-1]}?": p.Somebody' for n in range(0, count // 2, 100)]
        path = folder / f"{region}.yaml"
        path.write_text(f"region: {region}\nnumbers:\n" + "\n".join(lines) + "\n")
        paths.append(path)
    return paths


def timed_us(plan: Dialplan, called: str, *, matches: bool) -> float:
    times = []
    for _ in range(200):
        began = time.perf_counter()
        decision = plan.decide(called, "2125550123", AT)
        times.append((time.perf_counter() - began) * 1e6)
        assert isinstance(decision, Route) is matches, decision
    return median(times)


def main() -> None:
    print("| numbers | load, s | +E.164, us | without +, us | pattern, us | unknown, us |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in [int(word) for word in sys.argv[1:]] or [20, 2000, 20000]:
        with tempfile.TemporaryDirectory() as folder:
            paths = write(Path(folder), count)
            began = time.perf_counter()
            plan = Dialplan.load(paths)
            load_s = time.perf_counter() - began
        last = 2_000_000 + count // 2 - 1
        figures = [
            timed_us(plan, REGIONS["US"].format(last), matches=True),
            timed_us(plan, REGIONS["US"].format(last).removeprefix("+1"), matches=True),
            timed_us(plan, REGIONS["GB"].format(5_000_000), matches=True),
            timed_us(plan, "3105550199", matches=False),
        ]
        print(f"| {count} | {load_s:.2f} | " + " | ".join(f"{figure:.0f}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()

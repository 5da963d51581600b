"""Makes expected.json from the source of Debian's cron, in the folder given; see README.md."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from array import array
from collections import defaultdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo, reset_tzpath

HERE = Path(__file__).parent
DAY = 24 * 60
ZONES = {  # and the first of five years
    "Europe/Berlin": 2019,
    "America/New_York": 2019,
    "Australia/Lord_Howe": 2019,  # half an hour
    "Africa/Casablanca": 2017,  # four changes a year, and none of the same kind after 2018
    "America/Sao_Paulo": 2015,  # at midnight; given up in 2019
    "Asia/Tehran": 2018,  # at midnight; given up in 2022
    "Pacific/Apia": 2010,  # lost a day in 2011
    "Europe/Dublin": 2019,  # summer is standard time, winter is the exception
    "America/St_Johns": 2009,  # one minute after midnight, until 2011
    "Asia/Kathmandu": 2019,  # a quarter of an hour off, no changes
    "Antarctica/Troll": 2019,  # two hours
    "Antarctica/Casey": 2018,  # three hours
}
PATTERNS = 48
BY_HAND = ["30 2 * * *", "*/15 * * * *", "0-59 2 * * *", "0 0 * * *", "@hourly", "@daily"]
BY_HAND += ["0 2,3 * * *", "5,50 0-3 * * *", "* 2 * * *", "10 * * * *", "0 */2 * * *"]
BY_HAND += ["@weekly", "@monthly", "0 0 1 * sun", "15 0 */2 * 1-5", "0,30 1 * mar-apr,sep-nov 7"]


def build(source: Path, folder: Path) -> Path:
    flags = ["-w", "-O2", "-std=gnu89", "-fcommon", "-DDEBUGGING=0", "-DSYSLOG", "-DPOSIX"]
    flags += ["-DUSE_SIGCHLD", "-DHAVE_SAVED_UIDS", f"-I{source}"]
    ours = ["acquire_daemonlock", "set_cron_uid", "set_cron_cwd", "log_it", "log_close"]
    renamed = {
        "cron": ["-Dmain=cron_main"],
        "misc": [f"-D{name}=debian_{name}" for name in ours],
    }
    objects = []
    for part in ("cron", "entry", "misc", "env", "harness"):
        path = (HERE if part == "harness" else source) / f"{part}.c"
        objects.append(f"{folder}/{part}.o")
        command = ["gcc", *flags, *renamed.get(part, []), "-c", str(path), "-o", objects[-1]]
        subprocess.run(command, check=True)
    subprocess.run(["gcc", *objects, "-o", f"{folder}/cron"], check=True)
    return folder / "cron"


def starts(cron: Path, zone: str, lines: list[str], begin: int, end: int) -> dict[int, list[int]]:
    """The minutes at which each line is started, in order."""
    table, out = cron.parent / "crontab", cron.parent / "out"
    table.write_text("".join(f"{line} x\n" for line in lines))
    data = files("tzdata") / "zoneinfo"
    env = {"TZ": f":{zone}", "TZDIR": str(data), "CRONTAB": str(table), "OUT": str(out)}
    env |= {"NOW": str(begin * 60 - 120), "END": str(end * 60)}
    subprocess.run([str(cron)], check=True, env=os.environ | env)
    records = array("i", out.read_bytes())
    found: dict[int, set[int]] = defaultdict(set)
    for line, minute in zip(records[::2], records[1::2], strict=True):
        if begin <= minute < end:
            found[line].add(minute)
    return {line: sorted(found[line]) for line in range(len(lines))}


def changes(zone: str, begin: int, end: int) -> list[int]:
    """When the zone's clock is put on or back, in minutes since the epoch."""
    tz = ZoneInfo(zone)
    offsets = [datetime.fromtimestamp(m * 60, tz).utcoffset() for m in range(begin, end + 1)]
    return [begin + i for i in range(1, len(offsets)) if offsets[i] != offsets[i - 1]]


def pattern(rng: random.Random) -> str:
    def field(low: int, high: int, star: float, steps: tuple[int, ...]) -> str:
        if rng.random() < star:
            return rng.choice(["*", "*", f"*/{rng.choice(steps)}"])
        terms = []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            first = rng.randint(low, high)
            last = rng.randint(first, high)
            if first == last or rng.random() < 0.6:
                terms.append(str(first))
            elif last - first > 1 and rng.random() < 0.4:
                terms.append(f"{first}-{last}/{rng.randint(1, last - first)}")
            else:
                terms.append(f"{first}-{last}")
        return ",".join(terms)

    minute = field(0, 59, 0.3, (5, 7, 15, 30))
    hour = field(0, rng.choice([3, 23]), 0.3, (2, 3, 5))
    day = field(1, 28, 0.6, (2, 3))
    month = field(1, 12, 0.7, (2, 3))
    weekday = field(0, 7, 0.6, (2, 3))
    return f"{minute} {hour} {day} {month} {weekday}"


def digest(minutes: list[int]) -> str:
    return hashlib.sha256(",".join(map(str, minutes)).encode()).hexdigest()[:16]


def main(source: Path) -> None:
    reset_tzpath(to=())  # the zones of the package tzdata, here as in the tests
    rng = random.Random(8)
    zones = []
    with tempfile.TemporaryDirectory() as folder:
        cron = build(source, Path(folder))
        for zone, year in ZONES.items():
            begin, end = (
                int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) // 60 for each in (year, year + 5)
            )
            lines = BY_HAND + [pattern(rng) for _ in range(PATTERNS - len(BY_HAND))]
            changed = changes(zone, begin, end)
            runs = []
            for line, found in starts(cron, zone, lines, begin, end).items():
                near = [m for m in found if any(abs(m - at) <= DAY for at in changed)]
                run: dict[str, object] = {"pattern": lines[line], "count": len(found)}
                run |= {"all": digest(found), "near": digest(near), "near_count": len(near)}
                if len(near) <= 40:
                    run["times"] = near
                runs.append(run)
            zones.append(
                {"zone": zone, "begin": begin, "end": end, "changes": changed, "runs": runs}
            )
            print(zone, len(changed), "changes", file=sys.stderr)
    rows = ",\n".join(json.dumps(each, separators=(",", ":")) for each in zones)
    (HERE / "expected.json").write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

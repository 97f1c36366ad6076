"""``python -m tests.bench``: measure everything once and print one table, or one JSON document."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.measures import Bench, Size
from tests.bench.rounds import table


def main() -> None:
    """Run the measurements that were asked for; all of them unless told."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "subjects",
        nargs="*",
        help="memory, pages, sign_ins, burst, creations, commands, seals, many, changes, postgresql; default: all",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--tenants", type=int, default=Size.tenants)
    parser.add_argument("--many", type=int, default=Size.many, help="how many tenants thousands are")
    parser.add_argument("--databases", type=int, default=Size.databases, help="tenants on PostgreSQL")
    parser.add_argument("--rounds", type=int, default=Size.rounds)
    parser.add_argument("--seconds", type=float, default=Size.seconds, help="length of one measurement")
    options = parser.parse_args()
    os.umask(0o077)
    rows = []
    with tempfile.TemporaryDirectory(prefix="extranet-bench-") as folder:
        size = Size(options.tenants, options.rounds, options.seconds, options.many, options.databases)
        with Bench.begin(Path(folder), size) as bench:
            for subject in bench.subjects:
                if not options.subjects or subject.__name__ in options.subjects:
                    print(f"{subject.__name__} ...", file=sys.stderr)
                    rows += subject()
    print(json.dumps([row.document() for row in rows], indent=2) if options.json else table(rows))


if __name__ == "__main__":
    main()

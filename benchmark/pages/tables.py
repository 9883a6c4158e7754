"""Write the tables of the pages from the result files: none is typed by hand.

    python benchmark/pages/tables.py [--check]

Every table stands in a Markdown page between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function in the
`TABLES` of a module beside this one. With --check nothing is written and the exit status says whether the pages are up
to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import lab24_tables
import metric_tables
import network_tables
import package_tables
import search_tables
import space_tables
from layout import ROOT

TABLE = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for module in (space_tables, network_tables, metric_tables, lab24_tables, search_tables, package_tables)
    for function in module.TABLES
}


def pages() -> list[Path]:
    """Every page that has a table."""
    found = (ROOT.glob(pattern) for pattern in ("*.md", "benchmark/*.md", "docs/*.md"))
    return [page for each in found for page in sorted(each) if TABLE.search(page.read_text(encoding="utf-8"))]


def filled(text: str) -> str:
    """A page with every table made again."""
    return TABLE.sub(lambda found: f"<!-- table: {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->", text)


def main() -> None:
    """Fill or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    only_check = parser.parse_args().check
    for page in pages():
        before = page.read_text(encoding="utf-8")
        unknown = sorted(set(TABLE.findall(before)) - set(TABLES))
        if unknown:
            sys.exit(f"{page} has a table '{unknown[0]}', which nothing makes; there are {', '.join(sorted(TABLES))}")
        after = filled(before)
        if before == after:
            continue
        if only_check:
            sys.exit(f"{page} is not up to date; run python benchmark/pages/tables.py")
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()

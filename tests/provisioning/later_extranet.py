"""The command line of a later release, as a process of its own: later_extranet HISTORY ARGUMENT…"""

from __future__ import annotations

import sys

from provisioning import cli, console

if __name__ == "__main__":
    console.HISTORY = sys.argv.pop(1)
    cli.main()

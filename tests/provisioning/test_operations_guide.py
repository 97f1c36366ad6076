"""docs/operations.md does what it says: each of its commands is run, in its order, on one real platform."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from tests.console import SCRIPT, Console
from tests.front_door.door import make_certificate
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"
COMMAND = re.compile(r"^    (extranet .*?)(?: +#.*)?$", re.MULTILINE)
# The others are the same words in the process of the tests: starting a hundred takes a minute.
_FOR_A_SHELL = re.compile(r"[|&;<>$`*]")
PATIENCE = 120


def commands() -> list[str]:
    return COMMAND.findall(GUIDE.read_text())


def test_the_guide_shows_every_noun_there_is() -> None:
    listed = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
    nouns = set(re.findall(r"^  ([a-z]+)  ", listed.partition("Commands:")[2], re.MULTILINE))
    shown = {command.split()[1] for command in commands()}
    assert nouns - shown == {"demo"}


@pytest.mark.repeats
@pytest.mark.timeout(300)
def test_an_operator_can_follow_the_guide_from_top_to_bottom(
    tmp_path: Path, cluster: Cluster, second_cluster: Cluster
) -> None:
    with cleaned(cluster), cleaned(second_cluster):
        place = Place(tmp_path, {"pg1": cluster, "pg2": second_cluster})
        for command in commands():
            if command.startswith("extranet serve"):
                place.serve(command)
            else:
                place.run(command)


class Place:
    """A machine of one's own under one folder: the guide's paths lead there."""

    def __init__(self, folder: Path, clusters: dict[str, Cluster]) -> None:
        self.folder = folder
        for name in ("etc/ssl/private", "etc/extranet", "run/extranet", "var/lib"):
            (folder / name).mkdir(parents=True)
        chain, key = make_certificate(folder / "certificate", "*.example.com")
        chain.rename(folder / "etc/ssl/example.com.pem")
        key.rename(folder / "etc/ssl/private/example.com.key")
        for name, cluster in clusters.items():
            (folder / f"etc/extranet/{name}.url").write_text(cluster.provisioner())
        self._console = Console(
            folder / "var/lib/extranet", EXTRANET_DOMAIN="example.com", EXTRANET_TRUSTED_PROXIES="unix"
        )
        self._environment = self._console.real_environment(PATH=f"{SCRIPT.parent}:{os.environ['PATH']}")

    def run(self, command: str) -> None:
        here = self._here(command)
        if _FOR_A_SHELL.search(here):
            self._run_in_shell(here)
        else:
            self._console.done(*shlex.split(here)[1:])

    def _run_in_shell(self, command: str) -> None:
        done = subprocess.run(
            command, shell=True, env=self._environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    def serve(self, command: str) -> None:
        with subprocess.Popen(self._here(command).split(), env=self._environment) as process:
            socket = self.folder / "run/extranet/app.sock"
            while not socket.exists() and process.poll() is None:
                time.sleep(0.05)
            process.terminate()
        assert process.returncode == 0

    def _here(self, command: str) -> str:
        ours = re.sub(r"(?<=[ :])/(etc|run|var)/", rf"{self.folder}/\1/", command)
        return ours.replace(" && systemctl reload nginx", "")

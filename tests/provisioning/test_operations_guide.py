"""docs/operations.md does what it says: each of its commands is run, in its order, on one real platform."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.console import SCRIPT
from tests.front_door.door import make_certificate
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"
COMMAND = re.compile(r"^    (extranet .*?)(?: +#.*)?$", re.MULTILINE)
PATIENCE = 120


def commands() -> list[str]:
    return COMMAND.findall(GUIDE.read_text())


def test_the_guide_shows_every_noun_there_is() -> None:
    listed = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
    nouns = set(re.findall(r"^  ([a-z]+)  ", listed.partition("Commands:")[2], re.MULTILINE))
    shown = {command.split()[1] for command in commands()}
    assert nouns - shown == {"demo"}


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
        self.environment = {
            **os.environ,
            "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}",
            "EXTRANET_HOME": str(folder / "var/lib/extranet"),
            "EXTRANET_DOMAIN": "example.com",
            "EXTRANET_TRUSTED_PROXIES": "unix",
        }

    def run(self, command: str) -> None:
        done = subprocess.run(
            self._here(command), shell=True, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    def serve(self, command: str) -> None:
        with subprocess.Popen(self._here(command).split(), env=self.environment) as process:
            socket = self.folder / "run/extranet/app.sock"
            while not socket.exists() and process.poll() is None:
                time.sleep(0.05)
            process.terminate()
        assert process.returncode == 0

    def _here(self, command: str) -> str:
        ours = re.sub(r"(?<=[ :])/(etc|run|var)/", rf"{self.folder}/\1/", command)
        return ours.replace(" && systemctl reload nginx", "")

"""tenant create among others and under the axe: two at once, and killed at any moment."""

from __future__ import annotations

import random
import time
from subprocess import Popen

from tests.console import PATIENCE, Console, create_arguments, file_names
from tests.platform import Platform, open_platform
from tests.provisioning.test_serving import wait_for

# From the start of Python, and from the moment the slug is locked: most of a run is imports, most of the risk is not.
KILLS_IN_ALL = 3
KILLS_AT_WORK = 8


def test_of_two_who_create_the_same_slug_at_once_one_wins(console: Console) -> None:
    before = console.contents()
    processes = [console.start(*create_arguments("zoe")) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE) for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1]
    (refused,) = [number for number, process in enumerate(processes) if process.returncode]
    assert said[refused][0] == ""
    assert said[refused][1] in {
        "Error: Another command is at work on zoe; try again when it has ended.\n",
        "Error: There is a tenant 'zoe' already.\n",
    }
    assert len(console.contents()[0]) == len(before[0]) + 2
    assert console.run("doctor").exit_code == 0


def test_creating_different_tenants_at_once_succeeds(console: Console) -> None:
    slugs = ["zoe", "yan"]
    processes = [console.start(*create_arguments(slug)) for slug in slugs]
    said = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert console.run("doctor", "--logs").exit_code == 0


def test_two_changes_at_once_are_both_answered(console: Console) -> None:
    processes = [console.start("tenant", "suspend", "acme") for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    for process, stderr in zip(processes, said, strict=True):
        assert process.returncode == 0 or stderr.startswith("Error: "), stderr
        assert "Traceback" not in stderr


def test_killed_at_any_moment_nothing_half_made_is_served_and_a_second_try_succeeds(console: Console) -> None:
    whole = time.monotonic()
    assert console.run_for_real(*create_arguments("timed")).exit_code == 0
    whole = time.monotonic() - whole
    luck = random.Random()
    half_made = 0
    platform = open_platform(console.home)
    for number in range(KILLS_IN_ALL + KILLS_AT_WORK):
        slug = f"killed-{number}"
        process = console.start(*create_arguments(slug))
        if number < KILLS_IN_ALL:
            time.sleep(whole * (number + luck.random()) / KILLS_IN_ALL)
        else:
            wait_until_at_work(console, process, slug)
            time.sleep(0.01 * (number - KILLS_IN_ALL + luck.random()))
        process.kill()
        process.communicate(timeout=PATIENCE)
        half_made += assert_whole_or_absent(console, platform, slug)
    platform.close()
    assert half_made > 0
    assert console.run("doctor", "--logs").exit_code == 0
    assert not [name for name in file_names(console.home) if name.endswith(".part")]


def wait_until_at_work(console: Console, process: Popen[str], slug: str) -> None:
    lock = console.home / "locks" / f"{slug}.lock"
    deadline = time.monotonic() + PATIENCE
    while not lock.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)


def assert_whole_or_absent(console: Console, platform: Platform, slug: str) -> bool:
    """Whatever a kill left is served whole or not at all, and can be created again. Return whether it was half made."""
    states = {tenant["slug"]: tenant["state"] for tenant in console.done("tenant", "list", "--json").document}
    state = states.get(slug)
    browser = platform.browser(slug)
    if state == "active":
        wait_for(lambda: browser.get("/login").status_code == 200)
    else:
        assert browser.get("/login").status_code == 404
    again = console.create(slug)
    if state == "active":
        assert again.refusal == f"There is a tenant {slug!r} already."
    else:
        assert again.exit_code == 0, again
    assert len(console.done("user", "list", slug, "--json").document) == 1
    return state == "provisioning"

"""What is measured, one function a subject. Each returns its lines of the table."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from extranet.app import HISTORY
from extranet.request import cookies
from tenants import schema
from tenants.durable import sync
from tenants.tenancy import Tenancy
from tests.bench import argon, burst, ceiling, fleet, home, many, on_postgresql, servers
from tests.bench.home import PASSWORD, Home
from tests.bench.load import USER_AGENT, Outcome, Plan, run_apart
from tests.bench.rounds import Row, alternate, each_takes

_WORKERS = 2
# Twice what the workers' threads take, as a proxy in front keeps them busy.
_VISITING = 16
# Two for each that is being verified; fewer than the attempts one address may have under way.
_SIGNING_IN = 4
_SIGN_IN_HOSTS = 4
_SLOWEST_RATE = 25.0
_FEW = 10
# Each takes four times as long as another round.
_MOST_BURSTS = 3


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    tenants: int = 100
    rounds: int = 5
    seconds: float = 3.0
    many: int = 10_000
    databases: int = 200


class Bench:
    """One home with tenants and one server on it, for all measurements."""

    def __init__(self, folder: Path, size: Size, tenancy: Tenancy, made: Home, server: servers.Server) -> None:
        self.folder = folder
        self.size = size
        self.tenancy = tenancy
        self.home = made
        self.server = server
        self.visits: list[tuple[str, str]] = []
        self._numbers = count()

    @classmethod
    @contextmanager
    def begin(cls, folder: Path, size: Size) -> Iterator[Bench]:
        """Make the home and serve it."""
        port = servers.free_port()
        made = home.make_home(folder / "home", port, _WORKERS)
        with (
            made.open() as tenancy,
            servers.product(made.environment, port, folder / "product.log") as server,
        ):
            bench = cls(folder, size, tenancy, made, server)
            bench.visits = home.add_visited_tenants(made, tenancy, size.tenants)
            yield bench

    def memory(self) -> list[Row]:
        """Resident memory of a worker after a few tenants and after all. First of all: later it has seen everything."""
        _visit(self.server, self.visits[:_FEW], self.size.seconds)
        few = self.server.memory()
        _visit(self.server, self.visits, 2 * self.size.seconds)
        many = self.server.memory()
        return [Row(f"worker after {len(self.visits)} tenants", "MiB", [many], [few], f"after {_FEW}")]

    def pages(self) -> list[Row]:
        """The signed-in home page over all tenants, beside the ceiling."""
        people = len(self.visits)
        port = servers.free_port()
        host = f"localhost:{port}"
        environment = {
            "CEILING_DATABASE": str(home.add_shared_tenant(self.tenancy, people)),
            "CEILING_SECRET_KEY": os.urandom(32).hex(),
        }
        names = [f"person-{number}" for number in range(people)]
        headers = ceiling.signed_in_cookies(ceiling.make_app(environment), host, names, USER_AGENT)
        visits = [(host, header) for header in headers]
        with servers.plain(environment, port, self.folder / "plain.log") as plain:
            _visit(plain, visits, 2 * self.size.seconds)
            ours, beside = [], []
            for _ in range(self.size.rounds):
                ours.append(_visit(self.server, self.visits, self.size.seconds))
                beside.append(_visit(plain, visits, self.size.seconds))
        what, which = f"signed-in page, {people} tenants", "one tenant, plain Flask"
        return [
            Row(what, "requests/s", [v.rate for v in ours], [v.rate for v in beside], which, ">= 0.9"),
            Row("  processor time", "ms", [v.cpu for v in ours], [v.cpu for v in beside], which),
            Row("  p50", "ms", [v.p50 for v in ours], [v.p50 for v in beside], which),
            Row("  p99", "ms", [v.p99 for v in ours], [v.p99 for v in beside], which),
        ]

    def sign_ins(self) -> list[Row]:
        """Sign-ins through the form, real cost, beside verifying alone. Nobody signs in twice."""

        def verify() -> float:
            return argon.measure(_WORKERS, self.size.seconds).rate

        fastest = verify()
        # Enough for a machine that turns out twice as fast as it just was, in one more round to warm up.
        a_round = int(max(2 * fastest, _SLOWEST_RATE) * (self.size.seconds + 1)) + _SIGNING_IN
        share = a_round // _SIGN_IN_HOSTS + 1
        wanted = share * (self.size.rounds + 1)
        hosts = [home.add_people(self.home, self.tenancy, f"sign-in-{n}", wanted)[0] for n in range(_SIGN_IN_HOSTS)]
        shares = iter(range(0, wanted, share))

        def sign_in() -> float:
            begin = next(shares)
            people = [person for people in hosts for person in people[begin : begin + share]]
            plan = Plan(self.server.port, self.size.seconds, _SIGNING_IN, people=people, password=PASSWORD)
            return _checked(*run_apart(plan), refused=0.1).rate

        sign_in()
        ours, beside = alternate(self.size.rounds, sign_in, verify)
        return [Row("sign-ins, 2 workers", "sign-ins/s", ours, beside, "Argon2id alone, 2 processes", ">= 0.9")]

    def burst(self) -> list[Row]:
        """200 people who sign in at once at one tenant, and what others notice of it."""
        return burst.measure(self.folder, min(self.size.rounds, _MOST_BURSTS), self.size.seconds)

    def creations(self) -> list[Row]:
        """A new tenant with its first administrator invited, beside a durable copy of the file it begins as."""
        template = schema.template_file(self.home.settings.home / "templates", HISTORY)
        folder = self.folder / "copies"
        folder.mkdir()

        def copy() -> None:
            target = folder / f"{next(self._numbers)}.sqlite3"
            target.write_bytes(template.read_bytes())
            sync(target)
            sync(folder)

        def create() -> None:
            home.create_tenant(self.tenancy, f"made-{next(self._numbers)}", lambda _db, _admin: None)

        create()
        inside = alternate(self.size.rounds, each_takes(10, 1e-3, create), each_takes(20, 1e-3, copy))
        return [Row("create a tenant", "ms", *inside, "durable file copy", "<= 20")]

    def commands(self) -> list[Row]:
        """Starting the command line, beside starting Python."""
        slugs = (f"commanded-{number}" for number in count())

        def create() -> None:
            person = ["--admin", "anna", "--email", "anna@example.com"]
            self._command("-m", "provisioning", "tenant", "create", next(slugs), "--name", "Made", *person)

        def help_() -> None:
            self._command("-m", "provisioning", "--help")

        def nothing() -> None:
            self._command("-c", "pass")

        creating = alternate(self.size.rounds, each_takes(1, 1e-3, create), each_takes(1, 1e-3, nothing))
        helping = alternate(self.size.rounds, each_takes(1, 1e-3, help_), each_takes(1, 1e-3, nothing))
        return [
            Row("extranet tenant create", "ms", *creating, "python -c pass"),
            Row("extranet --help", "ms", *helping, "python -c pass", "<= 8"),
        ]

    def seals(self) -> list[Row]:
        """Writing and reading the session cookie, beside Flask's signed one."""
        keys = self.tenancy.keys_of(self.tenancy.registry.by_slug("visited-0"))
        purpose, epoch = f"cookie/{cookies.SESSION_COOKIE}", bytes(4)
        cookie = cookies.SessionCookie(cookies.Kind.LOGIN, secret=bytes(32))
        app = Flask(__name__)
        app.secret_key = os.urandom(32)
        signer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert signer is not None
        session = {"_fresh": True, "_id": "0" * 128, "_user_id": "0" * 32, "csrf_token": "0" * 43}

        def seal() -> None:
            value = cookies._encoded(keys.seal(purpose, cookies._packed(cookie), epoch))
            cookies._SESSION.unpack(keys.open(purpose, cookies._decoded(value), epoch))

        def sign() -> None:
            signer.loads(signer.dumps(session))

        pair = alternate(self.size.rounds, each_takes(2000, 1e-6, seal), each_takes(2000, 1e-6, sign))
        return [Row("session cookie, write + read", "us", *pair, "Flask's, signed")]

    def many(self) -> list[Row]:
        """Thousands of tenants on SQLite: making them, looking them over, serving them."""
        made, rows = many.make_many(self.folder, self.size.many)
        rows += fleet.look_over(made.home, self.size.many, self.size.rounds)
        return rows + many.serve_many(made, self.size.rounds, self.size.seconds, self.folder / "many.log")

    def changes(self) -> list[Row]:
        """One column more, for a tenth as many."""
        return fleet.add_column(self.folder, self.size.many // 10)

    def postgresql(self) -> list[Row]:
        """Tenants on a PostgreSQL of their own."""
        return on_postgresql.measure(self.folder, self.size.databases, self.size.rounds, self.size.seconds)

    def _command(self, *arguments: str) -> None:
        environment = {**os.environ, **self.home.environment}
        subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, timeout=60, check=True)

    @property
    def subjects(self) -> list[Callable[[], list[Row]]]:
        """Everything there is to measure, in order."""
        return [
            self.memory,
            self.pages,
            self.sign_ins,
            self.burst,
            self.creations,
            self.commands,
            self.seals,
            self.many,
            self.changes,
            self.postgresql,
        ]


@dataclass(frozen=True)
class _Visited:
    rate: float
    p50: float
    p99: float
    cpu: float


def _visit(server: servers.Server, visits: list[tuple[str, str]], seconds: float) -> _Visited:
    before = server.cpu_seconds()
    outcome = _checked(*run_apart(Plan(server.port, seconds, _VISITING, visits)))
    milliseconds = (server.cpu_seconds() - before) * 1000 / outcome.answered
    return _Visited(outcome.rate, outcome.p50, outcome.p99, milliseconds)


def _checked(outcome: Outcome, refused: float = 0) -> Outcome:
    # Only what went well is counted as done, and a refusal is quicker: many of them would measure something else. A
    # few sign-ins find no free slot when the machine has other work.
    if outcome.failed > refused * outcome.answered or not outcome.done:
        raise RuntimeError(f"{outcome.failed} of {outcome.answered} answers were wrong: {outcome.first_failure}")
    return outcome

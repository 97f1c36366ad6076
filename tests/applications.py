"""Applications for tests, set up once in a run as far as nothing in them is a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from extranet.accounts.passwords import Cost
from extranet.app import _make_platform, create_app
from extranet.platform import EXTENSION
from extranet.request import log
from tenants.settings import Settings


class _CompiledTemplates(BytecodeCache):
    """Templates compiled once for all applications of a run: compiling them anew was half of a test's time."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._known[bucket.key, bucket.checksum] = bucket.code


_compiled_templates = _CompiledTemplates()
_compile_rule = Rule.compile
_COMPILED = ("arguments", "_parts", "_trace", "_converters", "_build", "_build_unknown")
_compiled_rules: dict[tuple[object, ...], dict[str, object]] = {}


def _compile_once(rule: Rule) -> None:
    """Compile a route once for all applications of a run: that was most of opening one."""
    assert rule.map is not None
    key = (rule.rule, rule.host, rule.subdomain, rule.map.host_matching, rule.merge_slashes, repr(rule.defaults))
    if key not in _compiled_rules:
        _compile_rule(rule)
        _compiled_rules[key] = {name: vars(rule)[name] for name in _COMPILED}
    vars(rule).update(_compiled_rules[key])


Rule.compile = _compile_once  # type: ignore[method-assign]


def new_app(settings: Settings, cost: Cost) -> Flask:
    """Return an application that nobody used before."""
    app = create_app(settings, cost)
    app.jinja_env.bytecode_cache = _compiled_templates
    return app


@contextmanager
def borrowed_app(settings: Settings, cost: Cost) -> Iterator[Flask]:
    """Lend an application for one test.

    Routes and templates hold nothing of a home, and setting them up is most of opening one: the next test gets them as
    this one leaves them, unless it added to them.
    """
    if _spare_apps:
        app = _spare_apps.pop()
        log.configure()
        app.extensions[EXTENSION] = _make_platform(settings, cost)
    else:
        app = new_app(settings, cost)
    before = _wiring_of(app)
    yield app
    if _wiring_of(app) == before:
        # Flask lets nobody add to an application that has answered, and this one is a new one to the next test.
        app._got_first_request = False
        _spare_apps.append(app)


_spare_apps: list[Flask] = []


def _wiring_of(app: Flask) -> object:
    """Return what tells an application from one to which something was added."""
    steps = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    # Whoever looks for a handler leaves an empty place where there is none.
    handlers = [kinds for codes in app.error_handler_spec.values() for kinds in codes.values() if kinds]
    return len(app.url_map._rules), list(app.view_functions), repr((steps, handlers)), dict(app.config)

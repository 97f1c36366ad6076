from __future__ import annotations

import pytest

from tenants import unfinished
from tenants.errors import IllegalTransition
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant


def begin(tenancy: Tenancy, tenant: Tenant, verb: str = "move", **details: object) -> unfinished.Unfinished:
    with tenancy.registry.writing() as connection:
        return unfinished.begin(connection, tenant.uuid, verb, "first", **details)


def found(tenancy: Tenancy, tenant: Tenant) -> unfinished.Unfinished | None:
    with tenancy.registry.engine.connect() as connection:
        return unfinished.find(connection, tenant.uuid)


def test_what_was_begun_is_found_with_all_it_needs_to_go_on(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    begun = begin(tenancy, acme, server="pg1", wanted=["a", None, 3])
    assert begun.step == "first"
    assert begun.details == {"server": "pg1", "wanted": ["a", None, 3]}
    assert found(tenancy, acme) == begun
    assert found(tenancy, globex) is None


def test_beginning_the_same_again_says_how_far_it_came(tenancy: Tenancy, acme: Tenant) -> None:
    first = begin(tenancy, acme, server="pg1")
    with tenancy.registry.writing() as connection:
        further = unfinished.advance(connection, first, "second", copied=7)
    assert begin(tenancy, acme, server="another") == further == found(tenancy, acme)
    assert (further.step, further.details) == ("second", {"server": "pg1", "copied": 7})
    assert further.begun_at == first.begun_at


def test_nothing_else_is_begun_with_a_tenant_before_that_is_ended(
    tenancy: Tenancy, acme: Tenant, globex: Tenant
) -> None:
    begun = begin(tenancy, acme)
    with pytest.raises(IllegalTransition, match="unfinished move"):
        begin(tenancy, acme, "purge")
    assert found(tenancy, acme) == begun
    begin(tenancy, globex, "purge")
    for _ in range(2):
        with tenancy.registry.writing() as connection:
            unfinished.end(connection, acme.uuid)
    assert begin(tenancy, acme, "purge").verb == "purge"


def test_a_step_that_is_undone_was_never_noted(tenancy: Tenancy, acme: Tenant) -> None:
    begun = begin(tenancy, acme)

    def advance_and_fail() -> None:
        with tenancy.registry.writing() as connection:
            unfinished.advance(connection, begun, "second")
            raise ValueError

    with pytest.raises(ValueError):
        advance_and_fail()
    assert found(tenancy, acme) == begun


def test_all_of_it_is_listed_the_oldest_first(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    both = [begin(tenancy, globex), begin(tenancy, acme)]
    with tenancy.registry.engine.connect() as connection:
        assert unfinished.find_all(connection) == both

"""A renamed tenant keeps its logins: a browser's cookies are as good at the new host as they were at the old one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from extranet.models import User
from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from tenants import lifecycle
from tenants.databases import TenantSession
from tenants.errors import SlugTaken
from tenants.registry import Registry
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tests.platform import Platform
from tests.tenants.lives import everything_of, killed_after, killed_before, rows_of
from tests.tenants.world import HISTORY, killed_in_child


def rename(platform: Platform, slug: str, new_slug: str) -> None:
    lifecycle.rename_tenant(platform.tenancy, slug, new_slug)
    platform.tenancy.generation.forget()


def test_a_cookie_that_was_good_at_the_old_host_is_good_at_the_new_one(platform: Platform) -> None:
    before = platform.signed_in("acme")
    rename(platform, "acme", "apex")
    after = platform.browser("apex")
    for name in (SESSION_COOKIE, DEVICE_COOKIE):
        after.set_cookie(name, before.cookie(name))
    assert after.get("/").status_code == 200
    stranger = platform.browser("globex")
    stranger.set_cookie(SESSION_COOKIE, before.cookie(SESSION_COOKIE))
    assert stranger.get("/").status_code == 303


def test_whoever_was_signed_in_still_is_when_the_old_slug_comes_back(platform: Platform) -> None:
    browser, neighbour = platform.signed_in("acme"), platform.signed_in("globex")
    globex = everything_of(platform.tenancy, "globex")
    rename(platform, "acme", "apex")
    assert browser.get("/").status_code == 308
    rename(platform, "apex", "acme")
    assert browser.get("/").status_code == 200
    assert neighbour.get("/").status_code == 200
    assert everything_of(platform.tenancy, "globex") == globex


def test_logins_keys_and_epoch_stay_as_they_are(platform: Platform) -> None:
    platform.signed_in("acme")
    tenancy, acme = platform.tenancy, platform.tenant("acme")
    rows, keys = rows_of(tenancy, acme), tenancy.registry.keys_of(acme.uuid)
    rename(platform, "acme", "apex")
    apex = platform.tenant("apex")
    assert (apex.uuid, apex.epoch, apex.key_version, apex.server) == (acme.uuid, acme.epoch, 1, acme.server)
    assert rows_of(tenancy, apex) == rows
    assert tenancy.registry.keys_of(apex.uuid) == keys


def told_by_name(db: TenantSession, details: Mapping[str, Any]) -> None:
    db.execute(update(User).where(User.username == "ben").values(first_name=f"{details['from']}-{details['to']}"))


def bens_name(tenancy: Tenancy, slug: str) -> str:
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        return db.scalars(select(User.first_name).where(User.username == "ben")).one()


def test_its_people_are_told_of_both_slugs_and_of_no_rename_that_is_refused(platform: Platform) -> None:
    tenancy = platform.tenancy
    with pytest.raises(SlugTaken):
        lifecycle.rename_tenant(tenancy, "acme", "globex", told_by_name)
    assert bens_name(tenancy, "acme") == "Ben"
    lifecycle.rename_tenant(tenancy, "acme", "apex", told_by_name)
    assert bens_name(tenancy, "apex") == "acme-apex"


@pytest.mark.parametrize("wrap", [killed_before, killed_after])
@pytest.mark.parametrize(("owner", "name"), [(TenantSession, "commit"), (Registry, "rename")])
def test_a_rename_that_was_killed_has_happened_or_not_and_can_be_asked_for_again(
    home_settings: Settings, owner: Any, name: str, wrap: Any
) -> None:
    def go() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(home_settings, HISTORY) as tenancy:
            lifecycle.rename_tenant(tenancy, "acme", "apex", told_by_name)

    assert killed_in_child(go)
    with Tenancy.open(home_settings, HISTORY) as tenancy:
        if (name, wrap) != ("rename", killed_after):
            lifecycle.rename_tenant(tenancy, "acme", "apex", told_by_name)
        assert bens_name(tenancy, "apex") == "acme-apex"
        assert tenancy.registry.former_slugs_of(tenancy.registry.by_slug("apex")) == ["acme"]

"""A backup is one tenant's: it holds nothing of another, opens for no other, and restoring it touches no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from extranet.accounts.restored import begin_anew
from extranet.models import Company
from extranet.models.company import THE_COMPANY
from extranet.security_log.origin import OPERATOR
from tenants.backups.catalogue import catalogue_of
from tenants.backups.making import make_backup
from tenants.backups.renewing import restore_as_new
from tenants.backups.restoring import restore_tenant
from tenants.backups.staging import Return
from tenants.backups.verifying import verify_backup
from tenants.databases import TenantSession
from tenants.errors import BadArchive
from tests.evidence import dump, untouched
from tests.platform import OPERATOR_ORIGIN, SLUGS, Platform

CANARIES = {"acme": "Aardvarkquartz", "globex": "Bluebottlejazz"}


def anew(db: TenantSession, _back_to: Return) -> None:
    begin_anew(db, OPERATOR_ORIGIN, OPERATOR, {})


@pytest.fixture
def archives(platform: Platform) -> dict[str, Path]:
    """A backup of each tenant, which both have people of the same names and ids and a word of their own."""
    for slug in SLUGS:
        with platform.db(slug) as db:
            db.get_one(Company, THE_COMPANY).legal_name = CANARIES[slug]
        platform.tenancy.files_of(platform.tenant(slug)).store(CANARIES[slug].encode())
    catalogue = catalogue_of(platform.tenancy)
    return {slug: catalogue.path_of(make_backup(platform.tenancy, platform.tenant(slug))) for slug in SLUGS}


def test_restoring_one_touches_no_other(platform: Platform, archives: dict[str, Path]) -> None:
    with untouched(platform, "globex"):
        restore_tenant(platform.tenancy, "acme", anew, path=archives["acme"])
        restore_as_new(platform.tenancy, "acme", "twin", anew, path=archives["acme"])
    for slug in ("acme", "twin"):
        said = "".join(dump(platform, slug))
        assert CANARIES["acme"] in said
        assert CANARIES["globex"] not in said


def test_no_archive_opens_for_another_wherever_it_is_put(platform: Platform, archives: dict[str, Path]) -> None:
    with untouched(platform, "acme"), untouched(platform, "globex"):
        for slug, other in (SLUGS, SLUGS[::-1]):
            with pytest.raises(BadArchive, match=f"This is a backup of {other}, not of {slug}"):
                restore_tenant(platform.tenancy, slug, anew, path=archives[other])
        shutil.copy(archives["globex"], archives["acme"])
        with pytest.raises(BadArchive, match="This is a backup of globex, not of acme"):
            verify_backup(platform.tenancy, "acme")


def test_no_word_of_a_tenant_is_in_any_archive_in_clear(archives: dict[str, Path]) -> None:
    for path in archives.values():
        raw = path.read_bytes()
        assert not any(word.encode() in raw for word in (*CANARIES.values(), "anna", "Acme", "Globex"))

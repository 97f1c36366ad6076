"""What a restore keeps of before is listed and restored by its id, and never meant by "the newest"."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import update

from tenants.backups.catalogue import catalogue_of
from tenants.backups.making import make_backup
from tenants.backups.restoring import rehearse, restore_tenant
from tenants.backups.verifying import choose, verify_backup
from tenants.errors import NoSuchBackup
from tenants.lifecycle import plan_purge
from tenants.registry_tables import backup_table
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.tenants.backups import RESTORED, notes, prepare_restored, write

both = pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"])


@both
def test_restoring_twice_goes_back_to_the_same_backup_and_not_to_what_was_there_between(
    tenancy: Tenancy, acme: Tenant
) -> None:
    backup = make_backup(tenancy, acme)
    write(tenancy, "acme", "lost otherwise")
    for _ in range(2):
        done = restore_tenant(tenancy, "acme", prepare_restored)
        assert done.backup_id == backup.id
        assert notes(tenancy, "acme") == ["hello acme", RESTORED]
    assert verify_backup(tenancy, "acme").id == rehearse(tenancy, "acme").header.id == backup.id
    second, first, ours = catalogue_of(tenancy).of(acme.uuid)
    assert [one.safety for one in (second, first, ours)] == [True, True, False]
    restore_tenant(tenancy, "acme", prepare_restored, backup_id=first.id.hex)
    assert notes(tenancy, "acme") == ["hello acme", "lost otherwise", RESTORED]
    newer = make_backup(tenancy, acme)
    assert choose(tenancy, acme).backup == newer


def test_where_nothing_else_is_left_its_id_is_asked_for(tenancy: Tenancy, acme: Tenant) -> None:
    backup = make_backup(tenancy, acme)
    restore_tenant(tenancy, "acme", prepare_restored)
    kept = catalogue_of(tenancy).prune(acme.uuid, 1)
    assert kept == [backup]
    with pytest.raises(
        NoSuchBackup, match=r"acme has only what restores kept of before: name one with --id\. See: ext"
    ):
        choose(tenancy, acme)
    (safety,) = catalogue_of(tenancy).of(acme.uuid)
    assert choose(tenancy, acme, safety.id.hex).backup == safety


def test_what_the_release_before_has_listed_is_found(tenancy: Tenancy, acme: Tenant) -> None:
    backup = make_backup(tenancy, acme)
    with tenancy.registry.writing() as connection:
        connection.execute(update(backup_table).values(file=f"{acme.uuid}/{backup.file}"))
    assert verify_backup(tenancy, "acme").id == backup.id
    restore_tenant(tenancy, "acme", prepare_restored)
    (listed,) = [one for one in catalogue_of(tenancy).of(acme.uuid) if one.id == backup.id]
    assert catalogue_of(tenancy).path_of(listed).exists()
    tenancy.registry.move_to(tenancy.registry.by_slug("acme"), State.CLOSED)
    assert any(re.fullmatch(r".*\.extranet-backup", name) for name in plan_purge(tenancy, "acme").backups)
    # It was verified, and stays until a newer one is.
    verify_backup(tenancy, "acme", make_backup(tenancy, tenancy.registry.by_slug("acme")).id.hex)
    assert listed in catalogue_of(tenancy).prune(acme.uuid, 1)
    assert not catalogue_of(tenancy).path_of(listed).exists()

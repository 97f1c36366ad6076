from __future__ import annotations

import io

import pytest

from tenants.errors import TenantUnavailable
from tenants.stores import dumps, store_of, template
from tenants.tenancy import Tenancy
from tests.services.postgresql import Cluster
from tests.tenants.servers import create
from tests.tenants.world import HISTORY


def test_a_template_that_another_command_has_just_made_is_taken(
    pg_tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(template, "_is_ready", lambda *_: next(answers))
    monkeypatch.setattr(template, "_build", lambda *_: pytest.fail("made once more"))
    store = store_of(pg_tenancy, "pg1")
    assert template.template_database(store._administration, HISTORY).startswith("tpl_")


def test_what_is_loaded_and_is_no_tenants_database_leaves_nothing(
    pg_tenancy: Tenancy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tenant = store_of(pg_tenancy, "pg1"), create(pg_tenancy, "hooli")
    store.destroy(tenant.uuid)
    monkeypatch.setattr(dumps, "restore", lambda *_: None)
    with pytest.raises(TenantUnavailable, match="no tenant database"):
        store.load(tenant, io.BytesIO())
    assert store.remains(tenant.uuid) == []

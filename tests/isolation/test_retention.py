"""What grows old in one tenant goes there and nowhere else."""

from __future__ import annotations

import pytest

from extranet.activity.operations import activity_journal
from extranet.mail import sweeping
from extranet.mail.sweeping import Sweep
from extranet.models.base import utc_now
from extranet.retention.logs import note_pruned
from extranet.security_log.operations import journal
from tenants.errors import BrokenJournal
from tenants.pruning import prune_logs
from tests.evidence import untouched
from tests.extranet.test_retention import counts, fill
from tests.platform import OPERATOR_ORIGIN, Platform


def test_pruning_one_tenants_logs_leaves_the_others_as_they_are(platform: Platform) -> None:
    tenancy, now = platform.tenancy, utc_now()
    with untouched(platform, "globex"):
        pruned = prune_logs(
            tenancy,
            "acme",
            lambda _db: utc_now(),
            lambda db, it: note_pruned(db, OPERATOR_ORIGIN, it.removed, it.begins_at, now),
        )
    assert pruned.total > 0
    keys = {slug: tenancy.keys_of(platform.tenant(slug)) for slug in ("acme", "globex")}
    with platform.db("acme", writing=False) as db:
        for of_keys in (journal, activity_journal):
            assert of_keys(keys["acme"]).verify(db) == 1
            with pytest.raises(BrokenJournal, match="signed note of what was removed"):
                of_keys(keys["globex"]).verify(db)


def test_old_rows_go_where_they_are_old(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(platform, "acme")
    now = utc_now()
    monkeypatch.setattr(sweeping, "utc_now", lambda: now.replace(year=now.year + 1))
    with untouched(platform, "globex"):
        while (sweep := Sweep(platform.tenancy)).some():
            sweep.some()
    assert sum(counts(platform).values()) == 0

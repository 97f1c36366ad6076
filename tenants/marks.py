"""What a table says of its rows, for whoever copies them elsewhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table

OF_ONE_TENANT: dict[str, Any] = {"of_one_tenant": True}
"""The ``info`` of a table whose rows let somebody in, or keep somebody out, of the very tenant they were made in."""


def is_of_one_tenant(table: Table) -> bool:
    """Tell whether a table's rows mean nothing, or too much, anywhere else."""
    return bool(table.info.get("of_one_tenant", False))

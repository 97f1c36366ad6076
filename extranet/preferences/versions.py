"""Previous versions of a record: which fields changed, from what to what. Kept, shown, never edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one version."""

    label: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Version:
    """One saved change."""

    at: datetime
    by: str
    changes: list[Change]


def differences(record: Any, values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return [field, old, new] for every value that differs from the record's."""
    return [
        (field, str(getattr(record, field)), str(value))
        for field, value in values.items()
        if getattr(record, field) != value
    ]


def apply(record: Any, values: Mapping[str, Any]) -> None:
    """Set the values on the record."""
    for field, value in values.items():
        setattr(record, field, value)


def sides(changes: list[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Return what the changed fields said ``before`` and say ``after``."""
    return {
        "before": {field: old for field, old, _ in changes},
        "after": {field: new for field, _, new in changes},
    }


def pack(changes: list[tuple[str, str, str]]) -> str:
    """Return the JSON that a version row keeps."""
    return json.dumps(changes, ensure_ascii=False)


def unpack(text: str, labels: Mapping[str, Any], shown: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """Return a version row's changes for people: ``labels`` names fields, ``shown`` names coded values."""
    return [
        Change(
            str(labels.get(field, field)),
            str(shown.get(field, {}).get(old, old)),
            str(shown.get(field, {}).get(new, new)),
        )
        for field, old, new in json.loads(text)
    ]

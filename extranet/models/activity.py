"""The activity log's two tables: every change, who, what, before and after. Without addresses; append-only, chained."""

from extranet.models.base import Base, personal
from tenants.journal_tables import journal_tables

activity_table, activity_head_table = journal_tables(
    Base.metadata,
    "activity",
    personal("content", erase="pseudonym", purpose="account", retention="security", source="system"),
)

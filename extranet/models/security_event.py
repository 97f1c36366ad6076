"""The security log's two tables: sign-ins and account events, append-only and chained."""

from extranet.models.base import Base, personal
from tenants.journal_tables import journal_tables

security_event_table, security_event_head_table = journal_tables(
    Base.metadata,
    "security_event",
    personal(
        "technical",
        erase="pseudonym",
        purpose="security",
        basis="legitimate_interest",
        retention="security",
        source="system",
    ),
)

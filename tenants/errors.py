"""Everything the core can refuse, one class a reason. Messages are sentences an operator can act on."""

from datetime import datetime


class TenancyError(Exception):
    """Base of the family. Never raised itself."""


class BadSettings(TenancyError):
    """Raised when a setting is missing, unknown, contradictory or unsafe."""


class BadHost(TenancyError):
    """Raised when a Host header is not one well-formed DNS name."""


class UnknownHost(TenancyError):
    """Raised when a well-formed host leads to no tenant."""


class HostMoved(TenancyError):
    """Raised when a host belongs to a tenant that has since taken another slug."""

    def __init__(self, slug: str) -> None:
        super().__init__("This address has moved.")
        self.slug = slug


class TenantSuspended(TenancyError):
    """Raised when the tenant exists and the operator has suspended it."""


class TenantClosed(TenancyError):
    """Raised when the tenant's contract has ended."""


class TenantUnavailable(TenancyError):
    """Raised when a tenant's database is missing, damaged or cannot be reached."""


class Unreachable(TenantUnavailable):
    """Raised when a server does not answer, has no connection to give, or follows another one for the moment.

    An outage: its sentence tells all there is to know, and nothing of ours is at fault.
    """


class WrongStamp(TenantUnavailable):
    """Raised when a database is stamped for another tenant than the one it was opened for."""


class SchemaBehind(TenantUnavailable):
    """Raised when a tenant database is older than the running code can serve."""


class NoTenant(TenancyError):
    """Raised when tenant data is asked for and no tenant is set."""


class WrongTenant(TenancyError):
    """Raised when an object loaded from one tenant is given to the database of another."""


class ReadOnlyDatabase(TenancyError):
    """Raised when a ``db`` opened for reading is asked to write."""


class BadSlug(TenancyError):
    """Raised when a slug is malformed or reserved."""


class BadName(TenancyError):
    """Raised when a tenant's display name is empty, too long or holds control characters."""


class SlugTaken(TenancyError):
    """Raised when a slug belongs, or once belonged, to another tenant."""


class HostTaken(TenancyError):
    """Raised when a host already leads to a tenant, or can only be a slug's own."""


class NoSuchHost(TenancyError):
    """Raised when a host is not in the registry."""


class NoSuchTenant(TenancyError):
    """Raised when no tenant has this slug or UUID."""


class NoSuchServer(TenancyError):
    """Raised when no PostgreSQL server has this name."""


class BadServer(TenancyError):
    """Raised when a server's name, URL or number of connections makes no sense."""


class ServerTaken(TenancyError):
    """Raised when a server of this name is registered already."""


class ServerInUse(TenancyError):
    """Raised when a server that still holds tenants is to be removed."""


class NoSuchStaff(TenancyError):
    """Raised when nobody of this name is, or still is, among the operator's staff."""


class StaffTaken(TenancyError):
    """Raised when a name belongs, or once belonged, to somebody of the staff."""


class BadStaff(TenancyError):
    """Raised when what is to be noted of somebody of the staff makes no sense."""


class StaffNotReady(TenancyError):
    """Raised when somebody of the staff may not be let into a tenant: left, or lacks commitment or training."""


class ServerUnusable(TenancyError):
    """Raised when a server, or the operator's credential for it, does not allow what provisioning needs."""


class IllegalTransition(TenancyError):
    """Raised when a tenant cannot go from its present state to the one asked for."""


class UnsafeChange(TenancyError):
    """Raised when a change of a schema would take a journal's protection away; it is rolled back."""


class RunRefused(TenancyError):
    """Raised when a run over the fleet cannot begin, or cannot go on, as asked."""


class Busy(TenancyError):
    """Raised when another operator's command holds the same tenant."""


class NotInitialised(TenancyError):
    """Raised when the home folder holds no registry yet."""


class KeyUnavailable(TenancyError):
    """Raised when the master key or a tenant's key is missing, malformed or readable by others."""


class BadSeal(TenancyError):
    """Raised when sealed bytes were altered, or sealed for another tenant, purpose or epoch."""


class NoSuchFile(TenancyError):
    """Raised when a tenant has no file of this name, or it does not open with the tenant's key."""


class BrokenJournal(TenancyError):
    """Raised when a journal's chain does not hold; ``sequence`` is the first bad entry."""

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"entry {sequence}: {why}")
        self.sequence = sequence
        self.why = why


class CutOff(BrokenJournal):
    """Raised when a journal ends before a head that was noted earlier."""


class AnchorPruned(TenancyError):
    """Raised when a head that was noted lies among entries removed since, for their age; ``first`` is what is left."""

    def __init__(self, moment: datetime, first: int) -> None:
        super().__init__(f"that head was pruned on {moment:%Y-%m-%d}: the log begins at entry {first} now")


class NoSuchBackup(TenancyError):
    """Raised when a tenant has no backup of this id, or none at all."""


class BadArchive(TenancyError):
    """Raised when a backup is damaged, cut off, another tenant's, or of one whose key is gone."""


class BackupFailed(TenancyError):
    """Raised when a backup could not be made; nothing of it is left."""


class CopyFailed(TenancyError):
    """Raised when a copy of a tenant's rows is not what was read; the original is as it was."""

"""A pool that keeps nothing open once it is disposed of.

SQLAlchemy makes an engine's pool anew and forgets the old one, even while connections of it are in use. What they give
back later would stay open until the garbage collector comes by, and its permit would be lost for good.
"""

from __future__ import annotations

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool


class DisposablePool(QueuePool):
    """Closes what is idle when it is disposed of, and what is in use when it is given back."""

    _is_disposed = False

    def dispose(self) -> None:
        """Close what nobody uses, and from now on whatever is given back."""
        self._is_disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        # Looked at last: of two threads, one that gives back and one that disposes, the later one finds it.
        if self._is_disposed:
            super().dispose()

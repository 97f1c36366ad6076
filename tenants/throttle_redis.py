"""The same exact limits as throttle.py, counted in Redis: one script for each reservation, run there in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenants.shared_store import SharedStore
from tenants.throttle import KEEP_SECONDS, LONGEST_BLOCK_SECONDS, Limit

if TYPE_CHECKING:
    from redis import Redis

# A bucket is a MAC: no name or address is stored. Nobody else's keys begin like this.
_PREFIX = b"extranet:throttle:"

# Line by line what the SQL of throttle.py says; a property test holds the two together. Limits are tried in their
# order until one refuses, and what is refused does not count against those that follow.
_RESERVE = """
local now, longest, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for number, key in ipairs(KEYS) do
    local limit, period = tonumber(ARGV[2 + 2 * number]), tonumber(ARGV[3 + 2 * number])
    local old = redis.call('HMGET', key, 'count', 'until', 'strikes')
    local count, ends, strikes = 1, now + period, 0
    if old[1] then
        count, ends, strikes = tonumber(old[1]) + 1, tonumber(old[2]), tonumber(old[3])
        if ends <= now then
            if ends <= now - longest then strikes = 0 end
            count, ends = 1, now + period
        elseif count == limit then
            local block = math.max(period, longest)
            if strikes <= 8 then block = math.min(block, period * 2 ^ strikes) end
            ends, strikes = now + block, strikes + 1
        end
    end
    redis.call('HSET', key, 'count', count, 'until', ends, 'strikes', strikes)
    redis.call('EXPIRE', key, ends - now + keep)
    if count > limit then return math.max(1, ends - now) end
end
return 0
"""
_REFUND = """
for _, key in ipairs(KEYS) do
    if tonumber(redis.call('HGET', key, 'count') or 0) > 0 then redis.call('HINCRBY', key, 'count', -1) end
end
"""


class RedisThrottle:
    """Reserves and refunds in a shared store. Every answer is None when the store gives none."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store

    def reserve(self, limits: Sequence[Limit], now: int) -> int | None:
        """Count one attempt in each bucket until one refuses; return 0, or the seconds until the next may be made."""
        given: list[int] = [now, LONGEST_BLOCK_SECONDS, KEEP_SECONDS]
        for limit in limits:
            given += (limit.attempts, limit.seconds)
        return self._run(_RESERVE, limits, *given)

    def refund(self, limits: Sequence[Limit]) -> int | None:
        """Give one reserved attempt in each bucket back: it was never made, or it succeeded."""
        return self._run(_REFUND, limits)

    def _run(self, script: str, limits: Sequence[Limit], *given: int) -> int | None:
        keys = [_PREFIX + limit.bucket for limit in limits]

        def run(client: Redis) -> int:
            # The script whole, not its SHA-1: it is short, and a server that was restarted has forgotten all sums.
            answer: Any = client.eval(script, len(keys), *keys, *given)
            return int(answer or 0)

        return self._store.ask(run)

"""Which partition a key belongs to: murmur2, as in Java's default partitioner."""

from __future__ import annotations

from struct import unpack_from

_M = 0x5BD1E995
_WORD = 0xFFFFFFFF
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash that Kafka's clients agree on."""
    length = len(data)
    words = length // 4
    h = _SEED ^ length
    for k in unpack_from(f"<{words}I", data):
        k = (k * _M) & _WORD
        k = ((k ^ (k >> 24)) * _M) & _WORD
        h = ((h * _M) & _WORD) ^ k
    if length % 4:
        h = ((h ^ int.from_bytes(data[words * 4 :], "little")) * _M) & _WORD
    h = ((h ^ (h >> 13)) * _M) & _WORD
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` in a topic of `partitions` partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions

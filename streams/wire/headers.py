"""Names of the headers that our records carry, each defined once."""

from __future__ import annotations

from typing import Final

# CloudEvents 1.0, Kafka protocol binding, binary mode: an attribute `x` is the header `ce_x`.
CE_PREFIX: Final = "ce_"
CE_SPECVERSION: Final = "ce_specversion"
CE_ID: Final = "ce_id"
CE_TYPE: Final = "ce_type"
CE_SOURCE: Final = "ce_source"
CE_TIME: Final = "ce_time"
CONTENT_TYPE: Final = "content-type"

# The official partitioning extension: the ordering key with its scope, absent if unordered.
CE_PARTITIONKEY: Final = "ce_partitionkey"

# Our extensions.
CE_QUEUE: Final = "ce_queue"
CE_NOTBEFORE: Final = "ce_notbefore"
CE_EXPIRES: Final = "ce_expires"
CE_PARENT: Final = "ce_parent"
CE_OPTIONS: Final = "ce_options"
CE_CHILDOF: Final = "ce_childof"  # of a child in a batch: its callback
CE_MOVEDFROM: Final = "ce_movedfrom"  # of a dead job that goes on elsewhere: its queue
CE_AWAITS: Final = "ce_awaits"  # of a callback: how many children, and what of them
# The name of the replay that a job is of, as an extension of an envelope, which has no prefix.
REPLAY: Final = "replayrun"

# W3C trace context, beside the CloudEvents headers; some producers send it as an extension.
TRACEPARENT: Final = "traceparent"
CE_TRACEPARENT: Final = "ce_traceparent"

# Of the state topics: which ownership of the partition a record was written under.
EPOCH: Final = "epoch"

SPECVERSION: Final = "1.0"
JSON: Final = "application/json"
STRUCTURED_JSON: Final = "application/cloudevents+json"

# What a dead letter adds to the original headers; a replay drops whatever begins with the prefix.
DEAD_PREFIX: Final = "dead-"
DEAD_QUEUE: Final = "dead-queue"
DEAD_JOB: Final = "dead-job"
DEAD_ID: Final = "dead-id"
DEAD_GENERATION: Final = "dead-generation"
DEAD_ATTEMPTS: Final = "dead-attempts"
DEAD_ERROR: Final = "dead-error"
DEAD_MESSAGE: Final = "dead-message"
DEAD_TRACE: Final = "dead-trace"
DEAD_FIRST_FAILURE: Final = "dead-first-failure"
DEAD_LAST_FAILURE: Final = "dead-last-failure"
DEAD_TOPIC: Final = "dead-topic"
DEAD_PARTITION: Final = "dead-partition"
DEAD_OFFSET: Final = "dead-offset"
DEAD_STATE_KEY: Final = "dead-state-key"
DEAD_WORKER: Final = "dead-worker"
DEAD_VERSION: Final = "dead-version"
DEAD_KEY: Final = "dead-key"
DEAD_NULL_VALUE: Final = "dead-null-value"

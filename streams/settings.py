"""What a worker is told from outside: STREAMS_* variables and KAFKA_BOOTSTRAP_SERVERS."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streams.durations import to_ms
from streams.errors import SettingsError
from streams.listed import read_listed

Words = Annotated[tuple[str, ...], NoDecode]  # in a variable separated by commas, not JSON
_BOOTSTRAP: Final = "KAFKA_BOOTSTRAP_SERVERS"
_OTHERS: Final = {  # variables whose names do not begin with STREAMS_
    "bootstrap_servers": _BOOTSTRAP,
    "cron_secret": "CRON_SECRET",
    "cron_secret_file": "CRON_SECRET_FILE",
}
SUPERVISED: Final = "SUPERVISED_BY_STREAMS"
"""The variable that tells a worker that `streams worker` runs it; no setting."""


def _duration(value: str) -> str:
    to_ms(value)
    return value


Time = Annotated[str, AfterValidator(_duration)]


_WEIGHTS: Final = ("critical=6", "default=3", "bulk=1")


class Settings(BaseSettings):
    """One field for each variable; durations as in "30s"."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMS_", extra="ignore", frozen=True, populate_by_name=True
    )

    bootstrap_servers: str = Field("localhost:9092", min_length=1, validation_alias=_BOOTSTRAP)
    prefix: str = ""  # of every topic and group
    group: str = "workers"
    instance: str = ""  # a name for static membership: a quick restart moves no partition
    queues: Words = ("critical", "default", "bulk")
    serves: Words = ()  # the queues that this group's workers serve; none named: all
    weights: Words = _WEIGHTS  # of queues, for slots; others: 1
    handlers: Words = ()
    middleware: Words = ()  # around every handler, from the outside in: module:name
    partitions: int = Field(8, ge=1)
    replication: int = Field(1, ge=-1)
    data_dir: str = ".streams"
    objects: str = ""  # where large results are kept: a directory, or s3://...; "": in data_dir
    result_max_mb: int = Field(64, ge=1)  # of a result in there
    concurrency: int = Field(100, ge=1)
    threads: int = Field(5, ge=1)
    abandoned_threads: int = Field(20, ge=0)  # that go on though their attempts are over
    processes: int | None = Field(None, ge=1)  # for handlers with runs_in="process"; None: cores
    process_jobs: int = Field(1_000, ge=1)  # after which a process is replaced
    process_memory_mb: int = Field(1_024, ge=1)  # likewise, once it has so much resident
    grace: Time = "25s"
    session_timeout: Time = "10s"
    standbys: bool = True  # keep copies of others' state, so that taking over is quick
    unique_for: Time = "24h"
    ledger_kept: Time = "3d"
    trim_after: Time = "24h"  # how long acknowledged records stay in queue and command topics
    listed_completed: Words = ("24h/1000",)  # of a queue, and likewise of each other end
    listed_failed: Words = ("7d/5000",)  # dead jobs: those that are older or more are not listed
    health_waiting: int = Field(100, ge=0)  # for each queue; beyond it /health answers 503
    health_failed: int = Field(50, ge=0)  # likewise, dead jobs
    web_host: str = "127.0.0.1"
    web_port: int = Field(9191, ge=0, le=65535)  # 0: any free one
    console_host: str = "127.0.0.1"
    console_port: int = Field(8001, ge=0, le=65535)  # 0: any free one
    console_tokens: Words = ()  # name:scopes:digest, as `streams console token` makes them
    console_tokens_file: str = ""  # with one in each line
    console_session: Time = "12h"  # how long people stay signed in
    console_hosts: Words = ()  # other names by which the console is called
    console_behind_proxy: bool = False  # whose X-Forwarded-Proto and -For are true
    event_topics: Words = ()  # for which a console takes events, beside its handlers'; *: all
    cron_secret: SecretStr = Field(SecretStr(""), validation_alias=_OTHERS["cron_secret"])
    cron_secret_file: str = Field("", validation_alias=_OTHERS["cron_secret_file"])
    log_format: Literal["json", "console"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None

    @property
    def objects_at(self) -> str:
        """Where large results are kept."""
        return self.objects or f"{self.data_dir}/objects"

    @property
    def weights_of(self) -> dict[str, int]:
        """How many jobs of a queue start for each one of a queue of weight 1."""
        return {queue: int(weight) for queue, _, weight in (w.partition("=") for w in self.weights)}

    @field_validator("weights")
    @classmethod
    def _are_weights(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        queues = info.data.get("queues", ())
        for word in value:
            queue, _, weight = word.partition("=")
            if not queue or not weight.isdigit() or not 0 < int(weight) <= 1_000:
                raise ValueError(
                    f'{word!r}: write queues with weights from 1 to 1000, as in "critical=6"'
                )
            if value != _WEIGHTS and queue not in queues:
                raise ValueError(f"{queue!r} is not in STREAMS_QUEUES: {', '.join(queues)}")
        return value

    @field_validator("listed_completed", "listed_failed")
    @classmethod
    def _are_limits(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        queues = info.data.get("queues", ())
        for queue in filter(None, read_listed(value)):
            if queue not in queues:
                raise ValueError(f"{queue!r} is not in STREAMS_QUEUES: {', '.join(queues)}")
        return value

    @field_validator(
        "queues",
        "handlers",
        "middleware",
        "serves",
        "weights",
        "listed_completed",
        "listed_failed",
        "console_tokens",
        "console_hosts",
        "event_topics",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("serves")
    @classmethod
    def _are_queues(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        queues = info.data.get("queues", value)
        if unknown := [queue for queue in value if queue not in queues]:
            raise ValueError(f"{unknown[0]!r} is not in STREAMS_QUEUES: {', '.join(queues)}")
        return value

    @field_validator("queues")
    @classmethod
    def _has_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one queue")
        return value


def unknown_variables(environment: Iterable[str]) -> list[tuple[str, str | None]]:
    """The STREAMS_* variables that are no setting, each with the one that it is most like."""
    known = {_variable(field): field for field in Settings.model_fields}
    unknown = []
    for name in sorted(environment):
        if name.upper().startswith("STREAMS_") and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1, cutoff=0.75)
            unknown.append((name, near[0] if near else None))
    return unknown


def _variable(field: str) -> str:
    """The variable of a field, or of the name that an error has for it."""
    if field in _OTHERS.values():
        return field
    return _OTHERS.get(field, f"STREAMS_{field.upper()}")


def _explain(error: ValidationError) -> str:
    lines = []
    for mistake in error.errors(include_url=False):
        field = str(mistake["loc"][0]) if mistake["loc"] else "settings"
        lines.append(f"{_variable(field)}={mistake.get('input')!r}: {_remedy(mistake)}")
    return "; ".join(lines)


def _remedy(mistake: Any) -> str:
    match mistake["type"]:
        case "string_too_short":
            return 'write addresses, as in "localhost:9092"'
        case "value_error":
            return str(mistake["ctx"]["error"])
        case _:
            return str(mistake["msg"]).replace("Input should be", "write")

"""Where the services are: the environment first, then what `onefact up` left in its home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ModelWrapValidatorHandler,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from eventlog.errors import BadInput, ServiceAway

StackKind = Literal["embedded", "compose", "external"]

STACK_FILE = "stack.json"
"""In `$ONEFACT_HOME`; mode 600, because it holds the generated passwords."""


CUT_EVERY_S_MIN = 5.0
"""Below it pauses would be a tenth of the time and more."""


def _seldom(every_s: float) -> float:
    if every_s and every_s < CUT_EVERY_S_MIN:
        raise ValueError(f"0 for never, or at least {CUT_EVERY_S_MIN:.0f} seconds")
    return every_s


def _said(place: tuple[int | str, ...], given: Any, what: str) -> str:
    return f"ONEFACT_{'_'.join(map(str, place)).upper()}={given}: {what.removeprefix('Value error, ')}"


class StackFileSource(PydanticBaseSettingsSource):
    """The `settings` object of `$ONEFACT_HOME/stack.json`, below the environment in precedence."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's signature
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        home = Path(self.current_state.get("home", ".onefact"))
        try:
            found = json.loads((home / STACK_FILE).read_text())["settings"]
        except FileNotFoundError:
            return {}
        return {name: value for name, value in found.items() if name in Settings.model_fields}


class Settings(BaseSettings):
    """Every setting has the environment variable `ONEFACT_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="ONEFACT_", extra="ignore")

    home: Path = Path(".onefact")
    """State of the stack and of the workers."""
    port_base: int = 17000
    """Embedded services and workers listen on 127.0.0.1, on ports counted from this one."""
    stack: StackKind = "embedded"
    kafka: str = ""
    """Bootstrap servers, `host:port[,host:port]`."""
    registry: str = ""
    """URL of a Confluent-compatible schema registry, without credentials."""
    postgres: str = ""
    """libpq URL, with credentials."""
    redis: str = ""
    """redis:// URL, with credentials."""
    neo4j: str = ""
    """bolt:// or neo4j:// URL, with credentials and, if need be, `/DATABASE`; empty where there are no graphs."""
    s3: str = ""
    """Object storage of the archive: `http[s]://KEY:SECRET@HOST[:PORT]/BUCKET[?region=NAME]`."""
    payments_url: str = ""
    """http(s):// URL of the payment provider, with credentials; without it payments wait."""
    payments_deadline_s: PositiveFloat = 5.0
    """Of one attempt of a call."""
    payments_attempts: PositiveInt = 4
    """In a row, with exponentially growing pauses; after them a call waits `payments_pause_s`, and begins again."""
    payments_limit: PositiveInt = 16
    """Calls of one worker in flight at a time."""
    payments_rate: PositiveFloat = 100.0
    """Attempts per second of one worker, on average."""
    payments_failures: PositiveInt = 5
    """Attempts in a row without an answer that open the circuit."""
    payments_pause_s: PositiveFloat = 5.0
    """So long the circuit stays open before one call may try."""
    replication_factor: int = 1
    """Of the topics that are created; 3 on a cluster that must survive a broker."""
    unsafe_stores: bool = False
    """Take stores too that may keep a position without its rows: only where what they hold is thrown away anyway."""
    worker_host: str = "127.0.0.1"
    worker_port: int = 0
    """Where a worker serves /ready and /metrics; 0 picks a free port."""
    worker_name: str = "worker"
    state_store: str = ""
    """Where processors keep their state, against what they declare: `memory`, `rocksdb`, or `ROLE=KIND[,...]`."""
    state_cache_mb: int = 64
    """Of streams in memory, about, per partition whose state is on disk."""
    deadlines: str = ""
    """How long sagas wait, against what they declare: `SAGA.NAME=SECONDS[,...]`, such as `fulfilment.payment=60`."""
    archive_age_s: float = 60.0
    """So long the archiver lets a record wait for others to be in a file with."""
    archive_memory_mb: int = 256
    """Of rows that wait in an archiver for their files, in all its partitions together."""
    cut_every_s: Annotated[float, AfterValidator(_seldom)] = 300.0
    """Between two pauses, of half a second, of all processors, so that the archive has a moment to go back to under any
    load (`eventlog.quiescence`); 0 for none. The same for every worker."""
    checkpoint_every_s: NonNegativeFloat = 3600.0
    """Between two runs of `onefact checkpoint` beside an archiver; 0 for none."""
    checkpoint_offsets: PositiveInt = 100_000
    """Offsets between two checkpoints: what an as-of read has to fold at most, over all partitions of the model."""
    archive_restore: Literal["Expedited", "Standard", "Bulk"] | None = None
    """How quickly readers have restored what is frozen, and wait for it; without it they raise what it takes."""
    archive_look_s: PositiveFloat = 30.0
    """Between two looks whether what was asked for is restored."""
    code_version: str = ""
    """Build that runs, such as a commit's id; written into facts after the version that their role declares."""
    tracing: bool = False
    """Spans of what became of a command, by OpenTelemetry, which reads its own `OTEL_*` variables."""
    log_level: str = "info"

    @model_validator(mode="wrap")
    @classmethod
    def _named(cls, given: Any, validate: ModelWrapValidatorHandler[Settings]) -> Settings:
        """Raise `BadInput` by the names that people set."""
        try:
            return validate(given)
        except ValidationError as error:
            raise BadInput(
                "; ".join(_said(each["loc"], each["input"], each["msg"]) for each in error.errors())
            ) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, StackFileSource(settings_cls)

    def required(self, *names: str) -> Settings:
        """Raise `ServiceAway`, saying what to do, when the address of a service is not known."""
        for name in names:
            if not getattr(self, name):
                raise ServiceAway(name, f"its address is not known; run `onefact up`, or set ONEFACT_{name.upper()}")
        return self

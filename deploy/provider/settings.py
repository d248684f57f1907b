"""What the provider is told when it starts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import SystemRandom
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from pydantic_settings import BaseSettings, SettingsConfigDict

Share = Annotated[float, Field(ge=0, le=1)]


class Faults(BaseModel):
    """How it misbehaves; shares are of calls, between 0 and 1."""

    model_config = ConfigDict(extra="forbid")

    fail: Share = 0.0
    """Answered 500 with nothing done."""
    drop: Share = 0.0
    """Done, and the connection cut in place of an answer."""
    decline: Share = 0.0
    """Of charges: declined for good."""
    delay_s: NonNegativeFloat = 0.0
    """The longest that an answer takes; each takes between 0 and this."""
    away_s: NonNegativeFloat = 0.0
    """For so long from now on nobody is answered at all."""


class ProviderSettings(BaseSettings):
    """Every setting has the environment variable `ONEFACT_PROVIDER_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="ONEFACT_PROVIDER_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    """Password that callers must give; empty for none."""
    books: Path = Path("provider.sqlite")
    seed: int = Field(default_factory=lambda: SystemRandom().randrange(1 << 32))
    """Of everything that is drawn: the same calls under the same keys fare the same."""
    decline_over: Decimal = Decimal(100_000)
    """Charges above this amount are declined, whatever the currency: a way to see one on purpose."""
    fail: float = 0.0
    drop: float = 0.0
    decline: float = 0.0
    delay_s: float = 0.0

    def faults(self) -> Faults:
        """Those that it starts with."""
        return Faults(fail=self.fail, drop=self.drop, decline=self.decline, delay_s=self.delay_s)

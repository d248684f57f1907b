"""The schema registry over its Confluent-compatible API."""

from __future__ import annotations

from typing import Self

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.common._httpx_compat import httpx  # whichever httpx it speaks, for its errors

from eventlog.errors import OnefactError, ServiceAway

TIMEOUT_S = 5
"""Of one request: some registries never answer what they do not know."""
_SCHEMA_NOT_FOUND = 40403


class SchemaRefused(OnefactError):
    """The registry refused a schema, as a rule because it is incompatible with what was written before."""


class Registry:
    """Registers and looks up Avro schemas; one connection, used from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": TIMEOUT_S})

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def register(self, subject: str, text: str) -> int:
        """Id of the schema under the subject, registered if it is new.

        Raises `SchemaRefused` when it is incompatible, `ServiceAway` when the registry does not answer.
        """
        try:
            return int(self._client.register_schema(subject, Schema(text, "AVRO")))
        except SchemaRegistryError as error:
            if error.http_status_code in (409, 422):
                raise SchemaRefused(
                    f"the registry refuses the schema of {subject}: {error.error_message}; "
                    "a change must stay readable for old facts (give new fields a default, or use a new name)"
                ) from None
            raise self._away(error) from None
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def lookup(self, schema_id: int) -> str | None:
        """Text of the schema; None when the registry does not know the id, `ServiceAway` when it does not answer."""
        try:
            return str(self._client.get_schema(schema_id).schema_str)
        except SchemaRegistryError as error:
            if error.http_status_code == 404 or error.error_code == _SCHEMA_NOT_FOUND:
                return None
            raise self._away(error) from None
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def subjects(self) -> dict[str, tuple[int, int]]:
        """Newest (version, id) of every subject; raises `ServiceAway`."""
        try:
            latest = {name: self._client.get_latest_version(name) for name in self._client.get_subjects()}
        except (SchemaRegistryError, httpx.HTTPError) as error:
            raise self._away(error) from None
        return {name: (int(found.version or 0), int(found.schema_id or 0)) for name, found in latest.items()}

    def _away(self, error: Exception) -> ServiceAway:
        return ServiceAway("registry", f"{self._url} answers {type(error).__name__}: {error}")

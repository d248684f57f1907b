"""The schema registry over its Confluent-compatible API."""

from __future__ import annotations

import json
from typing import Any, Self

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.common._httpx_compat import httpx  # whichever httpx it speaks, for its errors

from eventlog.errors import OnefactError, ServiceAway
from eventlog.evolution import unreadable

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

        Raises `SchemaRefused` when it could not read what was written before, naming the field and what to do;
        `ServiceAway` when the registry does not answer.
        """
        schema = Schema(text, "AVRO")
        try:
            known = self._known(subject, schema)
            if known is not None:
                return known
            self._require_readable(subject, json.loads(text))
            return int(self._client.register_schema(subject, schema))
        except SchemaRegistryError as error:
            if error.http_status_code in (409, 422):
                raise SchemaRefused(
                    f"the registry refuses the schema of {subject}: {error.error_message}; "
                    "a change must stay readable for old facts (give new fields a default, or use a new name)"
                ) from None
            raise self._away(error) from None
        except httpx.HTTPError as error:
            raise self._away(error) from None

    def _known(self, subject: str, schema: Schema) -> int | None:
        """Id of a schema that the subject has already."""
        try:
            return int(self._client.lookup_schema(subject, schema).schema_id or 0) or None
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return None
            raise

    def _require_readable(self, subject: str, schema: dict[str, Any]) -> None:
        # The registry would say no as well, but not which field, and nothing at all of a decimal's other scale.
        namespace = subject.rpartition(".")[0]
        for name in (subject, *(f"{namespace}.{alias}" for alias in schema.get("aliases", ()))):
            for version in self._versions(name):
                why = unreadable(schema, json.loads(self._client.get_version(name, version).schema.schema_str or ""))
                if why:
                    raise SchemaRefused(f"{'; '.join(why)} (version {version} of {name} in the registry {self._url})")

    def _versions(self, subject: str) -> list[int]:
        try:
            return self._client.get_versions(subject)
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return []
            raise

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

    def place(self, subject: str, text: str) -> int:
        """Register a schema as it is, asking nothing; the id that the registry gives it. For `bootstrap` alone."""
        try:
            return int(self._client.register_schema(subject, Schema(text, "AVRO")))
        except (SchemaRegistryError, httpx.HTTPError) as error:
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

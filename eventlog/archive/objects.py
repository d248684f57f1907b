"""Objects of one bucket: put, read back, moved between storage classes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from eventlog.errors import NotFound, OnefactError, ServiceAway
from eventlog.settings import Settings

REGION = "us-east-1"
TIMEOUT_S = 20
ATTEMPTS = 6
"""Of one request that was answered 429 or 5xx, or not at all; with growing pauses."""
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""What a store says where a key must not be there and is, or is being written."""

StorageClass = Literal["STANDARD", "STANDARD_IA", "GLACIER", "DEEP_ARCHIVE"]
ArchiveClass = Literal["GLACIER", "DEEP_ARCHIVE", "SIMULATED"]
Speed = Literal["Expedited", "Standard", "Bulk"]
"""Of a restore, as S3 names them: the quicker, the dearer."""
SPEEDS: tuple[Speed, ...] = get_args(Speed)


LIBRARIES = ("boto3", "deltalake", "pyarrow")
"""Of the extra `archive`, what takes part in reading and writing it."""


class ExtraMissing(OnefactError):
    """Libraries of the archive are not installed."""

    def __init__(self, *names: str | None) -> None:
        super().__init__(
            f"the archive's libraries are missing ({', '.join(map(str, names))}): pip install 'onefact[archive]'"
        )


def has_extra() -> bool:
    """Whether there can be an archive."""
    return all(find_spec(name) is not None for name in LIBRARIES)


def require_extra(*more: str) -> None:
    """Raise `ExtraMissing` where a library of the archive's is not installed, or one of `more`."""
    if missing := [name for name in (*LIBRARIES, *more) if find_spec(name) is None]:
        raise ExtraMissing(*missing)


class Frozen(OnefactError):
    """The object is in an archive class, and was not restored."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is in an archive class and cannot be read before it was restored")


@dataclass(frozen=True)
class Head:
    """What the store says of an object."""

    size: int
    etag: str
    storage_class: str
    restore: str
    """State of a restore, in S3's words; empty where none was asked for."""


@dataclass(frozen=True)
class Address:
    """`http[s]://KEY:SECRET@HOST[:PORT]/BUCKET[?region=NAME]`; without credentials the ones of the environment."""

    endpoint: str
    bucket: str
    key: str
    secret: str
    region: str

    @classmethod
    def parse(cls, url: str) -> Address:
        parts = urlsplit(url)
        bucket = parts.path.strip("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not bucket or "/" in bucket:
            raise OnefactError("ONEFACT_S3 is not http[s]://KEY:SECRET@HOST[:PORT]/BUCKET[?region=NAME]")
        region = parse_qs(parts.query).get("region", [REGION])[0]
        endpoint = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return cls(endpoint, bucket, unquote(parts.username or ""), unquote(parts.password or ""), region)

    def options(self) -> dict[str, str]:
        """The same for the table format's library."""
        credentials = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret} if self.key else {}
        return credentials | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": str(self.endpoint.startswith("http:")).lower(),
            "aws_conditional_put": "etag",  # a commit is a file that must not be there yet
            "max_retries": str(ATTEMPTS),
            "retry_timeout": f"{TIMEOUT_S}s",
            "timeout": f"{TIMEOUT_S}s",
        }


@lru_cache(maxsize=16)
def _client_of(address: Address, process: int) -> Any:  # noqa: ARG001 - connections are not shared with a fork
    """Used from any thread; made once, because that takes as long as some dozens of requests."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        s3={"addressing_style": "path"},
        max_pool_connections=64,
    )
    return boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=address.key or None,
        aws_secret_access_key=address.secret or None,
        config=config,
    )


@cache
def _broken() -> tuple[type[Exception], ...]:
    """What is raised where no answer came, or a part of one; of the body of an error that is the client's client's."""
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, HTTPError, OSError


class Objects:
    """One bucket; used from any thread. Raises `ServiceAway` when the store does not answer, or not in order.

    It cannot be had without the archive's libraries: `ExtraMissing`.
    """

    def __init__(self, settings: Settings) -> None:
        require_extra()
        self.settings = settings
        self.address = Address.parse(settings.required("s3").s3)
        self._made = threading.Lock()
        self._bucket_there = False

    @property
    def _client(self) -> Any:
        return _client_of(self.address, os.getpid())

    def _ask(self, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import ClientError

        try:
            return getattr(self._client, operation)(Bucket=self.address.bucket, **arguments)
        except ClientError as error:
            code, key = str(error.response["Error"].get("Code", "")), arguments.get("Key", self.address.bucket)
            if code in ("404", "NoSuchKey", "NotFound", "NoSuchBucket"):
                raise NotFound(f"there is no {key} in {self.address.endpoint}/{self.address.bucket}") from None
            if code == "InvalidObjectState":
                raise Frozen(key) from None
            raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None
        except _broken() as error:
            raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None

    def have_bucket(self) -> None:
        """Make the bucket where it is not there."""
        from botocore.exceptions import ClientError

        with self._made:
            if self._bucket_there:
                return
            try:
                self._client.head_bucket(Bucket=self.address.bucket)
            except ClientError as error:
                if error.response["Error"].get("Code") not in ("404", "NoSuchBucket"):
                    raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None
                self._client.create_bucket(Bucket=self.address.bucket)
            except _broken() as error:
                raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None
            self._bucket_there = True

    def put(self, key: str, data: bytes | memoryview, storage_class: StorageClass = "STANDARD") -> None:
        """Write an object whole, or raise; the store checks a checksum of what it got."""
        self._ask("put_object", Key=key, Body=bytes(data), StorageClass=storage_class, ChecksumAlgorithm="CRC32")

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object that must not be there yet; whether it is this one's. Of several at a time one is told so."""
        from botocore.exceptions import ClientError

        try:
            self._client.put_object(
                Bucket=self.address.bucket, Key=key, Body=data, IfNoneMatch="*", ChecksumAlgorithm="CRC32"
            )
        except ClientError as error:
            if error.response["Error"].get("Code") not in TAKEN:
                raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None
        except _broken() as error:
            raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None
        else:
            return True
        try:
            # A first attempt may have been done without an answer.
            return self.get(key) == data
        except NotFound:
            return False

    def put_file(self, key: str, path: Path, storage_class: StorageClass = "STANDARD") -> None:
        """The same from a file, of any size, in parts."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import ClientError

        try:
            self._client.upload_file(str(path), self.address.bucket, key, ExtraArgs={"StorageClass": storage_class})
        except (*_broken(), ClientError, S3UploadFailedError) as error:
            raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None

    def get_file(self, key: str, path: Path) -> None:
        """An object into a file; raises `NotFound`."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import ClientError

        self._ask("head_object", Key=key)
        try:
            self._client.download_file(self.address.bucket, key, str(path))
        except (*_broken(), Boto3Error, ClientError) as error:
            raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None

    def get(self, key: str) -> bytes:
        """Raises `NotFound`, `Frozen`; a body that ends early is asked for again."""
        for attempt in range(ATTEMPTS):
            answer = self._ask("get_object", Key=key)
            try:
                data: bytes = answer["Body"].read()
            except _broken() as error:
                if attempt == ATTEMPTS - 1:
                    raise ServiceAway("s3", f"{self.address.endpoint}: {key}: {error}") from None
            else:
                return data
        raise AssertionError

    def head(self, key: str) -> Head:
        """Raises `NotFound`."""
        found = self._ask("head_object", Key=key)
        kind = found.get("StorageClass") or "STANDARD"
        return Head(found["ContentLength"], found["ETag"], kind, found.get("Restore") or "")

    def copy(self, source: str, target: str, storage_class: StorageClass = "STANDARD") -> None:
        """An object under another key, or itself in another class, within the store; raises `NotFound`, `Frozen`."""
        place = {"Bucket": self.address.bucket, "Key": source}
        self._ask("copy_object", Key=target, CopySource=place, StorageClass=storage_class, MetadataDirective="COPY")

    def restore(self, key: str, speed: Speed, days: int) -> None:
        """Ask for an object of an archive class; no error where that was done before."""
        from botocore.exceptions import ClientError

        asked = {"Days": days, "GlacierJobParameters": {"Tier": speed}}
        try:
            self._client.restore_object(Bucket=self.address.bucket, Key=key, RestoreRequest=asked)
        except ClientError as error:
            if error.response["Error"].get("Code") != "RestoreAlreadyInProgress":
                raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None
        except _broken() as error:
            raise ServiceAway("s3", f"{self.address.endpoint}: {error}") from None

    def delete(self, key: str) -> None:
        """No error where it is not there."""
        self._ask("delete_object", Key=key)

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """(key, seconds since it was written) of every object whose key begins so."""
        for found in self._listed(prefix):
            yield found["Key"], time.time() - found["LastModified"].timestamp()

    def age_s(self, key: str) -> float:
        """Of one object, 0 where it is not there.

        To be asked again before something is removed for its age: where names are by content, somebody may have written
        what was left behind anew, to commit it.
        """
        return next((age_s for found, age_s in self.ages(key) if found == key), 0.0)

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """(key, size) of every object whose key begins so."""
        for found in self._listed(prefix):
            yield found["Key"], found["Size"]

    def _listed(self, prefix: str) -> Iterator[Any]:
        token: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=prefix, **token)
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

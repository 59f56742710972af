"""Every Redis key name and record encoding, in one place.

All keys of a cluster begin with ``clipper:<cluster name>:`` and live in one logical database, so
that clusters can share a server. Values are JSON. Readers ignore fields they do not know and give
missing ones their default, so that versions of Clipper can follow each other on the same store.

========================================  ======  =================================================
key (after the prefix)                    type    content
========================================  ======  =================================================
``apps``                                  hash    name → `ApplicationRecord`
``models``                                hash    ``name:version`` → `ModelRecord`
``links``                                 hash    application → list of model names
``current``, ``serving``                  hash    model → version
``revision``, ``generation``, ``epoch``   number  counters, only ever raised
``written:<token>``                       number  revision of a recent write, for a minute
``events``                                channel says that the configuration changed
``workers``                               set     ids of workers that may have a lease
``worker:<id>``                           string  `WorkerLease`, expires
``replica_numbers:<model>:<version>``     hash    ``i:<instance>`` → number; ``next`` → counter
``selection_generations:<app>``           set     generations of which there are keys as below
``selection:<generation>:state:<app>``    hash    the application's numbers; field "" → version
``selection:<generation>:user:<app>:``    hash    the same of one user, whose id ends the key;
                                                  expires
``selection:<generation>:users:<app>``    zset    ids of users with a state, by their last feedback
``selection:<generation>:log:<app>``      stream  feedback, field ``e``; about the newest so many
``selection:<generation>:seen:<app>``     set     digests of idempotency keys, expires
``selection:<generation>:seen_before:…``  set     that set as it was a window ago, expires
``selection:<generation>:again:<app>``    string  written when nothing else is, expires at once
``selection:<generation>:gone:<app>``     string  says that this registration is deleted, for a day
``choice_slices:<app>``                   list    names of the slices of choices, newest first
``choices:<slice>:<app>``                 hash    query id → record of its choice; expires
========================================  ======  =================================================

A generation belongs to one application, so an application's name and a user's id may contain
anything. All keys of a registration but its own state and log expire, and those are deleted with
it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from clipper.datatypes import VersionedModelId
from clipper.errors import StoreUnavailable
from clipper.store.base import ApplicationRecord, ConfigSnapshot, ModelRecord, WorkerLease

WRITTEN_TTL_MS = 60_000
GONE_TTL_MS = 86_400_000

_Record = TypeVar("_Record")


@dataclasses.dataclass(frozen=True)
class Keys:
    """Key names of one cluster."""

    cluster_name: str

    @property
    def prefix(self) -> str:
        """What every key of the cluster begins with."""
        return f"clipper:{self.cluster_name}:"

    @property
    def apps(self) -> str:
        """Hash of applications."""
        return self.prefix + "apps"

    @property
    def models(self) -> str:
        """Hash of model versions."""
        return self.prefix + "models"

    @property
    def links(self) -> str:
        """Hash of links."""
        return self.prefix + "links"

    @property
    def current(self) -> str:
        """Hash of the versions that operators want."""
        return self.prefix + "current"

    @property
    def serving(self) -> str:
        """Hash of the versions that frontends switched to."""
        return self.prefix + "serving"

    @property
    def revision(self) -> str:
        """Counter of configuration writes."""
        return self.prefix + "revision"

    @property
    def generation(self) -> str:
        """Counter of registrations."""
        return self.prefix + "generation"

    @property
    def epoch(self) -> str:
        """Counter of worker starts."""
        return self.prefix + "epoch"

    @property
    def events(self) -> str:
        """Channel of change events."""
        return self.prefix + "events"

    @property
    def workers(self) -> str:
        """Set of worker ids; may name workers whose lease has expired."""
        return self.prefix + "workers"

    @property
    def worker_prefix(self) -> str:
        """What lease keys begin with."""
        return self.prefix + "worker:"

    def worker(self, worker_id: str) -> str:
        """Lease of one worker."""
        return self.worker_prefix + worker_id

    def written(self, token: str) -> str:
        """Mark that the write with this token was executed."""
        return f"{self.prefix}written:{token}"

    def replica_numbers(self, model: VersionedModelId) -> str:
        """Hash of a model version's replica numbers."""
        return f"{self.prefix}replica_numbers:{model}"

    def selection_generations(self, app: str) -> str:
        """Set of an application's generations that have selection data."""
        return f"{self.prefix}selection_generations:{app}"

    def selection(self, part: str, app: str, generation: int) -> str:
        """Selection data of one registration: ``state``, ``users``, ``log`` and so on."""
        return f"{self.prefix}selection:{generation}:{part}:{app}"

    def user_state_prefix(self, app: str, generation: int) -> str:
        """What keys of users' selection states begin with, before the user's id."""
        return self.selection("user", app, generation) + ":"

    def choice_slices(self, app: str) -> str:
        """List of the slices that hold an application's choices."""
        return f"{self.prefix}choice_slices:{app}"

    @property
    def choices_prefix(self) -> str:
        """What keys of slices of choices begin with."""
        return self.prefix + "choices:"


def encode(value: object) -> bytes:
    """Encode a record, lease or list of names as JSON."""
    return msgspec.json.encode(value)


def _decode(raw: bytes, kind: type[_Record], where: str) -> _Record:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreUnavailable(
            f"The entry {where} of the configuration store cannot be read: {error}. "
            "Was it written by another version of Clipper? Delete it and register it again."
        ) from error


def decode_lease(raw: bytes) -> WorkerLease:
    """Decode a lease.

    Raises:
        StoreUnavailable: it is not a lease.
    """
    return _decode(raw, WorkerLease, "worker")


def decode_snapshot(
    revision: bytes | None, hashes: Mapping[str, Mapping[bytes, bytes]]
) -> ConfigSnapshot:
    """Build the snapshot from the raw hashes, named ``apps``, ``models``, ``links`` and so on.

    Raises:
        StoreUnavailable: naming an entry that cannot be read.
    """
    models = [_decode(raw, ModelRecord, f"models {key!r}") for key, raw in hashes["models"].items()]
    apps = [_decode(raw, ApplicationRecord, f"apps {key!r}") for key, raw in hashes["apps"].items()]
    return ConfigSnapshot(
        revision=int(revision or 0),
        applications={record.name: record for record in apps},
        models={record.id: record for record in models},
        links={
            app.decode(): tuple(_decode(raw, list[str], f"links {app!r}"))
            for app, raw in hashes["links"].items()
        },
        current_versions=_texts(hashes["current"]),
        serving_versions=_texts(hashes["serving"]),
    )


def _texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in raw.items()}

"""This file is the platform's central configuration: what holds for models that do not say it themselves.

One aggregate, known by one id. Every key here is obeyed by something; what administrators set is kept, and what they
did not is the key's default.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from services.core import deadlines
from services.core.commands import ConfigurationCommand, RecordResealing
from services.core.errors import Invalid, NotFound
from services.core.events import ConfigurationSet, Entry, Event, SecretsResealed
from services.core.ids import AggregateId, VersionId
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.records import HealthCheck
from services.core.settings import BOUNDS, MAX_INSTANCES, Defaults, Settings, effective, restarts

CONFIGURATION_ID = AggregateId("000000000000000000000001")

_PREFIX = "com.cerebro.domino.modelmanager."
WORKERS = f"{_PREFIX}uWsgi.workerCount"
DEFAULT_INSTANCES = f"{_PREFIX}instances.defaultNumber"
MAXIMUM_INSTANCES = f"{_PREFIX}instances.maximumNumber"
REQUEST_TIMEOUT = f"{_PREFIX}request.timeoutSeconds"
LOG_DAYS = f"{_PREFIX}retention.logsDays"
CALL_DAYS = f"{_PREFIX}retention.callsDays"

Value = int | float


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be configured. A key with a whole `default` takes whole numbers only."""

    name: str
    default: Value
    low: Value
    high: Value
    unit: str
    description: str


KEYS = {
    key.name: key
    for key in (
        Key(
            name=WORKERS,
            default=Defaults().workers,
            low=BOUNDS["workers"][0],
            high=BOUNDS["workers"][1],
            unit="processes",
            description="Worker processes of an instance: the calls it works on at once. Running versions have it once "
            "they restart.",
        ),
        Key(
            name=DEFAULT_INSTANCES,
            default=Settings().instances,
            low=1,
            high=MAX_INSTANCES,
            unit="instances",
            description="Instances of each running version of a model that is published without saying how many.",
        ),
        Key(
            name=MAXIMUM_INSTANCES,
            default=Defaults().max_instances,
            low=1,
            high=MAX_INSTANCES,
            unit="instances",
            description="Most instances of a version that a model may ask for from now on.",
        ),
        Key(
            name=REQUEST_TIMEOUT,
            default=Defaults().request_timeout_s,
            low=BOUNDS["request_timeout_s"][0],
            high=BOUNDS["request_timeout_s"][1],
            unit="seconds",
            description="Time a call may take, waiting included, before it is answered with 504. Running versions have "
            "it once they restart.",
        ),
        Key(
            name=LOG_DAYS,
            default=14,
            low=1,
            high=365,
            unit="days",
            description="Days for which lines of builds, deployments and instances are kept, as far as there is room.",
        ),
        Key(
            name=CALL_DAYS,
            default=7,
            low=1,
            high=365,
            unit="days",
            description="Days for which it is kept which version answered which call, as far as there is room.",
        ),
    )
}


class Chosen(msgspec.Struct, frozen=True):
    """A value that was set. A list of these, not a mapping: names with dots are no good keys in a database."""

    key: str
    value: Value


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state. Revision 0: nothing was ever set."""

    id: AggregateId = CONFIGURATION_ID
    revision: int = 0
    chosen: tuple[Chosen, ...] = ()

    def is_set(self, key: str) -> bool:
        return any(each.key == key for each in self.chosen)

    def value(self, key: str) -> Value:
        """What holds for `key`; `NotFound` names the keys there are."""
        default = find(key).default
        return next((each.value for each in self.chosen if each.key == key), default)


def find(name: str) -> Key:
    """The key of this name; `NotFound` names those there are."""
    if name not in KEYS:
        raise NotFound(f"there is no such key; there are {', '.join(KEYS)}")
    return KEYS[name]


def defaults(configuration: Configuration) -> Defaults:
    """What models go by that leave it to the platform."""
    return Defaults(
        workers=int(configuration.value(WORKERS)),
        request_timeout_s=float(configuration.value(REQUEST_TIMEOUT)),
        max_instances=int(configuration.value(MAXIMUM_INSTANCES)),
    )


def default_instances(configuration: Configuration) -> int:
    """Of a model that is published without saying how many."""
    return int(configuration.value(DEFAULT_INSTANCES))


def log_days(configuration: Configuration) -> int:
    return int(configuration.value(LOG_DAYS))


def call_days(configuration: Configuration) -> int:
    return int(configuration.value(CALL_DAYS))


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Running versions that still go by what was configured before, and on which keys. A restart picks them up."""

    versions: tuple[VersionId, ...]
    keys: tuple[str, ...]


def pending(model: Model, now: Defaults) -> Pending | None:
    """What of `model` has yet to pick `now` up; None: nothing. What does not run picks it up when it starts."""
    behind = {version.id: keys for version in model.versions if (keys := _behind(model, version, now))}
    if not behind:
        return None
    return Pending(versions=tuple(behind), keys=tuple(sorted({key for keys in behind.values() for key in keys})))


def _behind(model: Model, version: Version, now: Defaults) -> tuple[str, ...]:
    if not (version.is_wanted and version.is_built):
        return ()
    running = effective(model.settings, version.defaults)
    wanted = effective(model.settings, now)
    keys = {"workers": WORKERS, "request_timeout_s": REQUEST_TIMEOUT}
    return tuple(keys[name] for name in restarts(running, wanted))


def decide(configuration: Configuration | None, command: ConfigurationCommand) -> tuple[Event, ...]:
    """What `command` brings about; nothing when it is already so. Raises NotFound or Invalid."""
    if isinstance(command, RecordResealing):
        return (SecretsResealed(resealed=command.resealed, closed=command.closed),)
    before = configuration or Configuration()
    key = find(command.key)
    value = None if command.value is None else _checked(key, command.value)
    after = _with(before, key.name, value)
    _check_together(after)
    if before.is_set(key.name) == after.is_set(key.name) and before.value(key.name) == after.value(key.name):
        return ()
    return (ConfigurationSet(key=key.name, value=value),)


def evolve(configuration: Configuration | None, entry: Entry) -> Configuration:
    """Fold one entry into the state."""
    before = configuration or Configuration(id=entry.aggregate_id)
    event = entry.event
    after = _with(before, event.key, event.value) if isinstance(event, ConfigurationSet) else before
    return replace(after, revision=entry.revision)


def _with(configuration: Configuration, key: str, value: Value | None) -> Configuration:
    others = tuple(each for each in configuration.chosen if each.key != key)
    return replace(configuration, chosen=others if value is None else (*others, Chosen(key, value)))


def _checked(key: Key, value: Value) -> Value:
    is_whole = isinstance(key.default, int)
    if (is_whole and value != int(value)) or not key.low <= value <= key.high:
        kind = "a whole number" if is_whole else "a number"
        raise Invalid(
            f"value must be {kind} from {key.low:g} to {key.high:g} ({key.unit}), got {value:g}", field="value"
        )
    return int(value) if is_whole else float(value)


def _check_together(configuration: Configuration) -> None:
    """A model that says nothing has to be possible."""
    most, usual = configuration.value(MAXIMUM_INSTANCES), configuration.value(DEFAULT_INSTANCES)
    if usual > most:
        raise Invalid(
            f"the default number of instances must not exceed the maximum: {usual:g} is more than {most:g}",
            field="value",
        )
    deadlines.check(
        float(configuration.value(REQUEST_TIMEOUT)), HealthCheck(), start_deadline_s=Settings().start_deadline_s
    )

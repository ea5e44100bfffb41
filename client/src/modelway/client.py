"""This file is the SDK's front: one object that speaks for one person to one platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from modelway import models
from modelway.audit import Audit
from modelway.central import Central
from modelway.configuration import Configuration, find_configuration
from modelway.describing import Description, describe
from modelway.following import endpoint_of, is_stopped
from modelway.logs import Log
from modelway.patience import DEFAULT_TIMEOUT_S, Patience
from modelway.people import Keys, Organisations, People
from modelway.plan import Plan
from modelway.predicting import invoke, predict
from modelway.progress import OnProgress, ignore
from modelway.project_people import Projects
from modelway.publishing import Published, publish
from modelway.quotas import Quotas
from modelway.records import Json, LogKind, LogLine, Model, Platform, Prediction, Status, Version
from modelway.running import Running
from modelway.sharing import Sharing
from modelway.traffic import LATEST, Traffic
from modelway.transport import SERVING, Transport

_SILENCE_S = 120.0
_FOLLOW_EVERY_S = 0.5


class Client(Running, Traffic):
    """Modelway as one person sees it. Model APIs are named by name or id.

    Every method raises the errors of `modelway.errors`, and no others.
    """

    def __init__(self, url: str, api_key: str, *, source: Path | None = None) -> None:
        """`source` is the file that url and key come from, for error messages. Raises NotConfigured."""
        self._transport = Transport.to(Configuration(url=url, api_key=api_key, source=source))

    @classmethod
    def from_configuration(cls, configuration: Configuration | None = None) -> Self:
        """A client for the configuration that holds here, looked up as the command line does."""
        found = configuration or find_configuration()
        return cls(found.url, found.api_key, source=found.source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.http.close()

    @property
    def url(self) -> str:
        return self._transport.configuration.url

    @property
    def quotas(self) -> Quotas:
        return Quotas(self._transport)

    @property
    def central(self) -> Central:
        return Central(self._transport)

    @property
    def audit(self) -> Audit:
        return Audit(self._transport)

    @property
    def people(self) -> People:
        return People(self._transport)

    @property
    def keys(self) -> Keys:
        return Keys(self._transport)

    @property
    def organisations(self) -> Organisations:
        return Organisations(self._transport)

    @property
    def sharing(self) -> Sharing:
        return Sharing(self._transport)

    @property
    def projects(self) -> Projects:
        return Projects(self._transport)

    def platform_version(self) -> str:
        return self._transport.get("/version", lambda answer: str(answer.get("modelway") or answer["version"]))

    def platform(self) -> Platform:
        return self._transport.get(f"{SERVING}/platform", Platform.read)

    def publish(
        self, plan: Plan, *, timeout_s: float = DEFAULT_TIMEOUT_S, on_progress: OnProgress = ignore
    ) -> Published:
        """Publish a directory and follow it until it takes traffic; see `modelway.publishing.publish`."""
        return publish(self._transport, plan, timeout_s=timeout_s, on_progress=on_progress)

    def predict(self, name: str, body: bytes | Json, *, label: str = LATEST) -> Prediction:
        """The answer to one call; `body` is the whole request body, such as `{"parameters": [1, 2]}`."""
        return predict(self._transport, self.model(name), body, label)

    def invoke(self, name: str, body: bytes | Json, *, label: str = LATEST) -> Prediction:
        """Like `predict`, without an access token: for collaborators of the model API."""
        return invoke(self._transport, self.model(name), body, label)

    def describe(self, name: str, *, label: str = LATEST, timeout_s: float | None = None) -> Description:
        """What the model API's function takes and gives: for its collaborators."""
        return describe(self._transport, self.model(name), label, timeout_s=timeout_s)

    def models(self) -> list[Model]:
        return sorted(models.list_models(self._transport), key=lambda model: model.name)

    def model(self, name: str) -> Model:
        return models.read_model(self._transport, name)

    def endpoint(self, model: Model, label: str = LATEST) -> str:
        return endpoint_of(self._transport, model, label)

    def token(self, model: Model) -> str | None:
        """An access token that works for the model API, None when it needs none. Each showing is recorded."""
        return models.default_token(self._transport, model)

    def versions(self, name: str) -> list[Version]:
        """Its versions, newest first."""
        return models.list_versions(self._transport, self.model(name).id)

    def version(self, name: str, number: int | None = None) -> Version:
        """Version `number`, by default the newest one."""
        return models.pick_version(self._transport, self.model(name), number)

    def cancel(self, name: str, number: int | None = None) -> Version:
        """Cancel the build of a version, by default the newest one; it has failed then, and never runs.

        Raises Rejected when it is built already; one that has failed already stays as it is.
        """
        model = self.model(name)
        version = models.pick_version(self._transport, model, number)
        return models.cancel_build(self._transport, model.id, version.id)

    def log(self, name: str, kind: LogKind, number: int | None = None) -> Iterator[LogLine]:
        """All lines that one log of a version, by default the newest one, has now."""
        return self._log(name, kind, number).rest()

    def follow_log(self, name: str, kind: LogKind, number: int | None = None) -> Iterator[LogLine]:
        """Lines as they come, until what writes the log is over.

        A platform that went away is awaited for two minutes.
        """
        log = self._log(name, kind, number)
        patience = Patience(_SILENCE_S)
        log.transport = self._transport.patient(patience)
        while True:
            # The status before the lines: once it says that all is over, the lines are whole.
            is_over = _is_over(models.read_version(log.transport, log.model_id, log.version_id), kind)
            yield from log.rest()
            if is_over:
                return
            patience.stopped.wait(_FOLLOW_EVERY_S)
            patience.start_again()

    def _log(self, name: str, kind: LogKind, number: int | None) -> Log:
        model = self.model(name)
        return Log(self._transport, model.id, models.pick_version(self._transport, model, number).id, kind)


def _is_over(version: Version, kind: LogKind) -> bool:
    if kind is LogKind.BUILD:
        return version.status not in {Status.PREPARING, Status.BUILDING}
    return is_stopped(version)

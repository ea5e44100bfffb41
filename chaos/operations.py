"""This file carries out operations as a person would, through the SDK, and remembers what the platform accepted."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelway.client import Client
from modelway.configuration import read_configuration
from modelway.errors import GaveUp, ModelwayError, NotFound, Rejected, VersionFailed
from modelway.models import find_model, list_versions, set_running
from modelway.patience import Patience
from modelway.plan import Plan
from modelway.progress import Progress, VersionPublished
from modelway.records import Json, Model, Version
from modelway.transport import SERVING, Transport

from chaos.expected import AT_REST, RUN, STOP, Order
from chaos.plan import MODELS, Operation

PATIENCE_S = 150.0
_SLOW_START = "import time\ntime.sleep({pause})\n"
_SCRIPT = "def predict(x):\n    return {answer}\n"
_BROKEN = ("import nothing_of_this_name\n", "raise SystemExit(7)\n", "def predict(x)\n")
_REQUIREMENTS = ("six==1.16.0", "six==1.17.0", "idna==3.10", "six==1.16.0\nidna==3.10")


@dataclass
class Kept:
    """What is known of one model from what the platform accepted."""

    name: str
    orders: list[Order] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)  # version id -> what its function returns
    tokens: dict[str, str] = field(default_factory=dict)  # id -> secret
    revoked: dict[str, str] = field(default_factory=dict)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)


class Operations:
    """Carries operations out, those on one model one after the other. `wrong` is what should not have happened."""

    def __init__(self, cli_toml: Path, folder: Path) -> None:
        configuration = read_configuration(cli_toml)
        self._folder = folder
        self.client = Client.from_configuration(configuration)
        self.patience = Patience(PATIENCE_S)
        self.transport = Transport.to(configuration).patient(self.patience)
        self.kept = [Kept(name=f"model-{number}") for number in range(MODELS)]
        self.done: dict[str, int] = defaultdict(int)
        self.wrong: list[str] = []
        self._answer = 0
        self._following: list[threading.Thread] = []

    def close(self) -> None:
        self.client.close()
        self.transport.http.close()

    def carry_out(self, operation: Operation) -> None:
        """Returns once the platform has accepted it; a publish is followed to its end in the background."""
        kept = self.kept[operation.model]
        self.patience.start_again()
        with kept.one_at_a_time, self._noting(str(operation)):
            model = self._find(kept)
            if operation.what in ("publish", "broken") or model is None:
                self._publish(kept, operation)
            elif operation.what in ("start", "stop"):
                self._move(kept, model, operation)
            elif operation.what == "create-token":
                self._create_token(kept, model, operation)
            elif kept.tokens:
                self._revoke_token(kept, model, operation)
            self.done[operation.what] += 1

    def finish(self, deadline_s: float) -> None:
        """Wait for every publish that is still followed; one that does not end is noted as wrong."""
        until = time.monotonic() + deadline_s
        for thread in self._following:
            thread.join(max(0.1, until - time.monotonic()))
            if thread.is_alive():
                self.wrong.append(f"{thread.name} has not ended")
        self._following = [each for each in self._following if each.is_alive()]

    def _find(self, kept: Kept) -> Model | None:
        return find_model(self.transport, kept.name)

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except (Rejected, NotFound, VersionFailed):
            self.done["refused"] += 1
        except ModelwayError as error:
            self.wrong.append(f"{what}: {type(error).__name__}: {error.reason}")

    def _publish(self, kept: Kept, operation: Operation) -> None:
        """Holds the model until its version is there: what is ordered next comes after."""
        is_broken = operation.what == "broken"
        self._answer += 1
        plan = self._plan(kept, operation, self._answer, is_broken=is_broken)
        is_accepted = threading.Event()
        answer = self._answer

        def on_progress(progress: Progress) -> None:
            if isinstance(progress, VersionPublished):
                self._accept(kept, progress.number, answer, is_broken=is_broken)
                is_accepted.set()

        def follow() -> None:
            try:
                with self._noting(f"publish {kept.name}"):
                    self.client.publish(plan, timeout_s=PATIENCE_S * 2, on_progress=on_progress)
            finally:
                is_accepted.set()

        thread = threading.Thread(target=follow, name=f"publish of {kept.name} at {operation.at_s:.1f} s", daemon=True)
        self._following.append(thread)
        thread.start()
        if not is_accepted.wait(PATIENCE_S * 2):
            raise GaveUp(f"{kept.name} was not accepted.")

    def _accept(self, kept: Kept, number: int, answer: int, *, is_broken: bool) -> None:
        version = self._version(kept, lambda each: each.number == number)
        if version is not None:
            kept.orders.append(Order(version.id, RUN, is_broken=is_broken))
            kept.answers[version.id] = answer

    def _version(self, kept: Kept, fits: Callable[[Version], bool]) -> Version | None:
        model = self._find(kept)
        versions = list_versions(self.transport, model.id) if model is not None else []
        return next((each for each in versions if fits(each)), None)

    def _plan(self, kept: Kept, operation: Operation, answer: int, *, is_broken: bool) -> Plan:
        script = _SCRIPT.format(answer=answer)
        if is_broken:
            script = _BROKEN[operation.draw % len(_BROKEN)] + script
        elif operation.draw % 2:
            script = _SLOW_START.format(pause=operation.draw % 3) + script
        project = self._folder / f"{kept.name}-{answer}"
        project.mkdir(parents=True)
        (project / "predict.py").write_text(script)
        requirements = None
        if operation.draw % 5 < 3:
            packages = _REQUIREMENTS[operation.draw // 7 % len(_REQUIREMENTS)]
            requirements = f"# {answer}\n{packages}\n"
        return Plan(
            directory=project,
            name=kept.name,
            file="predict.py",
            function="predict",
            requirements=requirements,
            project=kept.name,
        )

    def _move(self, kept: Kept, model: Model, operation: Operation) -> None:
        """Starts a version that rests, or stops one: often the active one, else any."""
        versions = list_versions(self.transport, model.id)
        is_start = operation.what == "start"
        fitting = [each for each in versions if (each.status in AT_REST) == is_start or not is_start]
        if not fitting:
            return
        active = [each for each in fitting if model.active is not None and each.id == model.active.id]
        version = active[0] if active and operation.draw % 3 else fitting[operation.draw % len(fitting)]
        set_running(self.transport, model.id, version.id, is_running=is_start)
        was_broken = any(order.is_broken for order in kept.orders if order.version_id == version.id)
        kept.orders.append(Order(version.id, RUN if is_start else STOP, is_broken=was_broken))

    def _create_token(self, kept: Kept, model: Model, operation: Operation) -> None:
        path = f"{SERVING}/modelApis/{model.id}/accessTokens"
        name = f"token-{operation.draw}-{len(kept.tokens) + len(kept.revoked)}"

        token_id, secret = self.transport.repeat("POST", path, _id_and_token, body={"name": name})
        kept.tokens[token_id] = secret

    def _revoke_token(self, kept: Kept, model: Model, operation: Operation) -> None:
        token_id = sorted(kept.tokens)[operation.draw % len(kept.tokens)]
        path = f"{SERVING}/modelApis/{model.id}/accessTokens/{token_id}"
        self.transport.repeat("DELETE", path, lambda _: None)
        kept.revoked[token_id] = kept.tokens.pop(token_id)


def _id_and_token(answer: Json) -> tuple[str, str]:
    return str(answer["id"]), str(answer["token"])

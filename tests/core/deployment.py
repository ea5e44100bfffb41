"""This file is one version under a deployer that exists in values only: the tests turn the world, and look."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from services.core.draining import Routers
from services.core.ids import Digest, InstanceId
from services.core.placement import Decision, Forget, Start, Stop, decide
from services.core.ports import Observed
from services.core.progress import Progress, World, begin, new_instance_id, published, resume, wanted_from
from services.core.records import (
    Desired,
    Health,
    HealthCheck,
    InstancePhase,
    Placement,
    PlacementPhase,
    Removed,
    RouterReport,
    Target,
)
from tests.makers import MODEL_ID, START, version_id

VERSION = version_id(1)
ROUTER = "router-1"


def desired(**changes: object) -> Desired:
    made = Desired(
        revision=1,
        model_id=MODEL_ID,
        version_id=VERSION,
        version_number=1,
        generation=1,
        target=Target.RUNNING,
        instances=1,
        artifact=Digest("d" * 64),
        user_name="ada",
        project_name="iris",
        file="predict.py",
        function="predict",
        memory_bytes=2 << 30,
        request_timeout_s=60.0,
        start_deadline_s=300.0,
        health_check=HealthCheck(),
    )
    return replace(made, **changes)


class Deployment:
    """Instances are called `<generation>-<number>` here; a fresh one gets the next number of its generation."""

    def __init__(self, wanted: Desired) -> None:
        self.now = START
        self.desired: Desired | Removed = wanted
        self.last = wanted
        self.instances: dict[str, Observed] = {}
        self.health: dict[InstanceId, Health] = {}
        self.reports: dict[str, RouterReport] = {}
        self.live_routers: frozenset[str] = frozenset()
        self.may_remove = True
        self.is_bus_away = False
        self.revision = 0
        self.stored: Placement | None = None
        self._progress: Progress | None = None
        self._started: dict[int, int] = {}

    @property
    def progress(self) -> Progress:
        assert self._progress is not None
        return self._progress

    @progress.setter
    def progress(self, progress: Progress) -> None:
        self._progress = progress

    @property
    def placement(self) -> Placement:
        return self.progress.placement

    def id(self, name: str) -> InstanceId:
        generation, _, token = name.partition("-")
        return new_instance_id(VERSION, int(generation), token)

    def phase(self) -> PlacementPhase:
        return self.placement.phase

    def phases(self) -> dict[str, InstancePhase]:
        return {each.instance_id.partition("-")[2]: each.phase for each in self.placement.instances}

    def routers(self) -> Routers:
        return Routers(reports=self.reports, live=self.live_routers)

    def world(self) -> World:
        return World(
            now=self.now,
            observed=tuple(self.instances.values()),
            health=self.health,
            routers=self.routers(),
            may_remove=self.may_remove,
        )

    def look(self) -> Decision:
        """Decide, and publish unless the bus is away. Actions are left to the test."""
        wanted, world = wanted_from(self.desired, self.last), self.world()
        if self._progress is None:
            known = self.stored
            self._progress = (
                resume(known, world) if known is not None else begin("local", MODEL_ID, VERSION, wanted, world)
            )
        decision = decide(wanted, self._progress, world)
        self._progress = decision.progress
        if not self.is_bus_away:
            self.revision += 1
            self._progress = published(self._progress, self.revision)
            self.stored = self._progress.placement
        return decision

    def crash(self) -> None:
        """The deployer dies; what it published and what runs stay."""
        self._progress = None

    def after(self, seconds: float) -> Deployment:
        self.now += timedelta(seconds=seconds)
        return self

    def want(self, **changes: object) -> None:
        if changes.get("target") == "running":
            changes["target"] = Target.RUNNING
        self.last = replace(self.last, revision=self.last.revision + 1, **changes)
        self.desired = self.last

    def stop(self, *, routed_out_at: int = 0) -> None:
        self.want(target=Target.STOPPED, routed_out_at=routed_out_at)

    def remove(self) -> None:
        self.desired = Removed(revision=self.last.revision + 1)

    def start_all(self, *, apart_s: float = 0) -> Deployment:
        """Look, and start what the decision says."""
        for _ in range(self.look().actions.count(Start())):
            self.start()
            self.after(apart_s)
        self.look()
        return self

    def run_all(self) -> Deployment:
        """Start what is missing, and let all of the wanted generation become ready."""
        while True:
            self.start_all()
            for name in self.alive(self.last.generation):
                self.set_health(name, is_ready=True)
            if Start() not in self.look().actions:
                return self

    def alive(self, generation: int | None = None) -> list[str]:
        return [
            name for name, each in self.instances.items() if each.is_alive and generation in (None, each.generation)
        ]

    def serving(self) -> list[str]:
        """Those that answer calls: healthy, and not marked in what was last published, or about to be."""
        phases = self.phases()
        ready = [name for name in self.alive() if (health := self.health.get(self.id(name))) and health.is_ready]
        return [name for name in ready if phases.get(name) is InstancePhase.RUNNING]

    def carry_out(self, decision: Decision) -> None:
        """What the runtime would do, at once."""
        names = {self.id(name): name for name in self.instances}
        for action in decision.actions:
            match action:
                case Start():
                    self.start()
                case Stop(instance_id) if names.get(instance_id) in self.alive():
                    self.end(names[instance_id], was_stopped=True)
                case Forget(instance_id) if instance_id in names:
                    self.forget(names[instance_id])
                case _:
                    pass

    def turn(self, *, is_ready: bool = True) -> Decision:
        """One turn of a world that behaves: look, act, become ready, and every router follows."""
        decision = self.look()
        self.carry_out(decision)
        for name in self.alive(self.last.generation) if is_ready else ():
            self.set_health(name, is_ready=True)
        self.routes_to(routes=1 << 40, placements=self.revision)
        return decision

    def turns(self, count: int, *, is_ready: bool = True) -> Deployment:
        for _ in range(count):
            self.turn(is_ready=is_ready)
        return self

    def start(self) -> str:
        generation = self.last.generation
        number = self._started.get(generation, 0)
        self._started[generation] = number + 1
        return self.add(f"{generation}-{number}")

    def add(self, name: str) -> str:
        self.instances[name] = Observed(
            instance_id=self.id(name),
            model_id=MODEL_ID,
            version_id=VERSION,
            generation=int(name.partition("-")[0]),
            addresses=("/run/w0.sock",),
            started_at=self.now,
            is_alive=True,
            memory_limit_bytes=self.last.memory_bytes,
            request_timeout_s=self.last.request_timeout_s,
        )
        return name

    def end(self, name: str, *, reason: str = "ended", was_stopped: bool = False) -> None:
        self.instances[name] = replace(
            self.instances[name], is_alive=False, exit_reason=reason, was_stopped=was_stopped
        )

    def forget(self, name: str) -> None:
        del self.instances[name]

    def set_memory(self, name: str, count_bytes: int) -> None:
        self.instances[name] = replace(self.instances[name], memory_bytes=count_bytes)

    def set_health(self, name: str, *, is_ready: bool, is_unrecoverable: bool = False, reason: str = "") -> None:
        self.health[self.id(name)] = Health(
            revision=1,
            instance_id=self.id(name),
            version_id=VERSION,
            is_ready=is_ready,
            failures=0,
            is_unrecoverable=is_unrecoverable,
            reason=reason,
        )

    def routes_to(self, *, routes: int = 0, placements: int = 0, in_flight: int = 0) -> None:
        """What the one living router has in effect; calls in flight are on every instance."""
        self.live_routers = frozenset({ROUTER})
        self.reports[ROUTER] = RouterReport(
            revision=1,
            router_id=ROUTER,
            routes={MODEL_ID: routes},
            placements={VERSION: placements},
            in_flight={each.instance_id: in_flight for each in self.instances.values() if in_flight},
            waiting={},
        )

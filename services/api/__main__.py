"""Wiring of the api service. It answers HTTP from the first moment; what needs the bus begins once it is there."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import structlog

from services.api.bootstrap import bootstrap, bootstrap_password
from services.api.calls import BusCalls
from services.api.checkpointer import Checkpointer
from services.api.collector import Collector
from services.api.config import ApiConfig
from services.api.configured import read_configuration
from services.api.http.app import Deps, serve
from services.api.http.rates import Rates
from services.api.ledger import MongoLedger
from services.api.observed import BusObserved
from services.api.projector import Projector
from services.api.recorder import Recorder
from services.api.relay import Relay
from services.api.room import Room
from services.api.scaler import Scaler
from services.api.sign_in.passwords import Passwords
from services.api.store.database import connect, prepare
from services.api.store.store import MongoStore
from services.api.undertaker import Undertaker
from services.api.witness import BusWitness
from services.core.aggregates import State
from services.core.configuration import Configuration, call_days, log_days
from services.core.errors import TemporaryError
from services.kit.blobs import Blobs
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.config import ConfigError, read_config
from services.kit.healthz import serve_health
from services.kit.heartbeat import beat
from services.kit.logs import set_up_logs
from services.kit.process import Stop, run
from services.kit.setup import create_all
from services.kit.vault import Vault
from services.kit.wake import Wake

log = structlog.get_logger()

DRAIN_S = 10.0
SET_UP_EVERY_S = 10.0


class Api:
    """All parts of the service, and the works that keep them going."""

    def __init__(self, config: ApiConfig) -> None:
        self._config = config
        client = connect(config.mongodb_url.reveal())
        self._database = client[config.database_name]
        self._stored, self._seen, self._configured = Wake(), Wake(), Wake()
        self._bus = Bus(config)
        self._store = MongoStore(client, self._database, process=config.service_id)
        self._blobs = Blobs(config.blobs_url)
        self._ledger = self._new_ledger()
        self._observed = BusObserved(self._bus, self._seen)
        self._recorder = Recorder(self._ledger, self._store, self._observed, self._seen)
        self._scaler = Scaler(self._ledger, self._store, self._observed, patience=config.patience, clock=time.monotonic)

    def _new_ledger(self) -> MongoLedger:
        path, reserve_bytes = self._config.storage_path, self._config.storage_reserve_bytes
        return MongoLedger(
            self._store,
            deployer_id=self._config.deployer_id,
            clock=now,
            on_change=self._on_change,
            room=None if path is None else Room(path, reserve_bytes=reserve_bytes),
        )

    def _on_change(self, state: State) -> None:
        """A stored change has something to publish, and may complete a join of observations."""
        self._stored.ring()
        self._recorder.changed(state)
        self._scaler.changed(state)
        if isinstance(state, Configuration):
            self._configured.ring()

    async def answer_http(self, stop: Stop) -> None:
        await self._prepare(stop)
        deps = Deps(
            store=self._store,
            evidence=self._store.evidence,
            witness=BusWitness(self._bus),
            ledger=self._ledger,
            observed=self._observed,
            calls=BusCalls(self._bus),
            blobs=self._blobs,
            vault=Vault.from_text(self._config.token_keys, "TOKEN_KEYS"),
            variables=Vault.from_text(self._config.variable_keys, "VARIABLE_KEYS"),
            public_url=self._config.public_url,
            predictions_url=self._config.predictions_url,
            limits=self._config.limits,
            session_lasts_s=self._config.session_lasts_s,
            provider=self._config.open_id_connect,
            rates=Rates(self._config.pace),
        )
        await serve(deps, stop, host=self._config.http_host, port=self._config.http_port)

    async def _prepare(self, stop: Stop) -> None:
        """Schema, indexes, first administrator: waits for the database for as long as it takes."""
        while not stop.is_set:
            try:
                await prepare(self._database)
                await self._store.orphans.end({self._config.service_id})  # what we left when we died
                await bootstrap(
                    self._ledger,
                    self._store,
                    user_name=self._config.bootstrap_user,
                    api_key=self._config.bootstrap_api_key,
                )
                await self._set_first_password()
                return
            except TemporaryError as error:
                log.warning("database_waited_for", reason=error.reason)
                await stop.wait_for(error.retry_after_s)

    async def _set_first_password(self) -> None:
        user_name, password = self._config.bootstrap_user, self._config.bootstrap_password
        if password is not None:
            passwords = Passwords(self._store, Vault.from_text(self._config.token_keys, "TOKEN_KEYS"))
            await bootstrap_password(self._ledger, self._store, passwords, user_name=user_name, password=password)

    async def talk_on_the_bus(self, stop: Stop) -> None:
        await self._bus.open()
        await self._set_up(stop)
        async with asyncio.TaskGroup() as works:
            works.create_task(beat(self._bus, "api", self._config.service_id, stop))
            works.create_task(self._observed.run(stop))
            works.create_task(Relay(self._store, self._bus, self._stored).run(stop))
            works.create_task(self._recorder.record_facts(self._bus, stop))
            works.create_task(self._recorder.record_receipts(self._bus, stop))
            works.create_task(self._recorder.record_observations(stop))
            works.create_task(self._scaler.run(stop))
            works.create_task(Projector(self._store, self._bus, deployer_id=self._config.deployer_id).run(stop))
            works.create_task(self._keep_set_up(stop))
            undertaker = Undertaker(self._store.orphans, self._observed, process=self._config.service_id)
            works.create_task(undertaker.run(stop))
        await self._bus.close()

    async def _set_up(self, stop: Stop) -> None:
        while not stop.is_set:
            try:
                configuration = await self._configuration()
                await create_all(
                    self._bus,
                    log_days=None if configuration is None else log_days(configuration),
                    call_days=None if configuration is None else call_days(configuration),
                )
                return
            except TemporaryError as error:
                log.warning("bus_not_set_up", reason=error.reason)
                await stop.wait_for(error.retry_after_s)

    async def _configuration(self) -> Configuration | None:
        """None while the database does not say."""
        try:
            return await read_configuration(self._store)
        except TemporaryError:
            return None

    async def _keep_set_up(self, stop: Stop) -> None:
        """A bus that lost its memory has no streams either: they are made again. What was configured is, too."""
        while not stop.is_set:
            await self._configured.wait_or(stop, SET_UP_EVERY_S)
            await self._set_up(stop)

    async def make_checkpoints(self, stop: Stop) -> None:
        witness, every_s = BusWitness(self._bus), self._config.checkpoint_every_s
        await Checkpointer(self._store.checkpoints, witness, clock=now, every_s=every_s).run(stop)

    async def collect(self, stop: Stop) -> None:
        collector = Collector(self._store, self._blobs, clock=now, grace_s=self._config.collect_grace_s)
        await collector.run(stop, every_s=self._config.collect_every_s)

    async def answer_health(self, stop: Stop) -> None:
        checks = {"bus": self._bus.check}
        await serve_health(stop, host=self._config.health_host, port=self._config.health_port, checks=checks)


def main() -> int:
    try:
        config = read_config(ApiConfig, os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    set_up_logs("api", config.service_id, config.log_level)
    api = Api(config)
    works = (api.answer_http, api.talk_on_the_bus, api.make_checkpoints, api.collect, api.answer_health)
    return run(*works, drain_s=DRAIN_S)


if __name__ == "__main__":
    sys.exit(main())

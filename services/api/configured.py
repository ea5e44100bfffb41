"""This file reads what administrators have set for the whole platform, as it is at this moment."""

from __future__ import annotations

from services.api.ports import Store
from services.core.aggregates import CONFIGURATION, QUOTAS
from services.core.configuration import CONFIGURATION_ID, Configuration, defaults
from services.core.errors import NotFound
from services.core.quota import QUOTAS_ID, Quotas
from services.core.settings import Defaults


async def read_configuration(store: Store) -> Configuration:
    """The central configuration; that of a new platform when nothing was ever set."""
    try:
        return await store.load(CONFIGURATION, CONFIGURATION_ID)
    except NotFound:
        return Configuration()


async def read_defaults(store: Store) -> Defaults:
    """What commands carry for models that leave it to the platform."""
    return defaults(await read_configuration(store))


async def read_quotas(store: Store) -> Quotas:
    """All resource quotas, hidden ones too."""
    try:
        return await store.load(QUOTAS, QUOTAS_ID)
    except NotFound:
        return Quotas()

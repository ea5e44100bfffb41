"""This file is where the platform's address and the API key are looked up."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from modelway.errors import NotConfigured

_HINT = "run `make up` where Modelway lives, or name a file with url and api_key in MODELWAY_CONFIG"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One platform and one key, always from the same file: a key never goes to a foreign URL."""

    url: str
    api_key: str = field(repr=False)
    source: Path | None = None

    def __post_init__(self) -> None:
        where = f" in {self.source}" if self.source else ""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NotConfigured(f"The url{where} must look like http://127.0.0.1:8080.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise NotConfigured(f"The url{where} must hold nothing but scheme, host and port.")
        if not _HEADER_VALUE.fullmatch(self.api_key):
            raise NotConfigured(f"The api_key{where} must be visible ASCII characters without spaces.")
        object.__setattr__(self, "url", self.url.rstrip("/"))


def find_configuration(environ: Mapping[str, str] = os.environ, start: Path | None = None) -> Configuration:
    """The configuration that holds in folder `start` (default: the current one).

    MODELWAY_CONFIG, then the nearest `.modelway/cli.toml` upwards, then `cli.toml` in the user's
    configuration folder. The first that is there decides, also when it is broken. Raises NotConfigured.
    """
    named = environ.get("MODELWAY_CONFIG")
    if named:
        return read_configuration(Path(named).expanduser())
    folder = (start or Path.cwd()).absolute()
    candidates = [parent / ".modelway" / "cli.toml" for parent in (folder, *folder.parents)]
    candidates.append(platformdirs.user_config_path("modelway") / "cli.toml")
    for candidate in candidates:
        if os.path.isfile(candidate):  # unlike Path.is_file, False also in a folder of somebody else's
            return read_configuration(candidate)
    raise NotConfigured(f"No configuration was found: {_HINT}.")


def read_configuration(path: Path) -> Configuration:
    """The configuration in one TOML file with the keys `url` and `api_key`. Raises NotConfigured."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotConfigured(f"The configuration file {path} does not exist: {_HINT}.") from None
    except OSError as error:
        raise NotConfigured(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Without the parser's words and without a cause: they may quote the line that holds the key.
        raise NotConfigured(f"The configuration file {path} is not TOML.") from None
    missing = [key for key in ("url", "api_key") if not isinstance(values.get(key), str)]
    if missing:
        raise NotConfigured(f"The configuration file {path} lacks {' and '.join(missing)}.")
    return Configuration(url=values["url"], api_key=values["api_key"], source=path)

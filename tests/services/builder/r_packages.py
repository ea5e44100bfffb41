"""This file makes a CRAN-like repository of tiny R packages: built by R, indexed by R, served over HTTP."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

CONTRIB = Path("src", "contrib")
C_CODE = "#include <R.h>\n#include <Rinternals.h>\nSEXP twice(SEXP x) { return ScalarReal(2 * asReal(x)); }\n"
BETA = "#' @useDynLib\ntwice <- function(x) .Call('twice', x, PACKAGE = 'beta') + alpha::one() - 1\n"
# What installs it is written down: who it is, and what is in its environment.
CURIOUS = "#!/bin/sh\n{ id -u; id -G; env; } > inst/seen\n(setsid sleep 600 >/dev/null 2>&1 &)\nprintf x > inst/ran\n"
# Another version of a package that the harness needs, made of the one that is there.
JSONLITE = """
.onLoad <- function(libname, pkgname) {
  ours <- Filter(function(folder) !startsWith(folder, libname), .libPaths())
  theirs <- dirname(system.file(package = "jsonlite", lib.loc = ours))
  here <- parent.env(environment())
  lazyLoad(file.path(theirs, "jsonlite", "R", "jsonlite"), here, filter = function(name) !startsWith(name, ".__"))
  routines <- getDLLRegisteredRoutines(library.dynam("jsonlite", "jsonlite", theirs))$.Call
  for (name in names(routines)) assign(name, routines[[name]], here)
}
"""


class Sources:
    """Sources of packages, and the repository that they come into."""

    def __init__(self, folder: Path) -> None:
        self._sources = folder / "sources"
        self.repository = folder / "repository"
        self.contrib = self.repository / CONTRIB
        self.contrib.mkdir(parents=True)
        self._sources.mkdir()

    def add(self, versions: Mapping[tuple[str, str], Mapping[str, str]], **fields: str) -> None:
        """Build packages with these files, by name and version. A field of DESCRIPTION may be given for all."""
        for number, ((name, version), files) in enumerate(versions.items()):
            folder = self._sources / f"{number}-{version}" / name
            described = {
                "Package": name,
                "Version": version,
                "Title": "Tiny",
                "Description": "Tiny.",
                "License": "GPL-2",
            }
            described |= {"Author": "Test", "Maintainer": "Test <test@example.org>", **fields}
            lines = "".join(f"{key}: {value}\n" for key, value in described.items())
            for path, content in {"NAMESPACE": 'exportPattern("^[a-z]")\n', "DESCRIPTION": lines, **files}.items():
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(lines + content if path == "DESCRIPTION" else content)
                if path == "configure":
                    place.chmod(0o755)
        places = [f"{number}-{version}/{name}" for number, (name, version) in enumerate(versions)]
        command = ["R", "CMD", "build", "--no-manual", "--no-build-vignettes", "--no-resave-data", *places]
        subprocess.run(command, cwd=self._sources, check=True, capture_output=True)
        for built in self._sources.glob("*.tar.gz"):
            built.rename(self.contrib / built.name)

    def archive(self, name: str, version: str) -> None:
        """Put a version where older ones are."""
        old = self.contrib / f"{name}_{version}.tar.gz"
        place = self.contrib / "Archive" / name
        place.mkdir(parents=True, exist_ok=True)
        old.rename(place / old.name)

    def index(self) -> None:
        """Write what `available.packages` reads."""
        program = f"tools::write_PACKAGES('{self.contrib}', type = 'source')"
        subprocess.run(["Rscript", "--vanilla", "-e", program], check=True, capture_output=True)


def make_repository(folder: Path) -> Sources:
    """`alpha`, an older one of it, and packages that need it or do something else."""
    sources = Sources(folder)
    sources.add(
        {
            ("alpha", "1.0"): {"R/a.R": "one <- function() 1\nversion <- '1.0'\n"},
            ("alpha", "1.1"): {"R/a.R": "one <- function() 1\nversion <- '1.1'\n"},
            ("beta", "2.0-1"): {
                "DESCRIPTION": "Imports: alpha (>= 1.0)\n",
                "NAMESPACE": "useDynLib(beta)\nexport(twice)\nimport(alpha)\n",
                "R/b.R": BETA,
                "src/b.c": C_CODE,
            },
            ("broken", "1.0"): {"NAMESPACE": "useDynLib(broken)\n", "src/b.c": "this is not C\n"},
            ("curious", "1.0"): {"configure": CURIOUS, "inst/seen": "", "R/c.R": "yes <- function() TRUE\n"},
            ("future", "1.0"): {"DESCRIPTION": "Depends: R (>= 99.1)\n", "R/f.R": "yes <- function() TRUE\n"},
            ("orphan", "1.0"): {"DESCRIPTION": "Imports: nowhere\n", "R/o.R": "yes <- function() TRUE\n"},
            ("picky", "1.0"): {"DESCRIPTION": "Imports: alpha (>= 1.1)\n", "R/p.R": "yes <- function() TRUE\n"},
            ("jsonlite", "99.0"): {"R/zzz.R": JSONLITE},
        }
    )
    sources.archive("alpha", "1.0")
    sources.index()
    return sources


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which `folder` can be read."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

#!/bin/sh
# This file installs what tests run beside Python, where it is missing: R with Plumber, from the distribution's archive.
set -eu

has_r() {
    command -v Rscript >/dev/null && Rscript --vanilla -e \
        'quit(status = !all(vapply(c("plumber", "processx", "jsonlite"), requireNamespace, NA, quietly = TRUE)))' >/dev/null
}

has_r && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "R is not installed, and only root on Debian or Ubuntu can have it installed here: its tests are left out" >&2
    exit 0 # in CI, a test that is left out for that fails the run: see conftest.py
fi
echo "Installing R and Plumber"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends r-base-core r-cran-plumber r-cran-processx r-cran-jsonlite >/dev/null
has_r

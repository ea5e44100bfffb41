"""This file is what a request says of an environment: packages, in either of two notations, and nothing else so far."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from services.api.http.body import Body
from services.api.http.shapes import says
from services.core.dockerfile import requirements_in
from services.core.errors import Invalid
from services.core.requirements import check_requirements

Text = Annotated[str, msgspec.Meta(max_length=65_536)]
VISIBILITIES = ("Global", "Private")

_MUST_BE = {
    "image": "left out: environments are lists of packages here, and no images",
    "environmentVariables": "empty: a Model API has environment variables of its own",
    "preRunScript": "empty: no script runs in an environment",
    "postRunScript": "empty: no script runs in an environment",
    "preSetupScript": "empty: no script runs in an environment",
    "postSetupScript": "empty: no script runs in an environment",
    "supportedClusters": "empty: there are no clusters",
    "useVpn": "false: there is no VPN",
    "isRestricted": "false: environments are not restricted",
    "orgOwnerId": "left out: an environment is a person's",
}

Script = Annotated[str | None, says("must be empty: no script runs in an environment")]


class RevisionBody(Body, frozen=True, kw_only=True):
    """What an environment installs from now on. What it could not keep is refused, and what is only told is left aside.

    One of `requirements` and `dockerfileInstructions` is there.
    """

    requirements: Annotated[Text | None, says("the packages to install, one requirement a line")] = None
    dockerfile_instructions: Annotated[
        Text | None, says("the same as Dockerfile instructions, as in: RUN pip install numpy==2.1.0")
    ] = None
    image: Annotated[str | None, says("must be left out, null or empty: environments are no images here")] = None
    environment_variables: Annotated[tuple[Any, ...], says("must be empty: a Model API has its own")] = ()
    pre_run_script: Script = None
    post_run_script: Script = None
    pre_setup_script: Script = None
    post_setup_script: Script = None
    supported_clusters: Annotated[tuple[Any, ...], says("must be empty: there are no clusters")] = ()
    use_vpn: Annotated[bool, says("must be false: there is no VPN")] = False


class EnvironmentBody(RevisionBody, frozen=True, kw_only=True):
    """A new environment. Without packages it installs none."""

    name: Annotated[str, says("its name: printable, at most 100 characters, and no other environment's")]
    visibility: Annotated[
        str,
        says(
            "Global: everyone may use it, for administrators to say; Private: its owner",
            default="Private",
            among=VISIBILITIES,
        ),
    ] = "Private"
    is_restricted: Annotated[bool, says("must be false: environments are not restricted")] = False
    org_owner_id: Annotated[str | None, says("must be left out: an environment is a person's")] = None


def check_supported(body: RevisionBody) -> None:
    """Raises Invalid about the first field that asks for what environments here are not."""
    for name, value in msgspec.to_builtins(body).items():
        if name in _MUST_BE and value:
            raise Invalid(f"{name} must be {_MUST_BE[name]}", field=name)


def stated_requirements(body: RevisionBody) -> str | None:
    """The requirements file that `body` comes to; None when it says nothing of packages."""
    if body.requirements and body.dockerfile_instructions:
        field = "dockerfileInstructions"
        raise Invalid(f"{field} must be left out where requirements are given: they say the same", field=field)
    if body.dockerfile_instructions:
        return check_requirements(requirements_in(body.dockerfile_instructions))
    if body.requirements is None and body.dockerfile_instructions is None:
        return None
    return check_requirements(body.requirements or "")

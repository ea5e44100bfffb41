"""How people stand to things: by ownership, roles, visibility and the project behind a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.core.access import Standing
from services.core.environment import Environment
from services.core.events import CollaboratorKind, ModelRole, ProjectRole
from services.core.ids import AggregateId
from services.core.model import Collaborator, Model
from services.core.organisation import Member, Organisation
from services.core.person import Person
from services.core.project import Project, ProjectCollaborator
from services.core.standing import (
    VISIBILITIES,
    Caller,
    Reach,
    to_environment,
    to_model,
    to_organisation,
    to_person,
    to_platform,
    to_project,
)
from tests.makers import START, History

ME, OTHER, TEAM = AggregateId("1" * 24), AggregateId("2" * 24), AggregateId("3" * 24)
IDS = st.sampled_from([ME, OTHER, TEAM])


def caller(*, is_administrator: bool = False, teams: frozenset[AggregateId] = frozenset()) -> Caller:
    person = Person(
        id=ME,
        revision=1,
        user_name="me",
        email="",
        full_name="",
        is_administrator=is_administrator,
        created_at=START,
    )
    return Caller(person=person, organisations=teams)


MEMBER = caller(teams=frozenset({TEAM}))


def project(visibility: str = "Private", owner: AggregateId = OTHER, **roles: ProjectRole) -> Project:
    """`me` and `team` may have a role in it."""
    ids = {"me": ME, "team": TEAM}
    invited = (
        ProjectCollaborator(id=ids[who], kind=CollaboratorKind.PERSON, name=who, role=role)
        for who, role in roles.items()
    )
    return Project(
        id=AggregateId("c" * 24),
        revision=1,
        owner_id=owner,
        owner_name="other",
        name="iris",
        description="",
        visibility=visibility,
        created_at=START,
        collaborators=tuple(invited),
    )


def model(*, is_public: bool = False, owner: AggregateId = OTHER, **roles: ModelRole) -> Model:
    ids = {"me": ME, "team": TEAM}
    invited = (
        Collaborator(id=ids[who], kind=CollaboratorKind.PERSON, name=who, role=role) for who, role in roles.items()
    )
    return replace(History().state, owner_id=owner, is_public=is_public, collaborators=tuple(invited))


@pytest.mark.parametrize(
    ("role", "standing"),
    [
        (ModelRole.VIEWER, Standing.VIEWER),
        (ModelRole.EDITOR, Standing.EDITOR),
        (ModelRole.OWNER, Standing.OWNER),
    ],
)
def test_a_role_in_a_model_is_what_it_says_by_oneself_or_through_an_organisation(
    role: ModelRole, standing: Standing
) -> None:
    assert to_model(caller(), model(me=role), project()) is standing
    assert to_model(MEMBER, model(team=role), project()) is standing
    assert to_model(caller(), model(team=role), project()) is Standing.STRANGER


@pytest.mark.parametrize(
    ("role", "in_project", "of_models"),
    [
        (ProjectRole.CONTRIBUTOR, Standing.EDITOR, Standing.PUBLISHER),
        (ProjectRole.RESULTS_CONSUMER, Standing.VIEWER, Standing.VIEWER),
        (ProjectRole.LAUNCHER_USER, Standing.FINDER, Standing.STRANGER),
        (ProjectRole.PROJECT_IMPORTER, Standing.FINDER, Standing.STRANGER),
    ],
)
def test_a_role_in_a_project_reaches_its_models(role: ProjectRole, in_project: Standing, of_models: Standing) -> None:
    assert to_project(caller(), project(me=role)) is in_project
    assert to_project(MEMBER, project(team=role)) is in_project
    assert to_model(caller(), model(), project(me=role)) is of_models


def test_the_owner_of_a_project_owns_its_models_and_who_owns_a_model_owns_not_its_project() -> None:
    assert to_project(caller(), project(owner=ME)) is Standing.OWNER
    assert to_model(caller(), model(), project(owner=ME)) is Standing.OWNER
    assert to_model(caller(), model(owner=ME), project()) is Standing.OWNER
    assert to_project(caller(), project()) is Standing.STRANGER


@pytest.mark.parametrize(
    ("visibility", "standing"),
    [("Public", Standing.VISITOR), ("Searchable", Standing.FINDER), ("Private", Standing.STRANGER)],
)
def test_visitors_of_a_project_reach_none_of_its_models(visibility: str, standing: Standing) -> None:
    assert to_project(caller(), project(visibility)) is standing
    assert to_model(caller(), model(), project(visibility)) is Standing.STRANGER
    assert to_model(caller(), model(is_public=True), project(visibility)) is Standing.VISITOR


def test_a_public_model_takes_no_role_away() -> None:
    assert to_model(caller(), model(is_public=True, me=ModelRole.EDITOR), project()) is Standing.EDITOR


def test_an_administrator_owns_everything() -> None:
    root = caller(is_administrator=True)
    environment = Environment(
        id=AggregateId("9" * 24), revision=1, owner_id=OTHER, name="e", visibility="Private", created_at=START
    )
    organisation = Organisation(id=TEAM, revision=1, name="team", created_at=START)
    assert {
        to_platform(root),
        to_person(root, replace(root.person, id=OTHER)),
        to_organisation(root, organisation),
        to_environment(root, environment),
        to_project(root, project()),
        to_model(root, model(), project()),
    } == {Standing.OWNER}


def test_how_somebody_stands_to_people_organisations_environments_and_the_platform() -> None:
    me = caller()
    assert to_platform(me) is Standing.VISITOR
    assert (to_person(me, me.person), to_person(me, replace(me.person, id=OTHER))) == (
        Standing.OWNER,
        Standing.VISITOR,
    )
    team = Organisation(id=TEAM, revision=1, name="team", created_at=START)
    for members, standing in (
        ((), Standing.VISITOR),
        ((Member(person_id=ME, is_owner=False),), Standing.VIEWER),
        ((Member(person_id=ME, is_owner=True),), Standing.OWNER),
    ):
        assert to_organisation(me, replace(team, members=members)) is standing
    mine = Environment(
        id=AggregateId("9" * 24), revision=1, owner_id=ME, name="e", visibility="Private", created_at=START
    )
    assert to_environment(me, mine) is Standing.OWNER
    assert to_environment(me, replace(mine, owner_id=OTHER)) is Standing.STRANGER
    assert to_environment(me, replace(mine, owner_id=OTHER, visibility="Global")) is Standing.VISITOR


COLLABORATORS = st.lists(
    st.builds(
        Collaborator, id=IDS, kind=st.just(CollaboratorKind.PERSON), name=st.just("x"), role=st.sampled_from(ModelRole)
    ),
    max_size=4,
).map(tuple)
PROJECT_COLLABORATORS = st.lists(
    st.builds(
        ProjectCollaborator,
        id=IDS,
        kind=st.just(CollaboratorKind.PERSON),
        name=st.just("x"),
        role=st.sampled_from(ProjectRole),
    ),
    max_size=4,
).map(tuple)
CALLERS = st.builds(caller, is_administrator=st.booleans(), teams=st.sampled_from([frozenset(), frozenset({TEAM})]))
MODELS = st.builds(
    lambda collaborators, is_public, owner: replace(
        model(is_public=is_public, owner=owner), collaborators=collaborators
    ),
    COLLABORATORS,
    st.booleans(),
    IDS,
)
PROJECTS = st.builds(
    lambda collaborators, visibility, owner: replace(project(visibility, owner), collaborators=collaborators),
    PROJECT_COLLABORATORS,
    st.sampled_from(VISIBILITIES),
    IDS,
)


@given(CALLERS, MODELS, PROJECTS, COLLABORATORS, PROJECT_COLLABORATORS)
def test_more_collaborators_never_lower_anybodys_standing(
    who: Caller,
    before: Model,
    within: Project,
    invited: tuple[Collaborator, ...],
    joined: tuple[ProjectCollaborator, ...],
) -> None:
    after = replace(before, collaborators=(*before.collaborators, *invited))
    wider = replace(within, collaborators=(*within.collaborators, *joined))
    assert to_model(who, after, within) >= to_model(who, before, within)
    assert to_model(who, before, wider) >= to_model(who, before, within)
    assert to_project(who, wider) >= to_project(who, within)


@given(CALLERS, MODELS, PROJECTS)
def test_what_is_public_lowers_nobodys_standing_and_raises_none_above_a_visitors(
    who: Caller, before: Model, within: Project
) -> None:
    hidden, shown = (to_model(who, replace(before, is_public=each), within) for each in (False, True))
    assert shown == max(hidden, Standing.VISITOR)


@given(MODELS, PROJECTS, st.frozensets(st.sampled_from([AggregateId(each * 24) for each in "4567"])))
def test_a_stranger_to_what_is_private_is_one_whatever_organisations_they_are_in(
    before: Model, within: Project, teams: frozenset[AggregateId]
) -> None:
    stranger = Caller(person=replace(caller().person, id=AggregateId("8" * 24)), organisations=teams)
    assert to_model(stranger, replace(before, is_public=False), within) is Standing.STRANGER
    assert to_project(stranger, replace(within, visibility="Private")) is Standing.STRANGER


@given(CALLERS, MODELS, PROJECTS)
def test_who_publishes_without_owning_edits_the_model_and_collaborates_on_its_project(
    who: Caller, before: Model, within: Project
) -> None:
    """As contributor of the project alone, or as the model's editor with any role that lets one see the files."""
    in_project = {each.role for each in within.collaborators if each.id in who.names}
    in_model = {each.role for each in before.collaborators if each.id in who.names}
    owns = (
        who.person.is_administrator
        or who.person.id in (before.owner_id, within.owner_id)
        or ModelRole.OWNER in in_model
    )
    edits = ModelRole.EDITOR in in_model and in_project & {ProjectRole.CONTRIBUTOR, ProjectRole.RESULTS_CONSUMER}
    publishes = not owns and bool(edits or ProjectRole.CONTRIBUTOR in in_project)
    assert (to_model(who, before, within) is Standing.PUBLISHER) is publishes


@given(CALLERS, MODELS, PROJECTS)
def test_a_reach_says_the_same_as_asking_for_one_model_at_a_time(who: Caller, before: Model, within: Project) -> None:
    works_on_it = within.owner_id == who.person.id or any(each.id in who.names for each in within.collaborators)
    reach = Reach.of(who, [within] if works_on_it else [])
    assert reach.to_model(before) is to_model(who, before, within)

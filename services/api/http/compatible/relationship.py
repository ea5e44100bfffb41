"""This file picks which projects are listed for somebody: theirs, those they work on, those they may come to like."""

from __future__ import annotations

from collections.abc import Iterable

from services.core.access import SEEN_FROM, Kind
from services.core.errors import Invalid
from services.core.names import shortened
from services.core.project import Project
from services.core.standing import PUBLIC, Caller, to_project

OWNED, COLLABORATING, SUGGESTED, SUGGESTING, POPULAR = RELATIONSHIPS = (
    "Owned",
    "Collaborating",
    "Suggested",
    "Suggesting",  # what one client calls it
    "Popular",
)


def check_relationship(text: str | None) -> str | None:
    """The relationship that `text` names, in letters of any case; None: any."""
    if text is None:
        return None
    if text.capitalize() not in RELATIONSHIPS:
        raise Invalid(
            f"relationship must be one of {', '.join(RELATIONSHIPS)}, got {shortened(text)}", field="relationship"
        )
    return text.capitalize()


def seen(projects: Iterable[Project], who: Caller, *, with_archived: bool = False) -> list[Project]:
    """Those that `who` may know of."""
    return [
        project
        for project in projects
        if (with_archived or not project.is_archived) and to_project(who, project) >= SEEN_FROM[Kind.PROJECT]
    ]


def related(projects: Iterable[Project], who: Caller, relationship: str | None) -> list[Project]:
    """Of `projects`, which `who` may know of, those in this relationship to them; None: all.

    Suggested are those of others on which they do not work; popular are public ones, most collaborators first.
    """
    if relationship is None:
        return list(projects)
    if relationship == OWNED:
        return [project for project in projects if project.owner_id == who.person.id]
    if relationship == COLLABORATING:
        return [project for project in projects if _works_on(who, project)]
    if relationship == POPULAR:
        public = [project for project in projects if project.visibility == PUBLIC]
        return sorted(public, key=lambda project: -len(project.collaborators))
    others = [project for project in projects if project.owner_id != who.person.id]
    return [project for project in others if not _works_on(who, project)]


def _works_on(who: Caller, project: Project) -> bool:
    return any(each.id in who.names for each in project.collaborators)

"""This file is projects as the people who work on them see them: what they are, who has a role in them, their files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from modelway.commits import CommittedFile, Difference, list_files, read_difference
from modelway.errors import NotFound
from modelway.projects import find_project
from modelway.records import Json
from modelway.sharing import Collaborator
from modelway.transport import SERVING, Transport

ROLES = ("Contributor", "ResultsConsumer", "LauncherUser", "ProjectImporter")

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, kw_only=True)
class Project:
    """`newest_commit_id` None: it has no files yet."""

    id: str
    name: str
    owner: str
    description: str
    visibility: str
    is_archived: bool
    tags: tuple[str, ...]
    collaborators: tuple[Collaborator, ...]
    commits: int
    newest_commit_id: str | None

    @classmethod
    def read(cls, answer: Json) -> Project:
        return cls(
            id=str(answer["id"]),
            name=str(answer["name"]),
            owner=str(answer["ownerName"]),
            description=answer.get("description") or "",
            visibility=str(answer["visibility"]),
            is_archived=bool(answer.get("isArchived")),
            tags=tuple(str(each["name"]) for each in answer.get("tags") or ()),
            collaborators=tuple(Collaborator.read(each) for each in answer["collaborators"]),
            commits=int(answer["snapshots"]),
            newest_commit_id=answer.get("newestCommitId"),
        )


@dataclass(frozen=True)
class Projects:
    """Projects are named OWNER/NAME, or by NAME alone where they are one's own, or by id."""

    transport: Transport

    def show(self, name: str) -> Project:
        return self.transport.get(self._path(name), Project.read)

    def describe(self, name: str, *, description: str | None = None, visibility: str | None = None) -> Project:
        """None: as it is."""
        body = {"description": description, "visibility": visibility}
        return self.transport.repeat("PUT", self._path(name), Project.read, body=body)

    def share(self, name: str, who: str, role: str) -> Project:
        """`who` has this role from here on, whatever they had."""
        body = {"collaborator": who, "role": role}
        return self.transport.repeat("PUT", f"{self._path(name)}/collaborators", Project.read, body=body)

    def unshare(self, name: str, who: str) -> Project:
        path = f"{self._path(name)}/collaborators/{quote(who, safe='')}"
        return self.transport.repeat("DELETE", path, Project.read)

    def leave(self, name: str) -> None:
        """The caller gives up their own role."""
        self.transport.repeat("POST", f"{self._path(name)}/leave", lambda _: None)

    def archive(self, name: str) -> Project:
        """It is listed no more. Its files stay, and so do the model APIs that were made of it."""
        return self.transport.repeat("POST", f"{self._path(name)}/archive", Project.read)

    def restore(self, name: str) -> Project:
        return self.transport.repeat("POST", f"{self._path(name)}/restore", Project.read)

    def files(self, name: str, commit_id: str | None = None, *, folder: str | None = None) -> list[CommittedFile]:
        """The files of a commit, by default the newest. Raises NotFound when there is none."""
        path = self._path(name)
        if commit_id is None:
            commit_id = self.transport.get(path, Project.read).newest_commit_id
        if commit_id is None:
            raise NotFound(f"The project {name} has no files yet.")
        return list_files(self.transport, path, commit_id, folder)

    def diff(self, name: str, before: str | None = None, after: str | None = None) -> Difference:
        """Which files differ between two commits, by default between the newest and the one before it."""
        return read_difference(self.transport, self._path(name), before, after)

    def _path(self, name: str) -> str:
        return f"{SERVING}/projects/{self._id(name)}"

    def _id(self, name: str) -> str:
        owner, slash, own_name = name.rpartition("/")
        if not slash:
            owner = self.transport.get(f"{SERVING}/whoami", lambda answer: str(answer["userName"]))
        found = find_project(self.transport, own_name, owner=owner)
        if found is not None:
            return found
        if _OBJECT_ID.fullmatch(name):
            return name
        raise NotFound(f"There is no project {owner}/{own_name}: others' projects are named OWNER/NAME.")

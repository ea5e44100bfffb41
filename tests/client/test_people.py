"""`modelway people`, `keys`, `organisations` and `whoami`: what they ask for, and what they say."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from modelway import Client
from modelway.errors import Rejected

from tests.client.accounts import SECRET
from tests.client.conftest import Run
from tests.client.stand_in import StandIn
from tests.client.wire import Fault, Wire

PASSWORD = "correct horse battery"


def answer(run: Run, *args: str | Path) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def grace(run: Run, stand_in: StandIn) -> Any:
    added = run("people", "add", "grace", "--email", "grace@navy.example", "--full-name", "Grace Hopper")
    assert added.stdout == "grace is there; `modelway people password grace` gives a password.\n"
    return stand_in.accounts.named("grace")


def test_whoami_says_whose_key_it_is(run: Run) -> None:
    assert run("whoami").stdout == "ann, an administrator (00000000000000000000000a)\n"
    assert answer(run, "whoami") == {"id": "00000000000000000000000a", "user_name": "ann", "is_administrator": True}


def test_people_are_listed_and_searched(run: Run, grace: Any) -> None:
    lines = run("people", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["ann", "grace"]
    assert lines[1].split()[1] == "administrator"
    assert [each["user_name"] for each in answer(run, "people", "list", "hopper")] == ["grace"]
    assert run("people", "list", "nobody").stdout == "There is nobody of the kind.\n"


def test_all_people_are_listed_however_many_pages(run: Run, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelway.people._PAGE", 2)
    for number in range(4):
        stand_in.accounts.add({"userName": f"p{number}"})
    assert len(answer(run, "people", "list")) == 5


def test_a_person_is_changed_by_name_email_or_id(run: Run, grace: Any) -> None:
    assert run("people", "set", "grace", "--administrator").stdout == "grace is changed.\n"
    assert grace["isAdministrator"]
    run("people", "set", "Grace@navy.example", "--full-name", "G. Hopper", "--no-administrator")
    assert (grace["fullName"], grace["isAdministrator"]) == ("G. Hopper", False)
    assert run("people", "disable", grace["id"]).stdout == "grace is disabled and signed out.\n"
    assert grace["isDisabled"]
    assert run("people", "enable", "grace").stdout == "grace is enabled.\n"
    assert not grace["isDisabled"]


def test_a_part_of_a_name_is_nobody(run: Run, grace: Any) -> None:
    result = run("people", "disable", "grac")
    assert result.exit_code == 1
    assert result.stderr == "Error: There is nobody called grac: `modelway people list` shows who there is.\n"
    assert not grace["isDisabled"]


def test_nothing_to_change_is_wrong_usage(run: Run, grace: Any) -> None:
    assert run("people", "set", "grace").exit_code == 2


def test_a_password_is_asked_for_twice_and_shown_nowhere(run: Run, grace: Any, stand_in: StandIn) -> None:
    result = run("people", "password", "grace", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert (result.exit_code, result.stdout) == (0, "grace has a new password.\n")
    assert PASSWORD not in result.output
    assert stand_in.accounts.passwords[grace["id"]] == PASSWORD


def test_a_password_comes_from_a_file_or_standard_input(
    run: Run, grace: Any, stand_in: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD} \n")
    run("people", "password", "grace", "--password-file", file)
    assert stand_in.accounts.passwords[grace["id"]] == f"{PASSWORD} "
    run("people", "password", "grace", "--password-file", "-", stdin="another long one\n")
    assert stand_in.accounts.passwords[grace["id"]] == "another long one"
    result = run("people", "password", "grace", "--password-file", "/nowhere")
    assert (result.exit_code, "/nowhere cannot be read" in result.stderr) == (1, True)
    run("people", "add", "alan", "--password-file", file)
    assert stand_in.accounts.passwords[stand_in.accounts.named("alan")["id"]] == f"{PASSWORD} "


def test_ones_own_password_takes_the_present_one(run: Run, stand_in: StandIn, tmp_path: Path) -> None:
    me = stand_in.accounts.named("ann")
    run("people", "password", stdin=f"{PASSWORD}\n{PASSWORD}\n")  # there is none yet
    assert stand_in.accounts.passwords[me["id"]] == PASSWORD
    me["hasPassword"] = True
    wrong = run("people", "password", stdin="wrong\nanother long one\nanother long one\n")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert wrong.stderr.endswith("Error: currentPassword is not the password of this account.\n")
    current = tmp_path / "current"
    current.write_text(PASSWORD)
    result = run("people", "password", "--current-file", current, "--password-file", "-", stdin="another long one")
    assert result.exit_code == 0
    assert stand_in.accounts.passwords[me["id"]] == "another long one"


def test_signing_out_everywhere_is_of_oneself_unless_said_otherwise(run: Run, grace: Any, stand_in: StandIn) -> None:
    assert run("people", "signout").stdout == "ann is signed out everywhere.\n"
    assert run("people", "signout", "grace").stdout == "grace is signed out everywhere.\n"
    assert stand_in.accounts.signed_out == ["ann", "grace"]


def test_a_new_key_is_the_only_line_on_standard_output(run: Run) -> None:
    result = run("keys", "create", "ci")
    assert (result.stdout, result.stderr) == (f"{SECRET}\n", "Keep it: it is not shown again.\n")
    assert SECRET not in run("keys", "list").output
    assert answer(run, "keys", "create", "ci2")["key"] == SECRET


def test_a_new_key_goes_to_a_file_of_ones_own(run: Run, tmp_path: Path, wire: Wire) -> None:
    file = tmp_path / "key"
    result = run("keys", "create", "ci", "--file", file)
    assert result.stdout == f"The secret of ci is in {file}.\n"
    assert SECRET not in result.output
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (f"{SECRET}\n", 0o600)
    made = wire.count("POST", "apiKeys")
    assert run("keys", "create", "ci", "--file", file).exit_code == 1  # it is there already
    assert wire.count("POST", "apiKeys") == made
    wire.faults.append(Fault("POST", "apiKeys", "lost-request"))
    assert run("keys", "create", "ci", "--file", tmp_path / "other").exit_code == 1
    assert not (tmp_path / "other").exists()


def test_a_key_whose_secret_was_lost_on_the_way_is_said_to_be_there(client: Client, wire: Wire) -> None:
    wire.faults.append(Fault("POST", "apiKeys", "lost-answer"))
    patient = client._transport.patient(type(client._transport.patience)(5.0))
    with pytest.raises(Rejected):
        type(client.keys)(patient).create("ci")
    assert [key.name for key in client.keys.all()] == ["ci"]


def test_keys_are_revoked_by_a_name_that_is_one_keys_or_by_id(run: Run, stand_in: StandIn, grace: Any) -> None:
    for name in ("ci", "laptop", "laptop"):
        run("keys", "create", name)
    assert run("keys", "revoke", "ci").stdout == "ci is revoked.\n"
    result = run("keys", "revoke", "laptop")
    assert (result.exit_code, "Several API keys are called laptop" in result.stderr) == (1, True)
    first = answer(run, "keys", "list")[0]["id"]
    run("keys", "revoke", first)
    assert [each["name"] for each in answer(run, "keys", "list")] == ["laptop"]
    assert run("keys", "revoke", "ci").exit_code == 1
    stand_in.accounts.keys[grace["id"]] = [{"id": "k", "name": "hers", "created": 0, "lastUsed": 1_800_000_000_000}]
    assert "hers  1970-01-01  2027-01-15 08:00Z" in run("keys", "list", "--of", "grace").stdout
    assert run("keys", "revoke", "hers", "--of", "grace").exit_code == 0
    assert run("keys", "list", "--of", "grace").stdout == "There are no API keys.\n"


def test_organisations_are_made_filled_and_shown(run: Run, grace: Any) -> None:
    made = run("organisations", "create", "navy")
    assert made.stdout == "navy is there: `modelway organisations add navy PERSON`.\n"
    added = run("organisations", "add", "navy", "grace", "--owner")
    assert added.stdout == "grace is an owner of navy, which has 2 members.\n"
    assert [line.split() for line in run("organisations", "show", "navy").stdout.splitlines()[3:]] == [
        ["ann", "owner", "00000000000000000000000a"],
        ["grace", "owner", grace["id"]],
    ]
    again = run("organisations", "add", "navy", "grace")
    assert again.stdout == "grace is a member of navy, which has 2 members.\n"
    removed = run("organisations", "remove", "navy", "grace")
    assert removed.stdout == "grace is no member of navy, which has 1 member.\n"
    listed = answer(run, "organisations", "list")
    assert [(each["name"], each["member_count"]) for each in listed] == [("navy", 1)]
    assert answer(run, "organisations", "show", listed[0]["id"])["name"] == "navy"
    missing = run("organisations", "show", "army")
    assert (missing.exit_code, "There is no organisation called army" in missing.stderr) == (1, True)

"""What an instance is told, and what it is told when that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from modelway_harness.config import InvalidConfig, parse, read

GOOD: dict[str, object] = {
    "instance_id": "abc",
    "version_id": "0123456789abcdef01234567",
    "version_number": 3,
    "model_id": "m",
    "file": "predict.py",
    "function": "predict",
    "project_dir": "/p",
    "sockets": ["/s/w0.sock", "/s/w1.sock"],
    "exit_file": "/s/exit.json",
    "request_timeout_s": 60,
}


def problems(settings: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidConfig) as invalid:
        parse(settings)
    return str(invalid.value).splitlines()


def test_what_is_optional_has_a_default_and_what_is_unknown_is_ignored() -> None:
    instance = parse(GOOD | {"added_later": True})
    assert (instance.max_body_bytes, instance.grace_s, instance.example_input) == (67108864, 30.0, "")
    assert (instance.memory_bytes, parse(GOOD | {"memory_bytes": 1 << 30}).memory_bytes) == (0, 1 << 30)
    assert instance.sockets == (Path("/s/w0.sock"), Path("/s/w1.sock"))


def test_every_problem_is_named_at_once() -> None:
    wrong = GOOD | {"version_number": 0, "sockets": [], "grace_s": True, "project_dir": "p"}
    del wrong["function"]
    assert problems(wrong) == [
        "version_number must be a whole number of at least 1, got 0",
        "function is not set; it must be a text that is not empty",
        "project_dir must be an absolute path, got 'p'",
        "sockets must be a list of absolute paths, one per worker, got []",
        "grace_s must be a number of at least 0, got True",
    ]


def test_an_example_is_a_text_of_any_kind() -> None:
    assert parse(GOOD | {"example_input": '{"data":\n{}}'}).example_input == '{"data":\n{}}'
    assert problems(GOOD | {"example_input": {}}) == ["example_input must be a text, got {}"]


def test_a_socket_path_that_the_kernel_would_not_take_is_refused() -> None:
    assert problems(GOOD | {"sockets": ["/" + "s" * 100]})[0].startswith("sockets must be paths of at most 100 bytes")


def test_a_file_of_another_instance_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(GOOD))
    assert read(path, instance_id="abc").instance_id == "abc"
    with pytest.raises(InvalidConfig, match="is for instance 'abc', not 'xyz'"):
        read(path, instance_id="xyz")


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "must hold a JSON object")])
def test_a_file_that_is_not_a_json_object_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "instance.json"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=message):
        read(path, instance_id="abc")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read: No such file"):
        read(tmp_path / "instance.json", instance_id="abc")

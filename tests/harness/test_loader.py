"""Importing the script and finding the function, and the one sentence when that fails."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from modelway_harness.loader import LoadFailed, load


def failure(project: Path, *, file: str = "predict.py", function: str = "predict") -> LoadFailed:
    with pytest.raises(LoadFailed) as failed:
        load(project, file, function)
    return failed.value


def test_the_function_is_found(project: Path) -> None:
    (project / "predict.py").write_text("def predict(x):\n    return x + 1\n")
    assert load(project, "predict.py", "predict")(1) == 2


def test_the_script_is_a_module_and_not_main(project: Path) -> None:
    (project / "predict.py").write_text("def predict():\n    return __name__, __file__\n")
    assert load(project, "predict.py", "predict")() == ("predict", str(project / "predict.py"))


def test_the_project_and_the_scripts_own_folder_come_first_on_the_path(project: Path) -> None:
    (project / "src").mkdir()
    (project / "src" / "score.py").write_text("import beside, top\ndef predict():\n    return beside.A + top.B\n")
    (project / "src" / "beside.py").write_text("A = 1\n")
    (project / "top.py").write_text("B = 2\n")
    assert load(project, "src/score.py", "predict")() == 3
    assert sys.path[:2] == [str(project), str(project / "src")]


def test_objects_of_the_scripts_own_classes_can_be_pickled(project: Path) -> None:
    (project / "shapes.py").write_text("class Shape:\n    pass\ndef predict():\n    return Shape()\n")
    shape = load(project, "shapes.py", "predict")()
    assert type(pickle.loads(pickle.dumps(shape))) is type(shape)  # noqa: S301


def test_a_script_may_bear_the_name_of_a_standard_module(project: Path) -> None:
    import json

    (project / "json.py").write_text("def predict():\n    return __name__\n")
    assert load(project, "json.py", "predict")() == "modelway_script_json"
    assert sys.modules["json"] is json


def test_an_unknown_file_is_named_with_what_there_is(project: Path) -> None:
    (project / "train.py").touch()
    assert failure(project).reason == "there is no file predict.py in the project; it has 'train.py'"


@pytest.mark.parametrize("file", ["../predict.py", "/etc/passwd", "link.py"])
def test_a_file_outside_the_project_is_refused(project: Path, file: str) -> None:
    (project.parent / "predict.py").write_text("def predict():\n    return 1\n")
    (project / "link.py").symlink_to(project.parent / "predict.py")
    assert failure(project, file=file).reason == f"the file {file} lies outside the project"


def test_an_unknown_function_is_named_with_what_there_is(project: Path) -> None:
    (project / "predict.py").write_text("from os.path import join\ndef score(): ...\ndef _hidden(): ...\n")
    reason = "there is no function 'predict' in predict.py; it defines 'score'"
    assert failure(project).reason == reason


def test_a_value_that_cannot_be_called_is_refused(project: Path) -> None:
    (project / "predict.py").write_text("predict = 0.5\n")
    assert failure(project).reason == "'predict' in predict.py is of type float, not a function"


def test_a_function_that_no_call_can_fit_is_refused(project: Path) -> None:
    (project / "predict.py").write_text("def predict(a, b, /, *, c): ...\ndef others(a=1, /, *, c): ...\n")
    reason = "predict() cannot be called: 'a' and 'b' are by position only, 'c' by name only"
    assert failure(project).reason == reason
    load(project, "predict.py", "others")


def test_a_syntax_error_is_named_with_its_line(project: Path) -> None:
    (project / "predict.py").write_text("x = 1\ndef predict(:\n")
    failed = failure(project)
    assert failed.reason == "predict.py could not be imported: syntax error at predict.py:2: invalid syntax"
    assert "def predict(:" in failed.detail


def test_a_syntax_error_elsewhere_in_the_project_is_named_there(project: Path) -> None:
    (project / "predict.py").write_text("import helper\n")
    (project / "helper.py").write_text("\n\nif True\n")
    reason = "predict.py could not be imported: syntax error at helper.py:3: expected ':'"
    assert failure(project).reason == reason


def test_an_exception_at_import_is_named_with_the_scripts_line(project: Path) -> None:
    (project / "predict.py").write_text("import helper\n\nhelper.prepare()\n")
    (project / "helper.py").write_text("def prepare():\n    raise KeyError('weights')\n")
    failed = failure(project)
    assert failed.reason == "predict.py could not be imported: KeyError: 'weights' (predict.py:3)"
    assert "helper.py" in failed.detail


def test_a_missing_module_is_named(project: Path) -> None:
    (project / "predict.py").write_text("import no_such_module_anywhere\n")
    reason = "ModuleNotFoundError: No module named 'no_such_module_anywhere' (predict.py:1)"
    assert failure(project).reason.endswith(reason)


def test_a_script_that_exits_is_a_failure(project: Path) -> None:
    (project / "predict.py").write_text("import sys\nsys.exit(4)\n")
    assert failure(project).reason == "predict.py could not be imported: SystemExit: 4 (predict.py:2)"


def test_the_traceback_begins_in_the_users_code(project: Path) -> None:
    (project / "predict.py").write_text("1 / 0\n")
    lines = failure(project).detail.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{project}/predict.py", line 1, in <module>'
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_file_that_is_not_text_is_a_failure(project: Path) -> None:
    (project / "predict.py").write_bytes(b"\xff\xfe\x00\x01")
    assert failure(project).reason.startswith("predict.py could not be imported: ")

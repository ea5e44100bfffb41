"""What can be told about a source file without running it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.builder.apart import source
from services.builder.apart.source import examine


def fault(text: str, function: str = "predict") -> str:
    return examine(text.encode(), "model.py", function)[0]


@pytest.mark.parametrize(
    "text",
    [
        "def predict(x): ...",
        "async def predict(x): ...",
        "class predict: ...",
        "predict = lambda x: x",
        "predict: object = print",
        "a, (predict, *b) = 1, (2, 3)",
        "from other import predict",
        "from other import f as predict",
        "import predict.inner",
        "from other import *",
        "if True:\n    def predict(x): ...",
        "try:\n    import fast as predict\nexcept ImportError:\n    predict = None",
        "for predict in []: ...",
        "with open('x') as predict: ...",
        "(predict := 1)",
        "def f(x=(predict := 1)): ...",
        "match 1:\n    case predict: ...",
        "def make():\n    global predict\n    predict = 1",
        "globals()['predict'] = print",
        "exec(open('x').read())",
        "import sys\nsetattr(sys.modules[__name__], 'predict', print)",
        "def __getattr__(name): return print",
    ],
)
def test_a_function_that_may_be_there_is_left_to_the_harness(text: str) -> None:
    assert fault(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def score(x): ...",
        "def outer():\n    def predict(x): ...",
        "class Model:\n    def predict(self, x): ...",
        "print(predict)",
        "'predict'",
        "model.predict = 1",
    ],
)
def test_a_function_that_is_certainly_not_there_is_missed(text: str) -> None:
    assert fault(text).startswith("model.py: function 'predict' is not defined at the top level")


def test_the_sentence_helps() -> None:
    assert fault("def predict_all(x): ...\ndef predict(x): ...", "predct").endswith("did you mean 'predict'?")
    assert "did you mean" not in fault("def train(): ...")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\ndef predict(x:\n    pass", "model.py:2: syntax error: '(' was never closed"),
        ("def predict(x):\nreturn x", "model.py:2: syntax error: expected an indented block"),
        ("return 1", "model.py:1: syntax error: 'return' outside function"),
        ("(" * 5000 + ")" * 5000, "model.py"),
        ("-" * 200_000 + "1", "model.py"),
    ],
)
def test_a_syntax_error_is_told_with_its_line(text: str, sentence: str) -> None:
    assert fault(text).startswith(sentence)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"# coding: nonsense\n", b"x = 1\0", b"x = '\xe9'"])
def test_bytes_that_are_no_source_are_told(data: bytes) -> None:
    assert examine(data, "model.py", "predict")[0].startswith("model.py")


def test_the_detail_shows_the_line() -> None:
    assert "def predict(x:" in examine(b"def predict(x:\n", "model.py", "predict")[1]


def test_nothing_of_the_source_is_executed(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    written = tmp_path / "model.py"
    written.write_text(f"open({str(trace)!r}, 'w')\ndef predict(x): ...")
    command = [sys.executable, "-I", "-S", str(source.__file__), str(written), "model.py", "predict"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout == '{"fault": "", "detail": ""}'
    assert not trace.exists()

"""Which Dockerfile instructions are understood as a list of packages, and the sentence for those that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.dockerfile import instructions_for, requirements_in
from services.core.errors import Invalid
from services.core.requirements import check_requirements

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
EXTRAS = st.sampled_from(["", "[all]", "[a,b-c]"])
VERSIONS = st.sampled_from(["", "==1.0", ">=2,<3", "~=1.4.2", "!=1.5", "==2.*", "===1+local", ">= 2, < 3"])
MARKERS = st.sampled_from(["", "; python_version >= '3.11'", " ; sys_platform == \"linux\" and extra == 'x'"])
REQUIREMENTS = st.builds("".join, st.tuples(NAMES, EXTRAS, VERSIONS, MARKERS))


@pytest.mark.parametrize(
    ("instructions", "requirements"),
    [
        ("", ""),
        ("\n  \n# nothing yet\n", ""),
        ("RUN pip install six", "six"),
        ("RUN pip install six==1.17.0 numpy", "six==1.17.0\nnumpy"),
        ("RUN pip3 install six\nRUN python3 -m pip install numpy", "six\nnumpy"),
        ("run pip3.11 install six\r\nRUN python -m pip install six", "six"),
        ("RUN pip install \\\n    six \\\n\n    # for arrays\n    numpy\n", "six\nnumpy"),
        ("RUN pip install six && pip install numpy", "six\nnumpy"),
        ("RUN pip install six  # small", "six"),
        ("RUN pip install \"numpy>=2,<3\" 'pandas[excel] ~= 2.0'", "numpy>=2,<3\npandas[excel] ~= 2.0"),
        ("RUN pip install \"numpy; python_version >= '3.11'\"", "numpy; python_version >= '3.11'"),
        ("RUN pip install pandas[excel,html]==2.*", "pandas[excel,html]==2.*"),
        ("RUN pip install --no-cache-dir -U --upgrade --user -qq six --disable-pip-version-check", "six"),
        ("RUN pip --no-input install --progress-bar off --timeout=5 six", "six"),
        ("RUN pip install six \\", "six"),
    ],
)
def test_what_pip_would_install_is_what_is_required(instructions: str, requirements: str) -> None:
    assert requirements_in(instructions) == requirements


@pytest.mark.parametrize(
    ("instructions", "said"),
    [
        ("FROM python:3.11", "line 1: 'FROM python:3.11' is no RUN instruction"),
        ("RUN pip install six\nENV A=1", "line 2: 'ENV A=1' is no RUN instruction"),
        ("# first\nRUN pip install six && \\\n  apt-get update", "line 2: 'apt-get update' is no pip install"),
        ("RUN", "line 1: '' is no pip install"),
        ("RUN pip", "'pip' is no pip install"),
        ("RUN pip uninstall six", "'pip uninstall six' is no pip install"),
        ("RUN python setup.py install", "'python setup.py install' is no pip install"),
        ("RUN conda install six", "'conda install six' is no pip install"),
        ('RUN ["pip", "install", "six"]', "is no pip install"),
        ("RUN --mount=type=cache pip install six", "is no pip install"),
        ("RUN pip install", "'pip install' names no package"),
        ("RUN pip install --upgrade", "'pip install --upgrade' names no package"),
        ("RUN pip install -r requirements.txt", "'-r' is an option, which is not allowed"),
        ("RUN pip install --pre six", "'--pre' is an option, which is not allowed"),
        ("RUN pip install six --index-url=https://a:b@c/d", "'--index-url=https://***@c/d' is an option"),
        ("RUN pip install git+https://me:secret@example.org/x", "names an address, which is not allowed"),
        ("RUN pip install 'x @ https://example.org/x.whl'", "names an address, which is not allowed"),
        ("RUN pip install .", "'.' is a path, which is not allowed"),
        ("RUN pip install ./x.whl", "is a path, which is not allowed"),
        ("RUN pip install numpy>=2", "has > outside quotes, which a shell takes for its own"),
        ("RUN pip install six; rm x", "has ; outside quotes"),
        ("RUN pip install six | tee log", "has | outside quotes"),
        ("RUN pip install six || true", "has || outside quotes"),
        ("RUN pip install $PACKAGES", "has a character in it that only a shell understands"),
        ("RUN pip install `cat list`", "has a character in it that only a shell understands"),
        ("RUN pip install 'six", "has a quote that does not end"),
        ("RUN pip install 'six --hash=sha256:00'", "is not a package with its versions"),
        ("RUN pip install 'six\\'", "is not a package with its versions"),
        ("RUN pip install 'six; a --hash=sha256:00'", "is not a package with its versions"),
        ("RUN pip install 'six #x'", "is not a package with its versions"),
        ("RUN pip install 'six numpy'", "is not a package with its versions"),
    ],
)
def test_anything_else_is_refused_in_one_sentence_with_its_line(instructions: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        requirements_in(instructions)
    assert refused.value.field == "dockerfileInstructions"
    assert refused.value.reason.startswith("dockerfileInstructions line ")
    assert said in refused.value.reason
    assert "; allowed is RUN pip install with packages" in refused.value.reason
    assert "secret" not in refused.value.reason


@given(st.lists(REQUIREMENTS, min_size=1, max_size=8, unique_by=lambda one: " ".join(one.split())))
def test_requirements_come_back_from_the_instructions_for_them(wanted: list[str]) -> None:
    text = "\n".join(wanted)
    instructions = instructions_for(text)
    assert instructions is not None
    assert requirements_in(instructions).split("\n") == [" ".join(one.split()) for one in wanted]


ALMOST = st.text(alphabet="RUN pipnstal\\\n#'\"&;<>$=[],.-@:/1\t\x0b\u2028", max_size=80)


@given(ALMOST | st.text(max_size=80))
def test_any_text_is_understood_as_allowed_requirements_or_refused(text: str) -> None:
    for instructions in (text, f"RUN pip install {text}"):
        try:
            requirements = requirements_in(instructions)
        except Invalid:
            continue
        assert check_requirements(requirements) == requirements


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.data())
def test_how_instructions_are_laid_out_makes_no_difference(names: list[str], data: st.DataObject) -> None:
    between = st.sampled_from([" ", " \\\n", " \\\n# why\n  ", "\nRUN pip install ", " && pip3 install -U "])
    laid_out = "RUN pip install " + names[0]
    for name in names[1:]:
        laid_out += data.draw(between) + name
    assert requirements_in(laid_out).split("\n") == names


def test_what_pip_takes_from_a_file_only_has_no_instructions() -> None:
    assert instructions_for(f"six==1.17.0 --hash=sha256:{'0' * 64}") is None
    assert instructions_for("# none\n") == ""

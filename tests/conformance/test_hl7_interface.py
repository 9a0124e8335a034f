"""docs/hl7-interface.md is the interface: its tables and examples are those of the code."""

import re

import pytest

from mpi.errors import MpiError
from mpi.feeds.hl7v2 import ack, problems
from mpi.index.parties import Quirk
from mpi.settings import Settings
from tests.hl7_interface import BLOCKS, DOCUMENT, _index, with_blocks
from tests.test_docs import settings_keys


@pytest.fixture(scope="module")
def text():
    return DOCUMENT.read_text(encoding="utf-8")


def block(text, name):
    return text.split(f"<!-- {name} -->\n")[1].split(f"<!-- end: {name} -->")[0]


def test_tables_and_examples_are_those_of_the_code(text):
    """Every table and every example of the interface document is made from the code as it is."""
    assert with_blocks(text) == text, "run: python -m tests.hl7_interface"


def test_a_document_with_a_block_missing_or_twice_is_noticed(text):
    for wrong in (text.replace("<!-- events -->\n", ""), text + block_of(text, "events")):
        with pytest.raises(ValueError, match="places for events"):
            with_blocks(wrong)


def block_of(text, name):
    return f"<!-- {name} -->\n{block(text, name)}<!-- end: {name} -->\n"


@pytest.mark.parametrize("name", list(BLOCKS))
def test_no_block_is_empty(text, name):
    assert block(text, name).count("\n") > 2


def test_every_error_code_problem_and_quirk_is_there(text):
    assert {kind.__name__ for kind in ack.ANSWERS} <= set(re.findall(r"`(\w+)`", block(text, "errors")))
    assert all(issubclass(kind, MpiError) for kind in ack.ANSWERS)
    assert all(problem in block(text, "codes") for problem in problems.CODES)
    assert all(f"| {code} |" in block(text, "codes") for code in problems.TABLE_0357)
    assert all(f"`{quirk}`" in block(text, "quirks") for quirk in Quirk)


def test_settings_it_names_exist(text):
    named = set(re.findall(r"`((?:mllp|queries|sources|consumers)\.\w+(?:\.\w+)*)(?: = [^`]*)?`", text))

    assert len(named) > 12
    assert named <= {*settings_keys(Settings)}


def test_an_example_is_what_the_index_answers(text):
    """[Q01] The six examples are answers: sent again, each request gets the answer beside it, byte for byte."""
    index = _index()
    exchanges = re.findall(r"```\n(MSH\|.*?)\n```\n```\n(MSH\|.*?)\n```", block(text, "pix examples"), re.S)

    assert len(exchanges) == 6
    for request, answer in exchanges:
        reply = index.handler.handle((request.replace("\n", "\r") + "\r").encode()).decode()
        assert reply.rstrip("\r").split("\r")[1:] == answer.split("\n")[1:]

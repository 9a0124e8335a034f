"""Every error class has a status, and every form of error body is well formed."""

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from mpi import errors
from mpi.api.problems import ANSWERS, answer_for, outcome


def leaves(cls):
    children = [c for c in cls.__subclasses__() if c.__module__ == errors.__name__]
    return [leaf for child in children for leaf in leaves(child)] if children else [cls]


def test_every_leaf_of_the_tree_is_in_the_table():
    assert set(leaves(errors.MpiError)) <= set(ANSWERS)


def test_an_error_of_our_own_that_nobody_listed_is_internal():
    class Unlisted(errors.MpiError):
        pass

    assert answer_for(Unlisted("x")).status == 500


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=lambda answer: answer.slug)
def test_every_row_makes_a_valid_operation_outcome(answer):
    body = outcome(answer.status, [(answer.issue, answer.title)]).body

    OperationOutcome.model_validate_json(body)


def test_server_side_errors_keep_their_reasons_to_themselves():
    assert {a.slug for a in ANSWERS.values() if a.status >= 500} == {
        a.slug for a in ANSWERS.values() if not a.says_why
    }

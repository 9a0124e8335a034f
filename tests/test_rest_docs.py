"""What the manual says of the REST interface is what the code does; `python tests/test_rest_docs.py` writes it."""

import re
from pathlib import Path

from mpi.api.problems import ANSWERS
from mpi.security.keys import Role
from mpi.security.policy import PERMITTED, Action

MANUAL = Path(__file__).parents[1] / "docs" / "manual.md"
_MATRIX = re.compile(r"(<!-- roles -->\n).*?(<!-- /roles -->)", re.S)


def matrix():
    """Actions by role, as the policy has them."""
    head = f"| action | {' | '.join(Role)} |\n|---|{'---|' * len(Role)}\n"
    rows = (
        f"| {action.replace('_', ' ')} | {' | '.join('×' if role in PERMITTED[action] else '' for role in Role)} |\n"
        for action in Action
    )
    return head + "".join(rows)


def with_matrix(text):
    return _MATRIX.sub(lambda found: f"{found[1]}{matrix()}{found[2]}", text)


def test_the_roles_of_the_manual_are_those_of_the_policy():
    text = MANUAL.read_text(encoding="utf-8")

    assert _MATRIX.search(text)
    assert with_matrix(text) == text


def test_every_type_of_problem_is_in_the_manual():
    text = MANUAL.read_text(encoding="utf-8")

    missing = [answer.slug for answer in ANSWERS.values() if f"`{answer.slug}`" not in text]
    assert not missing


if __name__ == "__main__":
    MANUAL.write_text(with_matrix(MANUAL.read_text(encoding="utf-8")), encoding="utf-8")

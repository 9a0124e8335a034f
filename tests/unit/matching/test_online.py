import pytest

from mpi.matching import Decision, MatchModel, score
from mpi.matching.model import RELATIVES
from mpi.matching.online import RELATIVES_SEEN
from mpi.matching.weights import match_weight_bits
from tests.unit.matching.people import HOME, person

MODEL = MatchModel.default()


def test_the_weight_is_the_prior_and_the_evidence():
    pair = score(MODEL, person(**HOME), person(**HOME))

    bits = [item.bits for item in pair.evidence]
    assert pair.weight_bits == pytest.approx(match_weight_bits(MODEL.prior_bits, bits), abs=RELATIVES_SEEN)
    assert [item.trait for item in pair.evidence if item.trait != RELATIVES] == [
        "family_name", "given_name", "birth_date", "sex", "birth_place", "residence", "phone",
    ]  # fmt: skip


def test_two_identities_that_say_nothing_keep_the_prior():
    nobody = person("INCONNU", "X", "19000101", "U", phones=("0600000000",))
    pair = score(MODEL, nobody, nobody)

    assert pair.evidence == ()
    assert pair.weight_bits == pytest.approx(MODEL.prior_bits, abs=RELATIVES_SEEN)
    assert pair.decision is Decision.NON_LINK


def test_strangers_contradict():
    pair = score(MODEL, person(**HOME), person("DUMAS", "PAUL", "19921130", "M", birth_place_code="33063"))

    assert pair.decision is Decision.NON_LINK
    assert pair.contradicts
    assert pair.probability < 1e-9


@pytest.mark.parametrize("born", ["19630405", "19630504", "1963"])
def test_two_records_of_one_domain_are_never_judged_more_lightly(born):
    rank = list(Decision).index
    left, right = person(**HOME), person(**{**HOME, "born": born})

    within = score(MODEL, left, right, same_domain=True).decision
    assert rank(within) <= rank(score(MODEL, left, right).decision)

"""
ITI-93 by `$process-message`: a history of people, each of them one message of the journal.

Source: IHE PMIR, ITI-93.
"""

import pytest

from mpi.feeds.fhir.codec import to_xml
from mpi.index.events import FactKind
from tests.conformance.fhir.federation import A, fed, served_people
from tests.conformance.fhir.test_formats import XML, feed_message
from tests.unit.feeds.fhir.resources import patient, subsumed

ADDRESS = "/fhir/$process-message"


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


def send(served, message, *, by="ris-a"):
    return served.post(ADDRESS, message, by=by)


def statuses(answer):
    """Code of the message, and the status of each entry."""
    header, history = (entry["resource"] for entry in fed(answer)["entry"])
    assert header["eventUri"] == "urn:ihe:iti:pmir:2019:patient-feed-response"
    assert (header["response"]["identifier"], history["type"]) == ("feed-1", "history")
    return header["response"]["code"], [each["response"]["status"] for each in history.get("entry", [])]


def of(value, **more):
    return patient({"system": A, "value": value}, **more)


def test_each_entry_of_a_history_is_taken(served):
    """[X06] ITI-93: every Patient of the history is stated; the answer says what became of each."""
    assert statuses(send(served, feed_message(of("A3001"), of("A3002")))) == ("ok", ["200", "200"])
    assert str(served.world.record("A", "A3001").traits.birth_date) == "1984-02-29"
    assert served.world.registry.messages()[-1].envelope.event == "patient-feed"


def test_a_merge_is_a_put_of_the_deprecated_patient(served):
    """[X06] ITI-93 merge: active=false, replaced-by, on the deprecated Patient."""
    send(served, feed_message(of("A1377")))
    merged = feed_message(subsumed())
    merged["timestamp"] = "2026-03-02T10:05:00+01:00"

    assert statuses(send(served, merged)) == ("ok", ["200"])
    assert served.world.facts_of(FactKind.MERGED)
    assert served.world.together(("A", "A1377"), ("A", "A1001"))


def test_a_message_sent_again_changes_nothing(served):
    """[X06] The same message again: the same answer, nothing applied twice."""
    first = statuses(send(served, feed_message(of("A3001"))))
    again = statuses(send(served, feed_message(of("A3001"))))

    assert first == again == ("ok", ["200"])
    assert [m.state for m in served.world.registry.messages()][-2:] == ["applied", "duplicate"]


def test_one_bad_entry_does_not_stop_the_others(served):
    """[X06] An entry that cannot be used is refused in its place; the others are taken."""
    message = feed_message(
        of("A3001"), of("A3002", gender="ZQX"), {"resourceType": "RelatedPerson"}, of("A3003")
    )
    answer = send(served, message)

    assert statuses(answer) == ("fatal-error", ["200", "422", "405", "200"])
    assert "ZQX" not in answer.text


def test_what_is_deleted_is_refused(served):
    """[X06] DELETE in a history: 405 in its entry."""
    message = feed_message(of("A3001"))
    message["entry"][1]["resource"]["entry"][0]["request"]["method"] = "DELETE"

    assert statuses(send(served, message)) == ("fatal-error", ["405"])


def test_the_message_may_be_in_xml(served):
    """[X06] ITI-93 in XML."""
    headers = {**served.signed("ris-a"), "Content-Type": XML}
    answer = served.client.post(ADDRESS, content=to_xml(feed_message(of("A3001"))), headers=headers)

    assert statuses(answer) == ("ok", ["200"])


def broken(change):
    message = feed_message(of("A3001"))
    change(message)
    return message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m.update(type="batch"), "structure"),
        (lambda m: m.update(entry=None), "structure"),
        (lambda m: m["entry"].append(m["entry"][1]), "structure"),
        (lambda m: m["entry"].reverse(), "not-supported"),
        (lambda m: m["entry"][0]["resource"].update(eventUri="urn:other"), "not-supported"),
        (lambda m: m["entry"][1]["resource"].update(type="collection"), "structure"),
        (lambda m: m["entry"][1]["resource"].update(entry=1), "too-costly"),
        (lambda m: m["entry"][1]["resource"].update(entry=[{}] * 1_001), "too-costly"),
        (
            lambda m: m["entry"][1]["resource"].update(entry=[{"resource": {"resourceType": "Bundle"}}]),
            "structure",
        ),
    ],
)
def test_what_is_no_such_message_is_refused_whole(served, change, code):
    before = len(served.world.registry.messages())
    answer = send(served, broken(change))

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, code)
    assert len(served.world.registry.messages()) == before


def test_only_a_source_may_feed(served):
    assert send(served, feed_message(of("A3001")), by="portal").status_code == 403
    assert send(served, feed_message(of("A3001")), by="site").status_code == 403

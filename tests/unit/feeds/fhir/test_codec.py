"""A resource to XML and back says the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.errors import UnreadableMessage
from mpi.feeds.fhir.codec import from_xml, to_xml
from tests.unit.feeds.fhir.resources import patient, subsumed

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
EXTENSIONS = st.lists(st.fixed_dictionaries({"url": TEXTS, "valueString": TEXTS}), min_size=1, max_size=2)
NAMES = st.fixed_dictionaries(
    {},
    optional={
        "use": st.sampled_from(["official", "usual"]),
        "family": TEXTS,
        "given": st.lists(TEXTS, min_size=1, max_size=3),
        "extension": EXTENSIONS,
        "_family": st.fixed_dictionaries({"extension": EXTENSIONS}),
    },
).filter(bool)
PATIENTS = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "id": st.from_regex(r"[A-Za-z0-9.-]{1,20}", fullmatch=True),
        "active": st.booleans(),
        "name": st.lists(NAMES, min_size=1, max_size=3),
        "birthDate": st.dates().map(str),
        "_birthDate": st.fixed_dictionaries({"id": TEXTS, "extension": EXTENSIONS}),
        "multipleBirthInteger": st.integers(-(2**31), 2**31),
        "contained": st.just([{"resourceType": "RelatedPerson", "active": True}]),
    },
)


@given(PATIENTS)
def test_json_to_xml_and_back_is_the_same(resource):
    assert from_xml(to_xml(resource)) == resource


@pytest.mark.parametrize(
    "resource",
    [
        patient(),
        subsumed(),
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "resource", "resource": patient()},
                {"name": "onlyCertainMatches", "valueBoolean": True},
                {"name": "count", "valueInteger": 3},
            ],
        },
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": 1,
            "entry": [{"resource": patient(), "search": {"mode": "match", "score": 0.9731}}],
        },
        {
            "resourceType": "Patient",
            "name": [{"given": ["A", None, "C"], "_given": [None, {"id": "x"}, None]}],
        },
    ],
)
def test_resources_of_every_shape(resource):
    assert from_xml(to_xml(resource)) == resource


def test_elements_stand_in_the_order_of_the_definition_whatever_the_order_of_the_json():
    document = to_xml({"link": [], "birthDate": "1984", "resourceType": "Patient", "active": True, "id": "x"})

    assert document.decode().partition("?>\n")[2] == (
        '<Patient xmlns="http://hl7.org/fhir"><id value="x"/><active value="true"/><birthDate value="1984"/></Patient>'
    )


def test_what_xml_cannot_write_is_replaced():
    document = to_xml({"resourceType": "Patient", "name": [{"family": "A\x01B\ud800C\n"}]})

    assert from_xml(document)["name"] == [{"family": "A\ufffdB\ufffdC\n"}]


@pytest.mark.parametrize(
    ("body", "place", "problem"),
    [
        ('<active value="1"/>', "Patient.active", "not a value of its type (bool)"),
        (
            '<multipleBirthInteger value="1.5"/>',
            "Patient.multipleBirthInteger",
            "not a value of its type (int)",
        ),
        (
            '<multipleBirthInteger value="١"/>',
            "Patient.multipleBirthInteger",
            "not a value of its type (int)",
        ),
        ('<active value="true"/><active value="true"/>', "Patient.active", "given more than once"),
        ("<secret/>", "Patient", "holds an element that R4 does not define there"),
        ("<name><secret/></name>", "Patient.name", "holds an element that R4 does not define there"),
        ("<contained><Patient/><Patient/></contained>", "Patient.contained", "expected one resource"),
        ("<contained><Device/></contained>", "Patient.contained", "not a resource that is taken in XML"),
    ],
)
def test_what_is_wrong_is_told_by_its_place_and_never_by_a_value(body, place, problem):
    with pytest.raises(UnreadableMessage) as caught:
        from_xml(f'<Patient xmlns="http://hl7.org/fhir">{body}</Patient>'.encode())

    assert (caught.value.place, caught.value.problem) == (place, problem)
    assert "secret" not in str(caught.value)


def test_the_document_of_another_author_is_read():
    document = b"""<?xml version="1.0" encoding="UTF-8"?>
<Patient xmlns="http://hl7.org/fhir">
  <!-- composed for this test -->
  <meta><profile value="http://example.org/profile"/></meta>
  <identifier>
    <system value="urn:oid:2.999.1.1"/>
    <value value="ONE"/>
  </identifier>
  <active value="false"/>
  <link>
    <other><reference value="Patient/two"/></other>
    <type value="replaced-by"/>
  </link>
</Patient>"""

    assert from_xml(document) == {
        "resourceType": "Patient",
        "meta": {"profile": ["http://example.org/profile"]},
        "identifier": [{"system": "urn:oid:2.999.1.1", "value": "ONE"}],
        "active": False,
        "link": [{"other": {"reference": "Patient/two"}, "type": "replaced-by"}],
    }

"""A person written as FR Core is read back as the same person, in either encoding."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.feeds.fhir.fr_core import FrCore, patient_of, retired_patient
from mpi.feeds.fhir.patient import read_patient
from mpi.identity.ins import IdentityStatus
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName
from mpi.identity.traits import normalise
from mpi.index import golden
from mpi.index.answers import MemberView
from mpi.index.ports import StoredRecord
from mpi.index.search import Person
from tests.federation import directory, identifier, key, statement

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORDS = st.text("ABCDEÉŒ'- ", min_size=1, max_size=8).map(str.strip).filter(lambda text: text.strip("'- "))


def person_of(who: Demographics, *, doubtful: bool = False, retired: bool = False) -> Person:
    """One person of one record of site A."""
    record = StoredRecord(1, key("A", "A1"), "EUID1", NOW, who, normalise(who))
    current = golden.current([(1, statement("A", "A1", who))])
    survived = golden.golden_record([golden.Member(record.key, current, record.traits.status)])
    return Person("EUID1", (MemberView(record, identifier("A", "A1"), retired),), survived, doubtful)


@st.composite
def identities(draw):
    names = [PersonName(draw(WORDS), draw(WORDS), use=NameUse.BIRTH)]
    if draw(st.booleans()):
        names.append(PersonName(draw(WORDS), draw(WORDS), use=NameUse.USED))
    born = draw(st.sampled_from(["1984-02-29", "1984-02", "1984", ""]))
    return Demographics(
        names=tuple(names),
        birth_date=PartialDate.parse(born) if born else None,
        sex=draw(st.sampled_from(["M", "F", "U", ""])),
        birth_place_code=draw(st.sampled_from(["87085", ""])),
        birth_place=draw(st.sampled_from(["LIMOGES", ""])),
        address=draw(st.sampled_from(["12 RUE DES LILAS", ""])),
        city=draw(st.sampled_from(["LIMOGES", ""])),
        phones=draw(st.sampled_from([(), ("0555010203", "0600000000")])),
        emails=draw(st.sampled_from([(), ("l@example.org",)])),
        mother_birth_name=draw(st.sampled_from(["ROUXEL", ""])),
        birth_order=draw(st.sampled_from([None, 2])),
        multiple_birth=draw(st.sampled_from([None, False])),
        identity_codes=draw(
            st.sampled_from([("PROV",), ("VALI",), ("VALI", "HOMA"), ("PROV", "DOUT"), ("PROV", "FICT")])
        ),
    )


@given(identities(), st.sampled_from(FrCore))
def test_what_is_written_is_read_back(who, encoding):
    resource = patient_of(person_of(who), encoding)
    source = directory().source("ris-a")
    read = read_patient(resource, source=source, directory=directory(), received=NOW)
    [record] = read.records

    stated = record.demographics
    assert normalise(stated).status is normalise(who).status
    assert normalise(stated).attributes == normalise(who).attributes
    expected, found = who.to_json(), stated.to_json()
    for name in ("birth_date", "birth_place_code", "birth_place", "address", "city", "phones", "emails"):
        assert found.get(name) == expected.get(name)
    assert [(n.family, n.given, n.use) for n in stated.names] == [
        (n.family, n.given, n.use) for n in who.names
    ]
    assert (stated.sex or "") == who.sex
    assert stated.mother_birth_name == who.mother_birth_name
    assert stated.birth_order == who.birth_order


@pytest.mark.parametrize("encoding", FrCore)
def test_nothing_is_said_that_is_not_known(encoding):
    resource = patient_of(person_of(Demographics(names=(PersonName("ROUX", use=NameUse.BIRTH),))), encoding)

    assert resource.keys() == {
        "resourceType",
        "id",
        "meta",
        "extension",
        "identifier",
        "active",
        "name",
    }
    assert resource["name"] == [{"use": "official", "family": "ROUX"}]


def test_only_the_domains_that_are_wanted_are_named():
    resource = patient_of(person_of(Demographics()), FrCore.V2_1, only=frozenset({"2.999.1.2"}))

    assert "identifier" not in resource


def test_a_person_whose_only_identifier_was_merged_away_is_inactive():
    resource = patient_of(person_of(Demographics(), retired=True), FrCore.V2_1)

    assert (resource["active"], resource["identifier"][0]["use"]) == (False, "old")


@pytest.mark.parametrize("encoding", FrCore)
def test_doubt_makes_a_validated_identity_provisional(encoding):
    resource = patient_of(person_of(Demographics(identity_codes=("VALI",)), doubtful=True), encoding)
    codes = [
        part["valueCoding"]["code"]
        for extension in resource["extension"]
        for part in extension.get("extension", ())
    ]

    assert codes == [IdentityStatus.PROVISIONAL, "DOUT"]


def test_a_retired_identifier_says_who_it_became_and_nothing_of_them():
    assert retired_patient("OLD", "NEW", meta={"versionId": "1"}) == {
        "resourceType": "Patient",
        "id": "OLD",
        "meta": {"versionId": "1"},
        "active": False,
        "link": [{"other": {"reference": "Patient/NEW"}, "type": "replaced-by"}],
    }

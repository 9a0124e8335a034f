"""F05 to F08 and I02 over a real registry: A40, A47, A24, A37 and what a cross-reference query answers afterwards."""

import pytest

from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.identity.domains import INS_TEST_OID
from mpi.identity.ins import matricule_key
from mpi.identity.model import RecordKey
from mpi.index.review import TaskKind
from tests.federation import World
from tests.unit.feeds.hl7v2.fakes import KEY_A, Reply, adt, change, federation, link, merge, query

LOUISE = "CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L||19840229|F|||^^^^^FRA^BDL^^29999"
THEO = "OEUVRARD^THEO^THEO^^^^L||19510714|M|||^^^^^FRA^BDL^^29998"
ANNE = "ROUX^ANNE^ANNE^^^^L||19700105|F|||^^^^^FRA^BDL^^29997"
NIR = "284022999912354"
OTHER_NIR = "2840229999321" + matricule_key("2840229999321")


def ins(value=NIR):
    return f"{value}^^^ASIP-SANTE-INS-NIR&{INS_TEST_OID}&ISO^INS"


NO_INS = ins('""')


def a(value):
    return f"{value}^^^SITE-A&2.999.1.1&ISO^PI"


def b(value):
    return f"{value}^^^SITE-B&2.999.1.2&ISO^PI"


class Site:
    """Messages to a real index, each under a control id of its own."""

    def __init__(self, store):
        self.world = World(store, parties=federation())
        self._handler = Hl7Handler(self.world.registry, self.world.parties, self.world.clock)
        self._sent = 0

    def send(self, message):
        self._sent += 1
        for control_id in ("|F-0001|", "|F-0024|", "|F-0040|", "|F-0047|", "|Q-0001|"):
            message = message.replace(control_id, f"|M-{self._sent}|", 1)
        return Reply(self._handler.handle(message.encode()))

    def state(self, cx, who, *, codes="", event="A28", **header):
        """RIS_A states who an identifier of site A names; HUB, of site B."""
        if "SITE-B" in cx:
            header = {"application": "HUB", "facility": "SITE_B"} | header
        return self.send(adt(event, f"PID|||{cx}||{who}{'|' * 21}{codes}", **header))

    def answer(self, cx):
        """What a cross-reference query answers: identifier values, NF or AE."""
        reply = self.send(query(cx))
        status = reply.first("QAK", 2)
        if status != "OK":
            return status
        return {each.split("^")[0] for each in reply.first("PID", 3).split("~")}

    def known(self, domain, value):
        """What the index takes as current of a record."""
        with self.world.store.read() as uow:
            record = uow.records.by_key(RecordKey(domain, value))
        assert record is not None
        return record.demographics


@pytest.fixture
def empty(sqlite_store):
    return Site(sqlite_store)


@pytest.fixture
def site(empty):
    """Louise is A1 and B77, Theo is A2."""
    site = empty
    for cx, who in ((a("A1"), LOUISE), (b("B77"), LOUISE), (a("A2"), THEO)):
        assert site.state(cx, who).msa_1 == "AA"
    assert site.answer(b("B77")) == {"A1"}
    return site


# ------------------------------------------------------------------------------------------ A40


def test_f05_only_the_survivor_is_answered_and_the_retired_identifier_answers_for_it(site):
    site.state(a("A9"), LOUISE)
    reply = site.send(merge(a("A9"), a("A1")))

    assert reply.msa_1 == "AA"
    assert site.answer(b("B77")) == {"A9"}
    assert site.answer(a("A1")) == {"B77", "A9"}


def test_f06_a_merge_repeated_reversed_or_chained(site):
    replies = [
        site.send(merge(a(survivor), a(subsumed)))
        for survivor, subsumed in (("A3", "A1"), ("A3", "A1"), ("A4", "A3"), ("A1", "A4"))
    ]

    assert [(reply.msa_1, reply.err_3) for reply in replies] == [
        ("AA", None),
        ("AA", None),
        ("AA", None),
        ("AE", "205"),
    ]
    assert site.answer(b("B77")) == {"A4"}


def test_f06_a_merge_of_an_unknown_identifier_changes_nothing(site):
    reply = site.send(merge(a("A1"), a("A9")))

    assert reply.msa_1 == "AA"
    assert site.answer(b("B77")) == {"A1"}


def test_f06_a_merge_into_an_unknown_identifier_renames(site):
    reply = site.send(merge(a("A9"), a("A1")))

    assert reply.msa_1 == "AA"
    assert site.answer(b("B77")) == {"A9"}


# ------------------------------------------------------------------------------------------ A47


def test_f07_a_change_to_a_free_identifier_renames(site):
    reply = site.send(change(f"{a('A9')}~{b('B77')}", a("A1")))

    assert (reply.msa_1, reply.first("MSH", 8)) == ("AA", "ACK^A47^ACK")
    assert site.answer(b("B77")) == {"A9"}
    assert site.answer(a("A9")) == {"B77"}


def test_f07_what_follows_is_stated_of_the_new_identifier(site):
    site.send(change(a("A9"), a("A1")))
    reply = site.state(a("A9"), LOUISE, event="A31")

    assert reply.msa_1 == "AA"
    assert site.answer(b("B77")) == {"A9"}


def test_f07_a_change_to_an_identifier_of_another_patient_is_refused(site):
    reply = site.send(change(a("A2"), a("A1")))

    assert (reply.msa_1, reply.err_3) == ("AE", "205")
    assert site.answer(b("B77")) == {"A1"}
    assert site.answer(a("A2")) == "NF"


def test_f07_a_change_of_an_unknown_identifier_changes_nothing(site):
    reply = site.send(change(a("A8"), a("A9")))

    assert reply.msa_1 == "AA"
    assert site.answer(b("B77")) == {"A1"}
    assert site.answer(a("A8")) == "AE"


def test_f07_a_change_repeated_changes_nothing_and_a_chain_ends_at_its_last(site):
    replies = [site.send(change(a(new), a(old))) for new, old in (("A8", "A1"), ("A8", "A1"), ("A9", "A8"))]

    assert [reply.msa_1 for reply in replies] == ["AA"] * 3
    assert site.answer(b("B77")) == {"A9"}


# ------------------------------------------------------------------------------------- A24, A37

GAM = {"application": "GAM_A", "facility": "SITE_A"}


def test_f08_a_link_joins_and_an_unlink_parts(site):
    linked = site.send(link(a("A2"), b("B77"), **GAM))
    together = site.answer(a("A2"))
    unlinked = site.send(link(b("B77"), a("A2"), event="A37", **GAM))

    assert (linked.msa_1, unlinked.msa_1) == ("AA", "AA")
    assert "B77" in together
    assert site.answer(a("A2")) == "NF"
    assert site.answer(b("B77")) == {"A1"}


def test_f08_a_link_of_records_nobody_stated_yet_waits_for_them(site):
    linked = site.send(link(a("A5"), b("B5"), **GAM))
    site.state(a("A5"), ANNE)
    site.state(b("B5"), THEO)

    assert linked.msa_1 == "AA"
    assert "B5" in site.answer(a("A5"))


@pytest.mark.parametrize(("left", "right"), [("A2", "B77"), ("A8", "B8"), ("A1", "B8")])
def test_f08_an_unlink_of_an_unknown_link_changes_nothing(site, left, right):
    reply = site.send(link(a(left), b(right), event="A37", **GAM))

    assert (reply.msa_1, reply.first("MSH", 8)) == ("AA", "ACK^A37^ACK")
    assert site.answer(b("B77")) == {"A1"}


def test_f08_no_weight_joins_what_a_source_unlinked(site):
    reply = site.send(link(a("A1"), b("B77"), event="A37", **GAM))

    assert reply.msa_1 == "AA"
    assert site.answer(a("A1")) == "NF"


def test_f08_identifiers_stated_together_are_linked_by_who_may_link_them(site):
    before = site.state(f"{a('A2')}~{b('B77')}", THEO, event="A31", application="RIS_A", facility="SITE_A")
    apart = site.answer(a("A2"))
    site.state(f"{a('A2')}~{b('B77')}", THEO, event="A31", **GAM)

    assert (before.msa_1, apart) == ("AA", "NF")
    assert "B77" in site.answer(a("A2"))


# ----------------------------------------------------------------------------------- A47 and INS


def ins_change(pid_3, codes, who=LOUISE, mrg_1=None):
    return adt("A47", f"PID|||{pid_3}||{who}{'|' * 21}{codes}", f"MRG|{mrg_1 or ins()}")


@pytest.mark.parametrize("codes", ["PROV", "VALI"])
def test_i02_a_withdrawn_ins_is_gone_and_the_status_is_as_told(site, codes):
    site.state(f"{a('A1')}~{ins()}", LOUISE, codes="VALI", event="A31")
    before = site.known(KEY_A, "A1")
    reply = site.send(ins_change(f"{a('A1')}~{NO_INS}", codes))
    after = site.known(KEY_A, "A1")

    assert (before.ins, reply.msa_1, reply.first("MSH", 8)) == (NIR, "AA", "ACK^A47^ACK")
    assert (after.ins, after.ins_oid, after.identity_codes) == ("", "", (codes,))
    assert site.answer(b("B77")) == {"A1"}


@pytest.mark.parametrize("codes", ["PROV", "VALI"])
def test_i02_a_link_that_relied_on_the_ins_alone_returns_to_review(empty, codes):
    site = empty
    site.state(f"{a('A1')}~{ins()}", LOUISE, codes="VALI")
    site.state(f"{b('B1')}~{ins()}", LOUISE.replace("CHANTEREAU", "DUVIVIER"), codes="VALI")
    before = site.answer(b("B1"))
    site.send(ins_change(f"{a('A1')}~{NO_INS}", codes))

    assert before == {"A1"}
    assert site.answer(b("B1")) == "NF"
    assert [task.kind for task in site.world.tasks()] == [TaskKind.POTENTIAL_LINK]


def test_a_changed_ins_takes_the_place_of_the_old(site):
    site.state(f"{a('A1')}~{ins()}", LOUISE, codes="VALI", event="A31")
    reply = site.send(ins_change(f"{a('A1')}~{ins(OTHER_NIR)}", "VALI"))

    assert reply.msa_1 == "AA"
    assert site.known(KEY_A, "A1").ins == OTHER_NIR
    assert site.answer(a("A1")) == {"B77"}


def test_an_ins_and_another_identifier_do_not_change_in_one_message(site):
    reply = site.send(ins_change(f"{a('A9')}~{NO_INS}", "VALI", mrg_1=f"{a('A1')}~{ins()}"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MRG^1^1", "205")


# ----------------------------------------------------------------------------------------- moves


@pytest.mark.parametrize("event", ["A43", "A44", "A45"])
def test_a_move_between_two_patients_joins_nobody(site, event):
    reply = site.send(adt(event, f"PID|||{a('A1')}", f"MRG|{a('A2')}"))

    assert (reply.msa_1, reply.first("MSH", 8)) == ("AA", f"ACK^{event}^ACK")
    assert site.answer(b("B77")) == {"A1"}
    assert site.answer(a("A2")) == "NF"
    assert [task.kind for task in site.world.tasks()] == [TaskKind.QUALITY_ANOMALY]

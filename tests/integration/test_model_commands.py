"""`mpi model ...` as its user types it, and what the index then decides with."""

import csv
import json
import stat
from dataclasses import replace

import pytest

from mpi.errors import StoreError
from mpi.index.audit import first_break
from mpi.matching.decision import Thresholds
from mpi.matching.files import write_model
from mpi.matching.model import MatchModel
from mpi.model_commands import _pairs_file
from mpi.settings import load
from mpi.store import open_store
from mpi.wiring import open_registry
from tests.federation import START
from tests.integration.running import Index, a28

DEFAULT = MatchModel.default()
BOUNDS = DEFAULT.thresholds
LENIENT = replace(DEFAULT, version="lenient-1", thresholds=Thresholds(-30.0, -20.0))
STRICT = replace(
    DEFAULT,
    version="strict-1",
    thresholds=Thresholds(500.0, 600.0, contradiction_bits=BOUNDS.contradiction_bits),
)


@pytest.fixture
def index(sqlite_url, tmp_path):
    return Index.at(tmp_path, sqlite_url)


@pytest.fixture
def strict(tmp_path):
    """The file of a model that links nothing."""
    write_model(STRICT, tmp_path / "strict.json")
    return str(tmp_path / "strict.json")


def url_of(index):
    return f"sqlite:///{index.config.parent}/mpi.db"


def feed(index, tmp_path, *messages, name="feed.hl7"):
    path = tmp_path / name
    path.write_bytes(b"".join(messages))
    return json.loads(index.mpi("ingest", str(path), "--json").stdout)


def edges(index):
    with open_store(url_of(index)) as store, store.read() as uow:
        return uow.edges.touching(uow.records.all_ids())


def test_what_is_decided_names_the_active_model_and_keeps_the_one_it_was_decided_with(
    index, tmp_path, strict
):
    assert feed(index, tmp_path, a28("A", "1", "C1"), a28("B", "2", "C2"))["linked"] == 1
    said = index.mpi("model", "activate", strict, "--by", "anne").stdout
    kept = edges(index)
    later = feed(index, tmp_path, a28("C", "3", "C3"), name="later.hl7")
    index.mpi("model", "activate", "default")
    again = feed(index, tmp_path, a28("D", "4", "C4"), name="again.hl7")

    assert "strict-1" in said
    assert "restart" in said
    assert "less strict" not in said
    assert [edge.model_version for edge in kept] == [DEFAULT.version]
    assert later["linked"] == 0
    assert again["linked"] == 1
    with open_store(url_of(index)) as store, store.read() as uow:
        chain = list(uow.audit.chain())
    assert first_break(chain) is None
    assert [(item.event.actor, item.event.subject) for item in chain if "model." in item.event.kind] == [
        ("user:anne", "model/strict-1"),
        ("user:anne", "model/strict-1"),
        ("user:terminal", "model/default"),
    ]


def test_the_registry_opens_with_the_active_model(index, strict):
    index.mpi("model", "activate", strict)
    store, registry = open_registry(load(index.config))
    store.close()

    assert registry.model == STRICT


def test_models_are_listed_with_the_one_that_is_active(index, strict):
    index.mpi("model", "activate", strict)
    listed = json.loads(index.mpi("model", "list", "--json").stdout)
    table = index.mpi("model", "list").stdout

    assert [(row["version"], row["active"]) for row in listed] == [
        (DEFAULT.version, False),
        ("strict-1", True),
    ]
    assert listed[1]["digest"] == STRICT.digest
    assert listed[1]["by"] == "user:terminal"
    for digest in (DEFAULT.digest, STRICT.digest):
        assert digest[:12] in table
        assert digest[:13] not in table


def test_a_less_strict_model_is_allowed_and_called_so(index, tmp_path):
    write_model(LENIENT, tmp_path / "lenient.json")
    done = index.mpi("model", "activate", str(tmp_path / "lenient.json"))
    again = index.mpi("model", "activate", "lenient-1")

    assert f"less strict than {DEFAULT.version}: threshold upper falls" in done.stdout
    assert again.stdout == "lenient-1 is active already\n"


def test_a_version_cannot_be_given_to_another_model(index, tmp_path, strict):
    index.mpi("model", "activate", strict)
    write_model(replace(STRICT, prior_bits=-1.0), tmp_path / "other.json")
    refused = index.mpi("model", "activate", str(tmp_path / "other.json"), check=False)

    assert refused.returncode == 1
    assert "version strict-1" in refused.stderr


def test_a_model_that_cannot_be_read_can_be_replaced(index, strict):
    """As after an upgrade to a version that reads another format."""
    unreadable = {**STRICT.to_json(), "format": 0}
    with open_store(url_of(index)) as store, store.write() as uow:
        uow.models.add(version="old-1", digest="d", document=unreadable, at=START)
        uow.models.activate("old-1", at=START, by="user:anne")
        uow.commit()
    stopped = index.mpi("queue", "list", check=False)

    assert stopped.returncode == 1
    assert "old-1" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "old-1" in index.mpi("model", "list").stdout
    assert "is active" in index.mpi("model", "activate", strict).stdout
    assert index.mpi("queue", "list").returncode == 0


def test_a_model_is_shown_with_its_levels_and_no_names(index, tmp_path):
    counted = {"expected": 0.001, "shares": {"ZQXNAME": 0.01}}
    model = MatchModel.from_json(
        {
            **DEFAULT.to_json(),
            "version": "local-1",
            "frequencies": {"family_name": counted},
            "metadata": {"training_digest": "0f0f", "sessions": {"ins": {"share": 1.0}}},
        }
    )
    write_model(model, tmp_path / "local.json")
    shown = index.mpi("model", "show", str(tmp_path / "local.json")).stdout
    document = json.loads(index.mpi("model", "show", str(tmp_path / "local.json"), "--json").stdout)

    for text in (model.digest, "birth_date", "day_month_swap", "1 names", "0f0f", "sessions.ins.share: 1.0"):
        assert text in shown
    assert "ZQXNAME" not in shown + json.dumps(document)
    assert document["frequencies"] == {"family_name": {"names": 1, "expected": 0.001}}
    assert document["parameters"]["sex"]["same"]["bits"] == pytest.approx(1, abs=0.1)
    upper = document["thresholds"]["upper_bits"]
    assert upper == {"bits": BOUNDS.upper_bits, "probability": model.probability(BOUNDS.upper_bits)}
    assert not (index.config.parent / "mpi.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [("show", "nowhere/model.json"), ("activate", "model.json"), ("compare", "default", "nobody-1")],
)
def test_a_model_that_is_not_there_is_bad_usage(index, arguments):
    done = index.mpi("model", *arguments, check=False)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_empty_store_leaves_only_parameters_to_compare(index, strict):
    document = json.loads(index.mpi("model", "compare", "default", strict, "--json").stdout)
    shown = index.mpi("model", "compare", "default", strict).stdout

    assert document["pairs"] is None
    assert document["parameters"][0]["name"].startswith("threshold: ")
    assert "the store is empty" in shown


def test_the_pairs_that_change_are_counted_and_named_only_in_the_file_asked_for(index, tmp_path, strict):
    feed(
        index, tmp_path, a28("A", "ZQX1", "C1"), a28("B", "ZQX2", "C2"),
        a28("C", "ZQX3", "C3", name="BARBEROUSSE^ODILON^ODILON^^^^L", born="19310507"),
    )  # fmt: skip
    file = tmp_path / "pairs.csv"
    done = index.mpi("model", "compare", "default", strict, "--pairs", str(file))
    document = json.loads(index.mpi("model", "compare", "default", strict, "--json").stdout)
    refused = index.mpi("model", "compare", "default", strict, "--pairs", str(file), check=False)

    assert document["pairs"]["compared"] == document["pairs"]["changed"] == 1
    assert document["pairs"]["decisions"]["link"] == {"non_link": 1, "review": 0, "link": 0}
    assert "1 of 1 pairs of 3 records change" in done.stdout
    assert "ZQX" not in done.stdout + done.stderr
    with file.open(encoding="utf-8", newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {
                "left_domain": "SITE-A",
                "left_id": "ZQX1",
                "right_domain": "SITE-B",
                "right_id": "ZQX2",
                "before": "link",
                "after": "non_link",
            }
        ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert refused.returncode == 2
    with open_store(url_of(index)) as store, store.read() as uow:
        exports = [item for item in uow.audit.chain() if item.event.kind == "model.pairs_exported"]
    assert len(exports) == 1


def test_half_a_file_of_pairs_is_not_left_behind(tmp_path):
    path = tmp_path / "pairs.csv"
    with pytest.raises(StoreError), _pairs_file(path, {}):
        raise StoreError("the store went away")

    assert not path.exists()


def test_a_running_service_does_not_stand_in_the_way_and_keeps_its_model(index, strict):
    index.start()
    try:
        said = index.mpi("model", "activate", strict).stdout
        with index.client() as client:
            for site, number in (("A", "1"), ("B", "2")):
                client.send(a28(site, number, f"C{number}"))
    finally:
        index.terminate()

    assert "restart" in said
    assert [(edge.score.decision, edge.model_version) for edge in edges(index)] == [("link", DEFAULT.version)]

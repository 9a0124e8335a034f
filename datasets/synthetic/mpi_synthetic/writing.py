"""
A federation as files: tables, HL7 messages, DICOM headers, truth.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TextIO

from mpi.identity.ins import INS_NIA_OID, INS_TEST_OID
from mpi.identity.model import NameUse, PersonName

from .events import EventKind, StatedRecord
from .federation import Federation
from .headers import write_header
from .messages import render
from .plausibility import report, tally
from .truth import TRUTH, truth_row

COLUMNS = (
    "record_id", "domain", "local_id", "birth_name", "used_name", "given_names", "used_given_name", "birth_date",
    "sex", "birth_place", "address", "postal_code", "city", "country", "phone", "email", "national_id", "ins",
    "mother_birth_name", "birth_order", "multiple_birth", "identity_status",
)  # fmt: skip
"""The tabular traits, and the local id."""
README = """\
A synthetic imaging federation: {people} people, {sites} sites, seed {seed}, profile "{profile}".
No real person is in it.

records.csv        one row per site and local id, as last stated; test and unknown patients included
truth.csv          who each record is, and the truth about that person; NOBODY-... for test patients
plausibility.txt   how believable this federation is, measured
messages/*.hl7     what each site sends, in order: messages one after another, each starting with MSH,
                   segments ended by carriage returns, in the character set that MSH-18 names
dicom/*/*.dcm      headers without images, in order of their numbers

Names and places: Insee, Licence Ouverte 2.0 (Etalab). INS: test OID {oid}, or that of NIA; communes
that do not exist.
"""


def write(federation: Federation, out_dir: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """
    Write a federation to a folder, made if need be.

    Args:
        progress: told (done, total) now and then, in events.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    people = {person.person_id: person for person in federation.people}
    with (
        (out_dir / "records.csv").open("w", encoding="utf-8", newline="") as records,
        (out_dir / "truth.csv").open("w", encoding="utf-8", newline="") as truth,
    ):
        write_rows(records, [COLUMNS, *map(record_row, federation.records)])
        write_rows(truth, [TRUTH, *(truth_row(record, people) for record in federation.records)])
    _write_events(federation, out_dir, progress or (lambda done, total: None))
    write_notes(
        out_dir,
        README.format(
            people=len(federation.people),
            sites=len(federation.sites),
            seed=federation.seed,
            profile=federation.profile.name,
            oid=INS_TEST_OID,
        ),
        tally(federation.people, federation.records, federation.events),
    )


def _write_events(federation: Federation, out_dir: Path, progress: Callable[[int, int], None]) -> None:
    sites = {site.namespace: site for site in federation.sites}
    messages: dict[str, list[bytes]] = {}
    for done, event in enumerate(federation.events, start=1):
        site = sites[event.record.site]
        if event.kind is EventKind.HEADER:
            folder = out_dir / "dicom" / site.namespace
            folder.mkdir(parents=True, exist_ok=True)
            write_header(event, site, folder)
        else:
            messages.setdefault(site.namespace, []).append(render(event, site))
        if done % 200 == 0:
            progress(done, len(federation.events))
    for namespace, found in messages.items():
        (out_dir / "messages").mkdir(exist_ok=True)
        (out_dir / "messages" / f"{namespace}.hl7").write_bytes(b"".join(found))
    progress(len(federation.events), len(federation.events))


def record_row(record: StatedRecord) -> Sequence[object]:
    """Write the tabular traits of a record, in the order of `COLUMNS`."""
    stated = record.demographics
    used = next((name for name in stated.names if name.use is NameUse.USED), PersonName())
    birth = next((name for name in stated.names if name.use is NameUse.BIRTH), None)
    if birth is None:
        birth = next(name for name in stated.names if name.use is not NameUse.USED)
    elif not used.family:
        # A header that shows the name in use and says the birth name beside it.
        used = next((name for name in stated.names if name.use is NameUse.UNSPECIFIED), used)
    return (
        record.record_id, record.site, record.local_id, birth.family, used.family, birth.given_list or birth.given,
        used.given if used.given != birth.given else "", stated.birth_date or "", stated.sex,
        stated.birth_place_code or stated.birth_place, stated.address, stated.postal_code, stated.city,
        stated.country, next(iter(stated.phones), ""), next(iter(stated.emails), ""), stated.national_id,
        # A table has no place for the OID: a NIA would pass for a NIR.
        "" if stated.ins_oid == INS_NIA_OID else stated.ins, stated.mother_birth_name, stated.birth_order or "",
        "Y" if stated.multiple_birth else "", " ".join(stated.identity_codes),
    )  # fmt: skip


def write_notes(out_dir: Path, readme: str, tallies: Counter[str]) -> None:
    """Write what the folder holds, and how believable it is."""
    (out_dir / "README").write_text(readme, encoding="utf-8")
    (out_dir / "plausibility.txt").write_text(report(tallies), encoding="utf-8")


def write_rows(file: TextIO, rows: Iterable[Iterable[object]]) -> None:
    """Write rows as CSV, lines ended by a line feed."""
    csv.writer(file, lineterminator="\n").writerows(rows)

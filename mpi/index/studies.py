"""
Studies as the context of identities: kept with the message that tells of them, and linking those of one person.

A manifest of the sharing project bears the INS, its images the site's own identifier: both are one
patient's, and the study says so.
"""

from collections.abc import Iterable
from dataclasses import replace

from mpi.identity.domains import INS_DOMAINS
from mpi.identity.model import RecordKey
from mpi.index.events import Study
from mpi.index.ports import UnitOfWork


def elsewhere(uow: UnitOfWork, studies: Iterable[Study]) -> tuple[RecordKey, ...]:
    """
    The identifiers of the same studies on the other side: of manifests the images', of images the manifest's.

    Only within one source: a site says whose its own studies are, and no more.
    """
    found: dict[RecordKey, None] = {}
    for study in studies:
        others = {known.record for known in uow.studies.of_uid(study.uid) if _is_other_side(known, study)}
        if len(others) == 1:  # several: somebody corrected one of them, and a person decides
            found.update(dict.fromkeys(others))
    return tuple(found)


def keep(
    uow: UnitOfWork, studies: Iterable[Study], *, formerly: Iterable[RecordKey] = (), message_id: int
) -> None:
    """
    Keep what a message tells of studies.

    Args:
        formerly: what they were found under before: there they are no more.
    """
    for study in studies:
        for record in formerly:
            uow.studies.forget(study.uid, study.source, record._replace(epoch=0))
        uow.studies.keep(replace(study, message_id=message_id))


def _is_other_side(known: Study, study: Study) -> bool:
    return known.source == study.source and _is_national(known) is not _is_national(study)


def _is_national(study: Study) -> bool:
    return study.record.domain in INS_DOMAINS

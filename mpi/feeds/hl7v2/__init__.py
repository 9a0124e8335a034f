"""
HL7 v2: patient identity feeds in (ITI-8, ITI-30), queries answered (ITI-9, ITI-21).

Bytes become a `Message` (er7), a message becomes an `Instruction` (adt, pid) or an answer (query, pix_query,
pdq_query), and what became of it becomes an acknowledgement (ack). `handler` is the whole of it for one frame.
"""

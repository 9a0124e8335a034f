"""
HL7 v2: patient identity feeds in (ITI-8, ITI-30), cross-reference queries answered (ITI-9).

Bytes become a `Message` (er7), a message becomes an `Instruction` (adt, pid) or an answer (query),
and what became of it becomes an acknowledgement (ack). `handler` is the whole of it for one frame.
"""

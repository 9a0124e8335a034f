"""Who is whom, as decided: facts, the link graph, the golden record, review, audit, and the registry."""

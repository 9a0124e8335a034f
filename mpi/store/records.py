"""Source records, their statements, and the blocking keys by which they are found again."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import batched
from typing import Any

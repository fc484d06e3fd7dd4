"""Names of columns that are usual for ids, indices and identifiers."""

import re

__all__ = ["INDICES", "is_index", "may_identify", "names_identifiers", "place_name"]

IDS = re.compile(
    r"|ids?|index|path|file|file_?name|uuid|guid"
    r"|(row|sample|image)[_. ]?(ids?|names?|index|numbers?)"
    r"|level_\d+|__index_level_\d+__|unnamed: 0(\.\d+)*"
)
"""The usual names (in lower case) of ids and of the indices of tables."""
INDICES = re.compile(r"|index|row.*|level_\d+|__index_level_\d+__|unnamed: .*")
"""Those of indices, which are the ids only if no other column is."""
_STEMS = (
    "account|case|client|customer|device|employee|gu|image|item|member|order|passenger|patient|person|product|"
    "record|row|sample|session|student|subject|u|user|uu"
)
IDENTIFIERS = re.compile(
    rf"(?i:(.*[_ .-])?ids?\.?|(.*[_ .-])?({_STEMS})ids?|ids?([_ .-].*|[0-9]+))|.*[a-z0-9]I[dD]", re.DOTALL
)
"""Names of identifiers, such as ``customer_id``, ``patientid`` and ``PassengerId``, but not ``valid``."""
NUMBERS = re.compile(
    r"(?i:rows?|obs|seqn|nr\.?|(s|sr|sl)[_ .]*no\.?|.*[_ .-](no|nr|num|number|nummer)\.?)"
    r"|.*[a-z0-9](No|Nr|Number|nummer)\.?|No\.?|no\.?",
    re.DOTALL,
)
"""Names of numbers that may identify rows, such as ``Kunden-Nr``; ``NO`` is nitric oxide."""


def names_identifiers(name: str) -> bool:
    """Return whether a column has the name of an identifier."""
    return IDENTIFIERS.fullmatch(name.strip()) is not None


def may_identify(name: str) -> bool:
    """Return whether distinct values of a column of this name identify the rows."""
    return names_identifiers(name) or NUMBERS.fullmatch(name.strip()) is not None


def place_name(k: int) -> str:
    """Return the name of column k of a table without names."""
    return f"column {k}"


def is_index(name: str) -> bool:
    """Return whether a name is usual for ids or for the index of a table."""
    return IDS.fullmatch(name.strip().lower()) is not None

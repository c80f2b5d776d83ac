"""Documents as they come in and as they are kept: parsed by their models, their secrets kept, encrypted, revealed."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from naas.core.errors import Invalid
from services.kind import Spec, problems_of
from services.secrets import keep, reveal

S = TypeVar("S", bound=Spec)


def parse(model: type[S], document: object, stored: object = None) -> S:
    """What a document says; a masked secret is the one that `stored` has. Raises `Invalid` with paths."""
    wanted, problems = keep(document, stored)
    if problems:
        raise Invalid(problems)
    try:
        return model.model_validate_json(json.dumps(wanted))
    except ValidationError as error:
        raise Invalid(problems_of(error, model)) from None


def read(model: type[S], stored: object) -> S:
    """What a stored document says, its secrets in the clear."""
    return model.model_validate_json(json.dumps(reveal(stored)))

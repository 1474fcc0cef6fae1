"""What a page sends: JSON, read into a model."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from constitution.errors import Problem, UserError, problems_of

T = TypeVar("T", bound=BaseModel)


async def read_body(request: Request, model: type[T]) -> T:
    """The body as a model that forbids unknown keys. Raises UserError, which becomes an answer of status 400."""
    try:
        return model.model_validate_json(await request.body())
    except ClientDisconnect:
        raise UserError(Problem("", "", "what was sent ends early or is too long")) from None
    except ValidationError as error:
        raise UserError(problems_of(error, model)) from None

"""Rules that bounds alone cannot say: in CEL for the API server, in Python for the models, in a sentence for people.

Both forms of a rule stand side by side, and tests hold them against each other on a real API server. A sentence says
what must be, and the way out; it follows the path of the field, so it begins in lower case and has no full stop.

The API server does not judge again what an update leaves as it was. So a rule that comes with a later version belongs
on the smallest part that it is about: an old resource that breaks it then stays editable everywhere else. And CEL must
not fail, whatever the value: a failure is judged again with every update, one of the status or a label too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.alias_generators import to_snake
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

RULES = "x-kubernetes-validations"

Reason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]


@dataclass(frozen=True)
class Rule:
    """One rule. As an annotation it is about a field's value, among the `rules` of a part about the part.

    `holds` is None where only the API server can tell, because the rule compares two versions. `field` is the path
    inside the part that an error names, as `requests.cpu`.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None
    field: str = ""
    reason: Reason = "FieldValueInvalid"

    def to_dict(self) -> dict[str, str]:
        """Return the rule as a CRD has it."""
        rule = {"rule": self.cel, "message": self.message}
        if self.field:
            rule["fieldPath"] = f".{self.field}"
        if self.reason != "FieldValueInvalid":
            rule["reason"] = self.reason
        return rule

    def allows(self, value: Any) -> bool:
        """Tell whether a value keeps the rule, as far as one version of it can tell."""
        return self.holds is None or self.holds(value)

    def error(self, value: Any) -> InitErrorDetails:
        """Return the error of a part that breaks the rule, at the field that it names."""
        return InitErrorDetails(type=self._custom_error(), loc=tuple(filter(None, self.field.split("."))), input=value)

    def _custom_error(self) -> PydanticCustomError:
        return PydanticCustomError("rule", "{message}", {"message": self.message})

    def _checked(self, value: Any) -> Any:
        if not self.allows(value):
            raise self._custom_error()
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        described[RULES] = [*described.get(RULES, ()), self.to_dict()]
        return described


def matches(pattern: str, message: str) -> Rule:
    """Return the rule that a whole string has a form: a regular expression that RE2 and Python read alike."""
    form = re.compile(pattern)
    return Rule(f"self.matches({_quoted(pattern)})", message, lambda text: form.fullmatch(text) is not None)


LONGEST_KEY = 253
"""No part of a label's key may be longer in Kubernetes, and so no key is that anybody writes."""


def keys_match(pattern: str, message: str) -> Rule:
    """Return the rule that every key of a map has a form, and is not longer than any that is meant."""
    form = re.compile(pattern)
    cel = f"self.all(key, size(key) <= {LONGEST_KEY} && key.matches({_quoted(pattern)}))"
    return Rule(cel, message, lambda keys: all(len(key) <= LONGEST_KEY and form.fullmatch(key) for key in keys))


def lacks_prefix(prefix: str, message: str) -> Rule:
    """Return the rule that a string does not begin with something."""
    cel = f"!self.startsWith('{prefix}')"
    return Rule(cel, message, lambda text: not text.startswith(prefix), reason="FieldValueForbidden")


def immutable(message: str) -> Rule:
    """Return the rule that a field never changes."""
    return Rule("self == oldSelf", message, None)


def section_of_choice(choice: str, value: str, section: str, needed: str, unwanted: str) -> tuple[Rule, Rule]:
    """Return the rules that a part has a section when its field `choice` has a value, and never else.

    `needed` and `unwanted` are the sentences for one that is missing and one too many.
    """
    choice_name, section_name = to_snake(choice), to_snake(section)

    def is_chosen(part: Any) -> bool:
        return bool(getattr(part, choice_name) == value)

    def is_there(part: Any) -> bool:
        return getattr(part, section_name) is not None

    return (
        Rule(
            f"self.{choice} != '{value}' || has(self.{section})",
            needed,
            lambda part: not is_chosen(part) or is_there(part),
            section,
            "FieldValueRequired",
        ),
        Rule(
            f"self.{choice} == '{value}' || !has(self.{section})",
            unwanted,
            lambda part: is_chosen(part) or not is_there(part),
            section,
            "FieldValueForbidden",
        ),
    )


@dataclass(frozen=True)
class Distinct:
    """Annotates a list whose items differ, all in all or by a key: a set or map to the API server."""

    key: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}
        return described | (keyed if self.key else {"x-kubernetes-list-type": "set"})

    def _checked(self, items: Sequence[Any]) -> Sequence[Any]:
        seen = [getattr(item, to_snake(self.key)) if self.key else item for item in items]
        again = [place for place, value in enumerate(seen) if value in seen[:place]]
        if again:
            error = PydanticCustomError("duplicate", "is there already; remove one of the two")
            raise ValidationError.from_exception_data(
                "list", [InitErrorDetails(type=error, loc=(place,), input=items[place]) for place in again]
            )
        return items


def _quoted(text: str) -> str:
    """Return a CEL literal of a text in which nothing is escaped."""
    return f"r'{text}'"

"""Checked dataclasses: what they refuse, and in which words."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from mama_augment.core.errors import InputError
from mama_augment.core.fields import Named
from mama_train.checked import checked, from_text, name_of

Colour = Literal["red", "green"]


@checked
class Brush:
    width: Annotated[int, Gt(0)]
    colour: Annotated[Colour, Named("brush_colour")] = "red"
    share: Annotated[float, Ge(0), Le(1)] | None = None
    decay: Annotated[float, Gt(0), Lt(1)] = 0.5
    wet: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.wet and self.colour == "green":
            raise InputError("green paint is dry")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "width is missing; give a whole number"),
        ({"width": True}, "width is True; give a whole number"),
        ({"width": 2.0}, "width is 2.0; give a whole number"),
        ({"width": "2"}, "width is '2'; give a whole number"),
        ({"width": None}, "width is None; give a whole number"),
        ({"width": 0}, "width is 0; give a number above 0"),
        (
            {"colour": "gren"},
            "brush_colour 'gren' is unknown; did you mean 'green'? Allowed: ",
        ),
        ({"colour": "blue"}, "brush_colour 'blue' is unknown; allowed: red, green"),
        ({"colour": 3}, "brush_colour '3' is unknown; allowed: red, green"),
        ({"share": 1.5}, "share is 1.5; give a number from 0 to 1"),
        ({"share": float("nan")}, "share is nan; give a finite number"),
        ({"share": float("-inf")}, "share is -inf; give a finite number"),
        ({"share": False}, "share is False; give a finite number"),
        ({"decay": 1.0}, "decay is 1.0; give a number above 0 and up to below 1"),
        ({"wet": 1}, "wet is 1; give true or false"),
        ({"note": 7}, "note is 7; give a text"),
        ({"widht": 3}, "setting 'widht' is unknown; did you mean 'width'? Allowed: width, brush_c"),
        ({"wet": True, "colour": "green"}, "green paint is dry"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(values: dict[str, Any], message: str) -> None:
    given = values if not values or "width" in values else {"width": 1, **values}
    with pytest.raises(InputError) as error:
        Brush(**given)
    assert str(error.value).startswith(message)


def test_it_is_a_frozen_dataclass_that_stays_checked() -> None:
    brush = Brush(width=3, share=1)
    assert brush == pickle.loads(pickle.dumps(brush))
    assert type(brush.share) is float
    assert hash(brush) == hash(Brush(width=3, share=1.0))
    assert dataclasses.replace(brush, width=4).width == 4
    with pytest.raises(InputError, match="width is -1"):
        dataclasses.replace(brush, width=-1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        brush.width = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        Brush(3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "3", 3),
        (Annotated[float, Gt(0)], "1e-3", 1e-3),
        (bool, "true", True),
        (str, "none", "none"),
        (Annotated[float, Gt(0)] | None, "None", None),
        (Annotated[Colour, Named("c")], "green", "green"),
        (Annotated[int, Gt(0)], "-3", -3),  # bounds are for the class to refuse
    ],
)
def test_typed_values(hint: Any, text: str, value: Any) -> None:
    found = from_text("x", hint, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("hint", "text", "message"),
    [
        (int, "three", "x is three; give a whole number"),
        (int, "none", "x is none; give a whole number"),
        (float, "nan", "x is nan; give a finite number"),
        (bool, "perhaps", "x is perhaps; give true or false"),
        (Colour, "gren", "x 'gren' is unknown; did you mean 'green'? Allowed: red, green"),
    ],
)
def test_typed_values_of_another_type_are_refused(hint: Any, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        from_text("x", hint, text)
    assert str(error.value) == message


def test_the_name_for_people_may_lie_inside_an_optional() -> None:
    assert name_of("batch_size", Annotated[int, Named("meta_batch_size")] | None) == (
        "meta_batch_size"
    )
    assert name_of("lr", Annotated[float, Gt(0)]) == "lr"

"""Payloads: Python values to JSON text and back."""

from __future__ import annotations

import enum
import json
import math
import random
from collections import OrderedDict
from typing import Any

import pytest

import distflow
from distflow._distflow import dumps, loads

EXACT = [
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**400,
    0.0,
    -0.5,
    1e300,
    5e-324,
    0.1,
    "",
    "text",
    'quotes " and \\ and / and \x00 \x1f \x7f',
    "é€😀\u2028",
    "\ud800 alone, \udfff too",
    "1],[2",
    [],
    {},
    [[], {}, [None]],
    {"": 0, "a b": {"é": [1, {"b": 2}]}, "__proto__": {}},
]


@pytest.mark.parametrize("value", EXACT, ids=lambda value: repr(value)[:30])
def test_values_come_back_as_they_were(value: Any) -> None:
    back = loads(dumps(value))
    assert back == value
    assert type(back) is type(value)
    # Others read the same, and what others write is read.
    assert json.loads(dumps(value)) == value
    assert loads(json.dumps(value)) == value
    if "\ud800" not in str(value):
        # Written out, a surrogate that stands alone is no UTF-8.
        assert loads(json.dumps(value, ensure_ascii=False, indent=2)) == value


def random_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 5 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-(10 ** rng.randrange(1, 30)), 10**20)
    if kind == 2:
        return rng.choice([rng.random(), rng.uniform(-1e307, 1e307), rng.random() * 1e-300])
    if kind <= 5:
        characters = [
            rng.choice('abc"\\/\n\t\x01é€😀\ud834\udd1e ') for _ in range(rng.randrange(30))
        ]
        return "".join(characters)
    if kind <= 7:
        return {
            str(random_value(rng, 9)): random_value(rng, depth + 1) for _ in range(rng.randrange(6))
        }
    return [random_value(rng, depth + 1) for _ in range(rng.randrange(6))]


def test_random_values_come_back_as_they_were() -> None:
    for seed in range(3_000):
        value = random_value(random.Random(seed))
        text = dumps(value)
        assert json.loads(text) == loads(text), seed
        # Two halves of a character that stand side by side are one character in JSON.
        assert loads(text) == json.loads(json.dumps(value)), seed


def test_what_json_has_no_word_for_becomes_the_nearest() -> None:
    class Text(str):
        pass

    class Number(enum.IntEnum):
        ONE = 1

    given = OrderedDict(a=(1, 2), b=Text("x"), c=Number.ONE)
    assert loads(dumps(given)) == {"a": [1, 2], "b": "x", "c": 1}
    assert loads('{"a":1,"a":2}') == {"a": 2}
    assert loads("[1e999,-1e999]") == [math.inf, -math.inf]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


itself: list[Any] = []
itself.append(itself)

REFUSED = [
    ({1: 2}, TypeError, "a key of a dict must be a str, but 1 is of type int"),
    ({"a": [0, {None: 1}]}, TypeError, "payload['a'][1]: a key of a dict must be a str"),
    (b"x", TypeError, "bytes can't be sent"),
    ([1, {"k": {2}}], TypeError, "payload[1]['k']: set can't be sent"),
    (object(), TypeError, "object can't be sent"),
    (1j, TypeError, "complex can't be sent"),
    (math.nan, distflow.InvalidJsonError, "nan can't be sent: JSON has no such number"),
    ({"a": -math.inf}, distflow.InvalidJsonError, "payload['a']: -inf can't be sent"),
    (nested(65), distflow.InvalidJsonError, "nested deeper than 64"),
    (itself, distflow.InvalidJsonError, "nested deeper than 64, or it contains itself"),
]


@pytest.mark.parametrize(("value", "kind", "text"), REFUSED, ids=lambda value: repr(value)[:20])
def test_what_json_cannot_hold_is_refused_with_its_place(
    value: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        dumps(value)
    assert text in str(caught.value)
    assert dumps(nested(64)).count("[") == 64


def test_what_is_no_json_is_refused() -> None:
    for text in ["", "1,2", "[1", "{'a':1}", "nan", "[1]x", '"\n"']:
        with pytest.raises(distflow.InvalidJsonError):
            loads(text)


def test_integers_of_too_many_digits_are_errors_not_other_numbers() -> None:
    # Newer interpreters, and patched old ones, read no more than 4,300 digits.
    text = "9" * 5_000
    try:
        expected = int(text)
    except ValueError:
        with pytest.raises(ValueError, match="digits"):
            loads(text)
    else:
        assert loads(text) == expected


def test_reading_from_within_the_garbage_collector_does_not_block() -> None:
    import gc

    class Reads:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            done.append(loads('{"a":{"b":1}}'))

    done: list[Any] = []
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Reads()
            loads('{"a":[{"b":[]},{"c":{}}]}')
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert done == [{"a": {"b": 1}}] * 200

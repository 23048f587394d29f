"""Streams are lifted out of a request and change nothing: what is read and written is what the parser alone reads."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sam_backend.labelstudio import rle
from sam_backend.labelstudio.streams import Stream, Streams, plain

SIZE = (20, 30)
BITMAP = np.hypot(*(np.mgrid[:20, :30] - np.array([9, 14]).reshape(2, 1, 1))) < 7
NUMBERS = rle.encode(BITMAP)

KEYS = st.sampled_from(["rle", "rl", 'a"rle', "rle\\", '\\"rle', '"rle":[1,2]', "", "é", "x"]) | st.text(max_size=4)
INTEGERS = st.integers(0, 300) | st.integers(-(2**63), 2**64 - 1)
LEAVES = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | KEYS
LISTS = st.lists(st.integers(0, 255), max_size=40) | st.lists(LEAVES, max_size=5)
DOCUMENTS = st.recursive(
    LEAVES | LISTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def listed(document: Any) -> Any:
    """The document with lists in place of streams, made as an answer is."""
    return orjson.loads(orjson.dumps(document, default=plain))


def outcome(loads: Callable[[bytes], Any], data: bytes) -> str:
    try:
        return json.dumps(listed(loads(data)))
    except orjson.JSONDecodeError as error:
        return f"refused: {error}"


def same(data: bytes) -> None:
    """Streams read what the parser reads, or refuse it with the same words; the second time as well."""
    streams = Streams()
    for _ in range(2):
        assert outcome(streams.loads, data) == outcome(orjson.loads, data)


@given(DOCUMENTS, st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : "), (",\n\t", ":\r\n")]), st.booleans())
def test_any_json_is_read_as_the_parser_reads_it(document: Any, separators: tuple[str, str], escaped: object) -> None:
    same(json.dumps(document, separators=separators, ensure_ascii=bool(escaped)).encode())


FRAGMENTS = ['"rle"', '""', '"', *":[]{},\\-.ea\n 01", "12", "255"]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
@example('{"rle":[01]}')
@example('{"rle":[1,]}')
@example('{"rle":[,1]}')
@example('{"rle":[1,,2]}')
@example('{"rle":[1  ,2]}')
@example('{"rle":[1, 2 ]}')
@example('{"rle":[ 1]}')
@example('{"rle":[1,  2]}')
@example('{"rle":[1 2]}')
@example('{"rle":[]}')
@example('{"rle":[ ]}')
@example('{"rle":[1')
@example('{"rle":[1]')
@example('{"rle":[1]}}')
@example('{"rle":[00]}')
@example('{"rle":[0,10,0]}')
@example('{"rle":[10, 00]}')
@example('{"rle":[123456789012345678901234567890]}')
@example('{"rle":[1],"rle":[2]}')
@example('{"rle":[1],"rle":"3"}')
@example('{"a\\"rle":[1,2]}')
@example('{"a\\\\"rle":[1,2]}')
@example('{"x":"\\"rle\\":[1,2]"}')
@example('{"x":"\\\\","rle":[1,2]}')
@example('["rle":[1,2]]')
@example('["rle",[1,2]]')
@example('"rle":[1,2]')
@example('{"rle":[[1,2],{"rle":[3,4]}]}')
@example('{"rle":{"rle":[1]}}')
@example('\ufeff{"rle":[1]}')
def test_any_text_is_read_or_refused_as_the_parser_does(text: str) -> None:
    same(text.encode())
    same(b'{"a":' + text.encode() + b"}")


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text_are_refused_in_the_same_words(noise: bytes) -> None:
    same(b'{"rle":[1,2],"x":"' + noise + b'"}')


def test_a_plain_list_of_integers_is_not_made_into_a_list() -> None:
    for text in ('{"rle":[1,2,30]}', '{"rle": [1, 2, 30]}', '{"rle"\n:\t[1,2, 30]}'):
        found = Streams().loads(text.encode())["rle"]
        assert isinstance(found, Stream)
        assert len(found) == 3
        assert found.numbers() == [1, 2, 30]
        assert found == [1, 2, 30]
        assert [1, 2, 30] == found  # noqa: SIM300 - the other way round
        assert found != [1, 2]
        assert orjson.dumps({"rle": found}, default=plain).replace(b" ", b"") == b'{"rle":[1,2,30]}'


@given(st.lists(st.integers(0, 12), min_size=1, max_size=3), st.lists(st.integers(0, 12), min_size=1, max_size=3))
def test_streams_are_equal_where_their_numbers_are(one: list[int], other: list[int]) -> None:
    texts = [json.dumps({"rle": numbers}, separators=(comma, ":")) for numbers in (one, other) for comma in (",", ", ")]
    first, spaced, second, _ = (Streams().loads(text.encode())["rle"] for text in texts)
    assert first == spaced
    assert (first == second) == (one == other)
    assert (spaced == second) == (one == other)


def test_what_was_read_before_is_known_again_and_nothing_else() -> None:
    streams = Streams()
    text = b'{"rle":[%s]}' % b",".join([b"7"] * 500)
    first, again = (streams.loads(text)["rle"] for _ in range(2))
    assert first is again
    middle = len(text) // 2 // 2 * 2 - 1
    other = text[:middle] + text[middle : middle + 4].replace(b"7", b"8") + text[middle + 4 :]
    assert len(other) == len(text)
    assert streams.loads(other)["rle"].numbers() == orjson.loads(other)["rle"]
    assert streams.loads(text)["rle"].numbers() == [7] * 500


def test_a_stream_is_the_mask_that_its_numbers_are() -> None:
    stream = Streams().loads(orjson.dumps({"rle": NUMBERS}))["rle"]
    for _ in range(2):
        assert np.array_equal(stream.patch(SIZE).bitmap, BITMAP)
        assert stream.rectangle(SIZE) == stream.patch(SIZE).rectangle
    with pytest.raises(ValueError, match="has 2400 values"):
        stream.patch((20, 31))
    assert np.array_equal(stream.patch(SIZE).bitmap, BITMAP)


@pytest.mark.parametrize("numbers", ["256", "1,2,3", "123456789012345678901234567890", "0"])
def test_a_stream_of_no_mask_is_refused_as_a_list_is(numbers: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="stream"):
            Streams().loads(b'{"rle":[%s]}' % numbers.encode())["rle"].patch(SIZE)


def test_nothing_but_a_stream_is_written_in_its_way() -> None:
    with pytest.raises(TypeError):
        orjson.dumps({"x": object()}, default=plain)


@pytest.mark.parametrize("many", [b'"rle":[', b'"rle":[1,', b'"rle":[1"', b'{"rle":[[', b'"rle" :'])
@pytest.mark.parametrize("end", [b"", b"]", b"]" * 100_000])
def test_a_text_that_is_made_to_be_searched_for_long_is_not(many: bytes, end: bytes) -> None:
    """A hundred thousand names, each of which could reach to the end, which is a megabyte away."""
    same(b'{"a":' + many * 100_000 + end + b"}")

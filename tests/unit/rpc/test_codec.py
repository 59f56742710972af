from __future__ import annotations

import copy
import math
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.datatypes import InputType
from clipper.rpc.codec import (
    InputBatch,
    WireFault,
    input_type_from_wire,
    input_type_to_wire,
    join_inputs,
    split_inputs,
    split_outputs,
)

NUMERIC = [InputType.INTEGERS, InputType.FLOATS, InputType.DOUBLES]


def round_trip(input_type: InputType, inputs: list[bytes]) -> InputBatch:
    return split_inputs(input_type, *join_inputs(inputs))


@given(st.lists(st.binary()))
def test_bytes_come_back_as_they_were(inputs: list[bytes]) -> None:
    batch = round_trip(InputType.BYTES, inputs)
    assert batch == inputs
    assert all(type(value) is bytes for value in batch)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_strings_come_back_as_they_were(inputs: list[str]) -> None:
    assert round_trip(InputType.STRINGS, [text.encode() for text in inputs]) == inputs


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "ß", "日本", "e\u0301", "\U0001f600"])
def test_awkward_strings_next_to_plain_ones(text: str) -> None:
    assert round_trip(InputType.STRINGS, [b"x", text.encode(), b""]) == ["x", text, ""]


@given(st.sampled_from(NUMERIC), st.lists(st.lists(st.binary(min_size=8, max_size=8), max_size=9)))
def test_numbers_come_back_bit_for_bit(input_type: InputType, words: list[list[bytes]]) -> None:
    inputs = [b"".join(row) for row in words]
    batch = round_trip(input_type, inputs)
    assert [value.tobytes() for value in batch] == inputs
    assert all(value.ndim == 1 and value.dtype == input_type.numpy_dtype for value in batch)


@given(st.lists(st.lists(st.floats(width=64)), min_size=1))
def test_doubles_keep_their_values(rows: list[list[float]]) -> None:
    batch = round_trip(InputType.DOUBLES, [struct.pack(f"<{len(r)}d", *r) for r in rows])
    for row, value in zip(rows, batch, strict=True):
        assert all(
            a == b or (math.isnan(a) and math.isnan(b))
            for a, b in zip(row, value.tolist(), strict=True)
        )


@pytest.mark.parametrize("input_type", NUMERIC)
@pytest.mark.parametrize("lengths", [(3, 3), (1, 2)])
def test_numeric_inputs_are_writable_and_share_nothing(
    input_type: InputType, lengths: tuple[int, ...]
) -> None:
    data, sizes = join_inputs(
        [bytes(n * np.dtype(input_type.numpy_dtype).itemsize) for n in lengths]
    )
    batch = split_inputs(input_type, data, sizes)
    batch[0][:] = 7
    assert not any(data)
    assert not batch[1].any()


def test_equal_lengths_are_one_matrix_without_a_copy() -> None:
    batch = round_trip(InputType.DOUBLES, [struct.pack("<2d", 1, 2), struct.pack("<2d", 3, 4)])
    matrix = np.asarray(batch)
    assert matrix.tolist() == [[1, 2], [3, 4]]
    assert np.shares_memory(matrix, batch[0])
    assert not np.shares_memory(np.array(batch), batch[0])
    assert np.asarray(batch, dtype=np.float32).dtype == np.float32


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="copy= is of numpy 2")
def test_copy_argument_of_numpy_is_respected() -> None:
    batch = round_trip(InputType.DOUBLES, [struct.pack("<2d", 1, 2)])
    assert np.shares_memory(np.asarray(batch, copy=False), batch[0])
    with pytest.raises(ValueError, match="avoid copy"):
        np.asarray(batch, dtype=np.int32, copy=False)
    with pytest.raises(ValueError, match="avoid copy"):
        np.asarray(round_trip(InputType.STRINGS, [b"a"]), copy=False)


@pytest.mark.parametrize("edit", ["append", "replace", "reverse", "pickle", "deepcopy"])
def test_an_edited_batch_is_an_array_of_what_it_holds_now(edit: str) -> None:
    batch = round_trip(InputType.INTEGERS, [struct.pack("<2i", 1, 2), struct.pack("<2i", 3, 4)])
    if edit == "append":
        batch.append(batch[0])
    elif edit == "replace":
        batch[0] = np.array([9, 9])
    elif edit == "reverse":
        batch.reverse()
    elif edit == "pickle":
        batch = pickle.loads(pickle.dumps(batch))
    else:
        batch = copy.deepcopy(batch)
    assert np.asarray(batch).tolist() == [value.tolist() for value in batch]


def test_batches_without_a_matrix_become_arrays_as_lists_do() -> None:
    assert np.asarray(round_trip(InputType.STRINGS, [b"a", b"bc"])).tolist() == ["a", "bc"]
    assert np.asarray(round_trip(InputType.DOUBLES, [])).shape == (0,)
    with pytest.raises(ValueError, match="inhomogeneous"):
        np.asarray(round_trip(InputType.DOUBLES, [bytes(8), bytes(16)]))


@pytest.mark.parametrize("input_type", list(InputType))
def test_empty_inputs_are_values(input_type: InputType) -> None:
    batch = round_trip(input_type, [b"", b""])
    assert [len(value) for value in batch] == [0, 0]
    assert len(batch) == 2


@pytest.mark.parametrize("input_type", list(InputType))
@pytest.mark.parametrize("sizes", [[8], [8, 16], []])
def test_sizes_that_do_not_add_up_are_a_fault(input_type: InputType, sizes: list[int]) -> None:
    with pytest.raises(WireFault, match="add up"):
        split_inputs(input_type, bytes(16), sizes)


@pytest.mark.parametrize("input_type", NUMERIC)
def test_a_broken_number_is_a_fault(input_type: InputType) -> None:
    with pytest.raises(WireFault, match="7 bytes is not a whole number"):
        split_inputs(input_type, bytes(16), [7, 9])


@pytest.mark.parametrize("sizes", [[2], [1, 1]])
def test_strings_must_be_utf8_each_by_itself(sizes: list[int]) -> None:
    data = "ß".encode() if len(sizes) == 2 else b"\xff\xff"
    with pytest.raises(WireFault, match="not UTF-8"):
        split_inputs(InputType.STRINGS, data, sizes)


@given(st.lists(st.binary()))
def test_outputs_come_back(outputs: list[bytes]) -> None:
    assert split_outputs(*join_inputs(outputs)) == outputs


@pytest.mark.parametrize("input_type", list(InputType))
def test_input_types_have_wire_numbers(input_type: InputType) -> None:
    assert input_type_from_wire(input_type_to_wire(input_type)) is input_type


@pytest.mark.parametrize("number", [0, 6, -1])
def test_other_wire_numbers_are_a_fault(number: int) -> None:
    with pytest.raises(WireFault, match="not an input type"):
        input_type_from_wire(number)

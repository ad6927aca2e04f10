"""The content checksum `hgsum@1`: what a table says, whatever its row order and encoding.

Equal for two tables that hold the same multiset of rows under the same column names. It does not see the order
of rows and columns, batch boundaries, dictionary encoding, 32- or 64-bit offsets, string views, bytes under nulls,
nor the width of integers and floats and the unit of times: the schema is compared beside it. It does see
duplicated rows (it is a sum, an XOR would not), renamed columns, and null, empty and NaN as three things.

The algorithm, all arithmetic modulo 2^64 unless said otherwise, bytes little-endian:

- ``mix`` is the finalizer of splitmix64: ``x ^= x >> 30; x *= 0xBF58476D1CE4E5B9; x ^= x >> 27;
  x *= 0x94D049BB133111EB; x ^= x >> 31``. ``GOLDEN`` is 0x9E3779B97F4A7C15.
- A *canonical* value is 64 bits:
    - null: 0xC2B2AE3D27D4EB4F.
    - Integers: sign-extended two's complement; booleans: 0 or 1; dates: days since 1970.
    - Floats: the bits of the value as float64; -0.0 as 0.0; every NaN as 0x7FF8000000000000.
    - Timestamps, times, durations: microseconds, as integers; nanoseconds that are no whole microseconds:
      the nanoseconds ``^ 0x165667B19E3779F9``.
    - Decimals: unscaled integer in 64-bit words ``w0, w1, ...``, two's complement of any width; ``sign`` is 0 or ~0:
      ``w0 ^ (sign & GOLDEN)``, plus ``mix((wk ^ sign) + k * GOLDEN)`` for each further word that is not `sign`.
    - Text (UTF-8) and binary of n bytes: above 128 bytes its XXH3-64 with seed 0; otherwise ``h = n * GOLDEN``, then
      ``h ^= word; h ^= h >> 32; h *= 0xBF58476D1CE4E5B9`` for each 8 bytes, the last ones padded with zero bytes.
    - Lists: ``mix(n * GOLDEN + sum of mix(canonical(element i) ^ mix(i + 1)))``; a map is a list of structs of
      ``key`` and ``value``.
    - Structs: ``mix`` of the sum over fields of ``mix(canonical ^ XXH3-64(field name))``.
    - Dictionary, run-end-encoded and extension types: as the value they stand for.
- The hash of a row is that of a struct of its columns.
- The checksum is the sum of the row hashes as an unbounded integer: ``hgsum@1:{rows}:{sum, 24 hex digits}``.
"""

from __future__ import annotations

import sys
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Hashes: TypeAlias = NDArray[np.uint64]
    Lane: TypeAlias = Callable[[Any], Hashes]

ALGORITHM = "hgsum@1"
SLICE_ROWS = 16_384
LONGEST_INLINE_BYTES = 128

_U8 = np.dtype("<u8")
_NULL = np.uint64(0xC2B2AE3D27D4EB4F)
_NAN = np.uint64(0x7FF8000000000000)
_NANOS = np.uint64(0x165667B19E3779F9)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=_U8)
_MICROS_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}

assert sys.byteorder == "little", "hgsum@1 is written for little-endian machines"


class ContentChecksum:
    """A content checksum that grows with each batch of a table."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch.

        Raises:
            UsageError: A column has a type without a checksum.
        """
        rows = batch.num_rows
        seeds = [_seed(name) for name in batch.schema.names]
        columns = [_undictionaried(column) for column in batch.columns]
        size = min(rows, SLICE_ROWS)
        lanes = np.empty((len(columns), size), dtype=_U8)
        scratch = np.empty_like(lanes)
        for start in range(0, rows, SLICE_ROWS):
            count = min(SLICE_ROWS, rows - start)
            part = lanes[:, :count]
            for lane, seed, column in zip(part, seeds, columns, strict=True):
                piece = column if count == rows else column.slice(start, count)
                np.bitwise_xor(_canonical(piece), seed, out=lane)
            _mix(part, scratch[:, :count])
            hashes = np.add.reduce(part, axis=0)
            _mix(hashes, scratch[0, :count] if columns else np.empty_like(hashes))
            self._sum += int((hashes & _LOW_HALF).sum()) + (int((hashes >> 32).sum()) << 32)
        self.rows += rows

    def text(self) -> str:
        """Return the checksum as it is stored: ``hgsum@1:rows:sum``."""
        return f"{ALGORITHM}:{self.rows}:{self._sum:024x}"


def combined(texts: Iterable[str]) -> str:
    """Return the checksum of a table from those of its parts, whatever was cut where.

    Raises:
        ValueError: One of them is no `hgsum@1`.
    """
    rows = total = 0
    for text in texts:
        algorithm, count, part = text.split(":")
        if algorithm != ALGORITHM:
            raise ValueError(f"{text} is no {ALGORITHM}")
        rows += int(count)
        total += int(part, 16)
    return f"{ALGORITHM}:{rows}:{total:024x}"


def _mix(hashes: Hashes, scratch: Hashes) -> None:
    """Apply splitmix64's finalizer in place."""
    np.right_shift(hashes, 30, out=scratch)
    hashes ^= scratch
    hashes *= _MIX_1
    np.right_shift(hashes, 27, out=scratch)
    hashes ^= scratch
    hashes *= _MIX_2
    np.right_shift(hashes, 31, out=scratch)
    hashes ^= scratch


def _mixed(hashes: Hashes) -> Hashes:
    _mix(hashes, np.empty_like(hashes))
    return hashes


@lru_cache(maxsize=4096)
def _seed(name: str) -> np.uint64:
    return np.uint64(xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")))


def _undictionaried(column: pa.Array) -> pa.Array:
    # Slices would hash a dictionary again and again; one that is larger than a slice is cheaper decoded.
    if isinstance(column, pa.DictionaryArray) and len(column.dictionary) > SLICE_ROWS:
        return column.dictionary_decode()
    return column


def _canonical(array: pa.Array) -> Hashes:
    """Return the canonical values of an array. The result may share memory with the array."""
    nulls = array.null_count
    if nulls == len(array):
        return np.full(len(array), _NULL, dtype=_U8)
    values = _lane(array.type)(array)
    if nulls:
        valid = _bits(array, array.buffers()[0]) if array.buffers()[0] is not None else _is_valid(array)
        values = np.where(valid, values, _NULL)
    return values


def _is_valid(array: pa.Array) -> NDArray[np.bool_]:
    valid: NDArray[np.bool_] = pc.is_valid(array).to_numpy(zero_copy_only=False)
    return valid


def _bits(array: pa.Array, buffer: pa.Buffer) -> NDArray[np.bool_]:
    first, last = array.offset, array.offset + len(array)
    octets = np.frombuffer(buffer, dtype=np.uint8)[first >> 3 : (last + 7) >> 3]
    return np.unpackbits(octets, bitorder="little")[first & 7 :][: len(array)].view(np.bool_)


def _values(array: pa.Array, dtype: str) -> NDArray[Any]:
    first = array.offset
    return np.frombuffer(array.buffers()[1], dtype=dtype, count=first + len(array))[first:]


@lru_cache(maxsize=1024)
def _lane(kind: pa.DataType) -> Lane:
    """Return the function that makes canonical values of arrays of a type; what it says of nulls is ignored."""
    types = pa.types
    lane: Lane | None = None
    if types.is_integer(kind):
        lane = partial(_integers, dtype=f"<{'u' if types.is_unsigned_integer(kind) else 'i'}{kind.byte_width}")
    elif types.is_floating(kind):
        lane = partial(_floats, dtype=f"<f{kind.byte_width}")
    elif types.is_boolean(kind):
        lane = _booleans
    elif types.is_temporal(kind):
        lane = _temporal_lane(kind)
    elif types.is_decimal(kind):
        lane = partial(_decimals, dtype="<i4" if kind.byte_width == 4 else "<u8", words=max(kind.byte_width // 8, 1))
    elif types.is_fixed_size_binary(kind):
        lane = partial(_fixed_size_texts, width=kind.byte_width)
    elif types.is_string(kind) or types.is_binary(kind):
        lane = partial(_texts, dtype="<i4")
    elif types.is_large_string(kind) or types.is_large_binary(kind):
        lane = partial(_texts, dtype="<i8")
    elif types.is_string_view(kind) or types.is_binary_view(kind):
        lane = _views
    elif types.is_dictionary(kind):
        lane = _dictionaries
    elif types.is_struct(kind):
        lane = _structs
    elif types.is_map(kind):
        lane = _maps
    elif types.is_list(kind) or types.is_large_list(kind):
        lane = _lists
    elif types.is_fixed_size_list(kind):
        lane = partial(_fixed_size_lists, size=kind.list_size)
    elif types.is_run_end_encoded(kind):
        lane = _run_ends
    elif isinstance(kind, pa.BaseExtensionType):
        lane = _extensions
    if lane is None:
        raise UsageError(
            f"a column of type {kind} has no content checksum", hint="Convert it to a plain type before returning it."
        )
    return lane


def _integers(array: pa.Array, dtype: str) -> Hashes:
    values = _values(array, dtype)
    return values.view(_U8) if values.itemsize == 8 else values.astype(np.int64).view(_U8)


def _floats(array: pa.Array, dtype: str) -> Hashes:
    with np.errstate(invalid="ignore"):
        # Adding 0.0 turns -0.0 into 0.0.
        values = np.add(_values(array, dtype), 0.0, dtype=np.float64)
    bits: Hashes = values.view(_U8)
    strange = np.isnan(values)
    if strange.any():
        bits[strange] = _NAN
    return bits


def _booleans(array: pa.Array) -> Hashes:
    return _bits(array, array.buffers()[1]).astype(_U8)


def _temporal_lane(kind: pa.DataType) -> Lane | None:
    types = pa.types
    if types.is_date32(kind):
        return partial(_integers, dtype="<i4")
    if types.is_date64(kind):
        return _milliseconds_as_days
    if types.is_interval(kind):
        return None
    if kind.unit == "ns":
        return _nanoseconds
    return partial(_microseconds, dtype=f"<i{kind.bit_width // 8}", factor=_MICROS_PER[kind.unit])


def _milliseconds_as_days(array: pa.Array) -> Hashes:
    return (_values(array, "<i8") // 86_400_000).view(_U8)


def _microseconds(array: pa.Array, dtype: str, factor: int) -> Hashes:
    values = _values(array, dtype).astype(np.int64, copy=False)
    return (values if factor == 1 else values * np.int64(factor)).view(_U8)


def _nanoseconds(array: pa.Array) -> Hashes:
    values = _values(array, "<i8")
    micros = values // 1000
    return np.where(micros * 1000 == values, micros.view(_U8), values.view(_U8) ^ _NANOS)


def _decimals(array: pa.Array, dtype: str, words: int) -> Hashes:
    first = array.offset
    flat = np.frombuffer(array.buffers()[1], dtype=dtype, count=(first + len(array)) * words)
    parts = flat.reshape(-1, words)[first:]
    if dtype == "<i4":
        parts = parts.astype(np.int64).view(_U8)
    sign = (parts[:, -1].view(np.int64) >> 63).view(_U8)
    hashes: Hashes = parts[:, 0] ^ (sign & _GOLDEN)
    for word in range(1, words):
        rest = parts[:, word] ^ sign
        further = rest != 0
        if further.any():
            hashes[further] += _mixed(rest[further] + np.uint64(word) * _GOLDEN)
    return hashes


def _texts(array: pa.Array, dtype: str) -> Hashes:
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=dtype, count=array.offset + len(array) + 1)[array.offset :]
    return _hash_texts(bounds.astype(np.int64, copy=False), data)


def _fixed_size_texts(array: pa.Array, width: int) -> Hashes:
    bounds = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64) * width
    return _hash_texts(bounds, array.buffers()[1])


def _views(array: pa.Array) -> Hashes:
    return _texts(array.cast(pa.large_binary()), "<i8")


def _hash_texts(bounds: NDArray[np.int64], data: pa.Buffer | None) -> Hashes:
    """Hash texts word by word, all texts at once.

    Args:
        bounds: Text i is ``data[bounds[i]:bounds[i + 1]]``.
        data: The bytes; None if there are none.
    """
    first, last = int(bounds[0]), int(bounds[-1])
    octets = np.zeros(last - first + 8, dtype=np.uint8)
    if last > first:
        assert data is not None
        octets[:-8] = np.frombuffer(data, dtype=np.uint8)[first:last]
    # One unaligned word for each byte position, without a copy.
    words = np.ndarray((len(octets) - 7,), dtype=_U8, buffer=octets, strides=(1,))
    starts = bounds[:-1] - first
    sizes = bounds[1:] - bounds[:-1]
    shortest, longest = int(sizes.min()), int(sizes.max())
    hashes = sizes.view(_U8) * _GOLDEN
    for at in range(0, min(longest, LONGEST_INLINE_BYTES), 8):
        if shortest == longest:
            # Codes and dates, mostly: each word is where it is.
            _absorb(hashes, words[at::longest][: len(sizes)] & _LOW_BYTES[min(longest - at, 8)])
        elif at + 8 <= shortest:
            _absorb(hashes, words[starts + at])
        elif at < shortest:
            _absorb(hashes, words[starts + at] & _LOW_BYTES[np.minimum(sizes - at, 8)])
        else:
            some = np.flatnonzero(sizes > at)
            part = hashes[some]
            _absorb(part, words[starts[some] + at] & _LOW_BYTES[np.minimum(sizes[some] - at, 8)])
            hashes[some] = part
    long = np.flatnonzero(sizes > LONGEST_INLINE_BYTES) if longest > LONGEST_INLINE_BYTES else ()
    for row in long:
        hashes[row] = xxh3_64_intdigest(octets[starts[row] : starts[row] + sizes[row]].tobytes())
    return hashes


def _absorb(hashes: Hashes, words: Hashes) -> None:
    """Take one word into each hash, in place; `words` is overwritten."""
    hashes ^= words
    np.right_shift(hashes, 32, out=words)
    hashes ^= words
    hashes *= _MIX_1


def _dictionaries(array: pa.DictionaryArray) -> Hashes:
    indices = array.indices
    if indices.null_count:
        indices = indices.fill_null(0)
    at = _lane(indices.type)(indices).view(np.int64)
    return _canonical(array.dictionary)[at]


def _structs(array: pa.StructArray) -> Hashes:
    names = [field.name for field in array.type]
    return _row_hashes(names, [array.field(i) for i in range(len(names))], len(array))


def _row_hashes(names: list[str], columns: list[pa.Array], rows: int) -> Hashes:
    hashes = np.zeros(rows, dtype=_U8)
    for name, column in zip(names, columns, strict=True):
        hashes += _mixed(_canonical(column) ^ _seed(name))
    return _mixed(hashes)


def _lists(array: pa.Array) -> Hashes:
    bounds = array.offsets.to_numpy().astype(np.int64, copy=False)
    first, last = int(bounds[0]), int(bounds[-1])
    return _hash_lists(bounds, _canonical(array.values.slice(first, last - first)))


def _maps(array: pa.MapArray) -> Hashes:
    bounds = array.offsets.to_numpy().astype(np.int64, copy=False)
    first, last = int(bounds[0]), int(bounds[-1])
    pairs = [array.keys.slice(first, last - first), array.items.slice(first, last - first)]
    return _hash_lists(bounds, _row_hashes(["key", "value"], pairs, last - first))


def _fixed_size_lists(array: pa.FixedSizeListArray, size: int) -> Hashes:
    bounds = np.arange(len(array) + 1, dtype=np.int64) * size
    return _hash_lists(bounds, _canonical(array.values.slice(array.offset * size, len(array) * size)))


def _hash_lists(bounds: NDArray[np.int64], elements: Hashes) -> Hashes:
    """Hash lists; element i of `elements` has position ``bounds[0] + i``."""
    sizes = np.diff(bounds)
    starts = bounds[:-1] - bounds[0]
    places = np.arange(1, len(elements) + 1) - np.repeat(starts, sizes)
    sums = np.zeros(len(elements) + 1, dtype=_U8)
    np.cumsum(_mixed(elements ^ _mixed(places.astype(_U8))), out=sums[1:])
    return _mixed(sums[bounds[1:] - bounds[0]] - sums[starts] + sizes.view(_U8) * _GOLDEN)


def _run_ends(array: pa.Array) -> Hashes:
    return _canonical(pc.run_end_decode(array))


def _extensions(array: pa.ExtensionArray) -> Hashes:
    return _canonical(array.storage)

"""The micro-kernels of the products: a few rows times a few classes, whose sums stay in registers.

They are emitted as vector instructions, one operation at a time. So the order of each sum, and every bit of the
result, is fixed and independent of the optimiser. There is little left to optimise, so they compile quickly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_function: Any = cgutils.get_or_insert_function

__all__ = ["LINE", "MOST_CLASSES", "READS_HALF", "accumulate_tile_gradient", "add_tile_scores"]


def _processor() -> dict[str, bool]:
    try:
        return dict(binding.get_host_cpu_features())
    except RuntimeError:  # unknown processor
        return {}


_WIDTH = 64 if _processor().get("avx512f") else 32
"""Size of a vector in bytes. If registers are narrower, the compiler uses two of them."""

LINE = 64
"""Size of a cache line in bytes."""

MOST_CLASSES = 5 if _WIDTH == 64 else 3
"""Maximum number of classes whose sums for four rows fit into the 32 or 16 registers, with the operands."""

READS_HALF = bool(_processor().get("f16c") or _processor().get("fullfp16"))
"""Whether the processor converts float16 to float32 in hardware. Tiles read float16 as uint16."""

_INDEX, _BYTE, _PLACE = ir.IntType(64), ir.IntType(8), ir.IntType(32)


class _Rows(NamedTuple):
    """A 2-D array with contiguous rows: the address of its first item, its strides and its item types."""

    first: Any
    strides: Any
    item: Any
    kind: Any

    def address(self, builder: Any, row: Any, column: Any) -> Any:
        """Return the address of an item, as a pointer to bytes."""
        first = builder.gep(self.first, [builder.mul(row, builder.extract_value(self.strides, 0))])
        return builder.gep(first, [builder.mul(column, _INDEX(self.size))])

    @property
    def size(self) -> int:
        """Size of an item in bytes."""
        return int(self.kind.bitwidth // 8)


class _Emitter:
    """Emits operations on vectors of ``number``, or on scalars if ``n_lanes`` is 1."""

    def __init__(self, builder: Any, number: Any, n_lanes: int) -> None:
        self._builder, self._number, self.n_lanes = builder, number, n_lanes
        single = ir.FloatType() if number == types.float32 else ir.DoubleType()
        self.layout = ir.VectorType(single, n_lanes) if n_lanes > 1 else single

    def load(self, rows: _Rows, row: Any, column: Any) -> Any:
        """Load a vector from a row, from a column on, and convert it to the type of the arithmetic."""
        item = ir.VectorType(rows.item, self.n_lanes) if self.n_lanes > 1 else rows.item
        address = self._builder.bitcast(rows.address(self._builder, row, column), item.as_pointer())
        found = self._builder.load(address, align=rows.kind.bitwidth // 8)
        if isinstance(rows.item, ir.IntType):
            return (self._builder.sitofp if rows.kind.signed else self._builder.uitofp)(found, self.layout)
        if rows.item == getattr(self.layout, "element", self.layout):
            return found
        narrower = rows.kind.bitwidth < self._number.bitwidth
        return (self._builder.fpext if narrower else self._builder.fptrunc)(found, self.layout)

    def store(self, rows: _Rows, row: Any, column: Any, value: Any) -> None:
        """Store a vector, of the type of the array, into a row from a column on."""
        address = self._builder.bitcast(rows.address(self._builder, row, column), self.layout.as_pointer())
        self._builder.store(value, address, align=rows.kind.bitwidth // 8)

    def add_product(self, total: Any, a: Any, b: Any) -> Any:
        """Return total + a · b, as a fused multiply-add if the processor has one."""
        bits, lanes = self._number.bitwidth, f"v{self.n_lanes}" if self.n_lanes > 1 else ""
        kind = ir.FunctionType(self.layout, [self.layout] * 3)
        function = _function(self._builder.module, kind, f"llvm.fmuladd.{lanes}f{bits}")
        return self._builder.call(function, [a, b, total])

    def zero(self) -> Any:
        """Return zeros."""
        return ir.Constant(self.layout, [0.0] * self.n_lanes if self.n_lanes > 1 else 0.0)

    def splat(self, value: Any) -> Any:
        """Return a vector of copies of a number."""
        return value if self.n_lanes == 1 else self._splat(value, self.layout)

    def total(self, vector: Any) -> Any:
        """Return the sum of a vector's entries, by repeatedly adding its two halves."""
        while (count := vector.type.count) > 1:
            low, high = (self._shuffled(vector, list(range(n, n + count // 2))) for n in (0, count // 2))
            vector = self._builder.fadd(low, high)
        return self._builder.extract_element(vector, _PLACE(0))

    def between(self, vector: Any, others: Any, first: Any, end: Any) -> Any:
        """Return the entries first:end of ``vector``, and elsewhere those of ``others``."""
        indices = ir.VectorType(_INDEX, self.n_lanes)
        places = ir.Constant(indices, list(range(self.n_lanes)))
        begun = self._builder.icmp_signed(">=", places, self._splat(first, indices))
        going_on = self._builder.icmp_signed("<", places, self._splat(end, indices))
        return self._builder.select(self._builder.and_(begun, going_on), vector, others)

    def _splat(self, value: Any, layout: Any) -> Any:
        nothing = ir.Constant(layout, ir.Undefined)
        return self._shuffled(self._builder.insert_element(nothing, value, _PLACE(0)), [0] * self.n_lanes)

    def _shuffled(self, vector: Any, places: list[int]) -> Any:
        nothing = ir.Constant(vector.type, ir.Undefined)
        return self._builder.shuffle_vector(
            vector, nothing, ir.Constant(ir.VectorType(_PLACE, len(places)), places)
        )


_New: TypeAlias = Callable[[Any, Any], Any]
"""Emits a selection: the first vector in new columns, the second in columns that were processed before."""

_Body: TypeAlias = Callable[[_Emitter, Any, _New, list[Any]], list[Any]]
"""Emits the work for a vector of columns; returns the new sums."""


class _Tile:
    """Some rows of X and some classes, from the arguments (X, i, second, j, third, …) of either micro-kernel.

    It emits the loops over the columns, by vectors, or by scalars if there are fewer columns than a vector has.
    """

    def __init__(
        self, context: Any, builder: Any, kinds: Any, arguments: Any, number: Any, n_rows: int, n_classes: int
    ) -> None:
        self._builder = builder
        self.vectors = _Emitter(builder, number, _WIDTH * 8 // int(number.bitwidth))
        self.singles = _Emitter(builder, number, 1)
        arrays = [context.make_array(kinds[n])(context, builder, arguments[n]) for n in (0, 2, 4)]
        self._n_columns = builder.extract_value(arrays[0].shape, 1)
        self.arrays = []
        for kind, array in zip((kinds[0], kinds[2], kinds[4]), arrays, strict=True):
            # uint16 stands for float16.
            item = ir.HalfType() if kind.dtype == types.uint16 else context.get_data_type(kind.dtype)
            first = builder.bitcast(array.data, _BYTE.as_pointer())
            self.arrays.append(_Rows(first, array.strides, item, kind.dtype))
        self.rows = [builder.add(arguments[1], _INDEX(r)) for r in range(n_rows)]
        self.classes = [builder.add(arguments[3], _INDEX(c)) for c in range(n_classes)]

    def over_columns(self, body: _Body, n_sums: int, head: Any) -> list[Any]:
        """Emit the loops over all columns and return ``n_sums`` sums over them.

        Full vectors begin at column ``head``, which is less than the size of a vector.
        """
        builder, D, L = self._builder, self._n_columns, _INDEX(self.vectors.n_lanes)
        fits = builder.icmp_signed(">=", D, L)
        head = builder.select(fits, head, _INDEX(0))
        rest = builder.srem(builder.sub(D, head), L)
        whole = builder.sub(D, rest)

        def plain(column: Any, sums: list[Any]) -> list[Any]:
            return body(self.vectors, column, lambda vector, others: vector, sums)

        def at_an_end(which: Any, sums: list[Any]) -> list[Any]:
            # These vectors overlap with full ones, so only their new columns count.
            last = builder.icmp_signed("==", which, _INDEX(1))
            column = builder.select(last, builder.sub(D, L), _INDEX(0))
            first = builder.select(last, builder.sub(L, rest), _INDEX(0))
            end = builder.select(last, L, head)

            def new(vector: Any, others: Any) -> Any:
                return self.vectors.between(vector, others, first, end)

            return body(self.vectors, column, new, sums)

        def one_by_one(column: Any, sums: list[Any]) -> list[Any]:
            return body(self.singles, column, lambda number, other: number, sums)

        sums = self._repeat(head, whole, L, [self.vectors.zero()] * n_sums, plain, (200, 1))
        no_head = builder.zext(builder.icmp_signed("==", head, _INDEX(0)), _INDEX)
        has_rest = builder.zext(builder.and_(fits, builder.icmp_signed(">", rest, _INDEX(0))), _INDEX)
        sums = self._repeat(no_head, builder.add(_INDEX(1), has_rest), _INDEX(1), sums, at_an_end, (1, 1))
        totals = [self.vectors.total(vector) for vector in sums]
        return self._repeat(builder.select(fits, D, _INDEX(0)), D, _INDEX(1), totals, one_by_one, (1, 100))

    def head(self, array: _Rows) -> Any:
        """Return the column of the first class's row at which vectors must begin to not cross cache lines."""
        address = self._builder.ptrtoint(array.address(self._builder, self.classes[0], _INDEX(0)), _INDEX)
        n_bytes = self._builder.and_(self._builder.neg(address), _INDEX(_WIDTH - 1))
        return self._builder.udiv(n_bytes, _INDEX(array.size))

    def prefetching(self, place: Any, n_quarters: Any) -> Callable[[_Emitter, Any], None]:
        """Return a function that prefetches from X, in quarters of its rows, a part per vector of columns.

        Many small parts are better than a few large ones, since memory delivers lines at a constant rate.
        """
        builder, x, quarters = self._builder, self.arrays[0], _INDEX(4)
        row_bytes = builder.mul(self._n_columns, _INDEX(x.size))
        first = builder.gep(x.first, [builder.udiv(builder.mul(place, row_bytes), quarters)])
        n_bytes = builder.mul(n_quarters, _INDEX(self.vectors.n_lanes * x.size))

        def fetch(emit: _Emitter, column: Any) -> None:
            if emit is self.vectors:
                done = builder.mul(builder.mul(column, _INDEX(x.size)), n_quarters)
                start = builder.gep(first, [builder.udiv(done, quarters)])
                for line in range(2 * _WIDTH // LINE):  # of two rows, at most; branches cost less than a loop
                    with builder.if_then(builder.icmp_signed(">", n_bytes, _INDEX(4 * LINE * line))):
                        _prefetch(builder, builder.gep(start, [_INDEX(LINE * line)]))

        return fetch

    def _repeat(
        self, first: Any, end: Any, step: Any, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]],
        odds: tuple[int, int],
    ) -> list[Any]:  # fmt: skip
        """Emit a loop over ``range(first, end, step)`` with carried values; return their final values.

        ``odds`` tell the compiler how likely another iteration is, so that the hottest loop gets the registers.
        """
        builder, before = self._builder, self._builder.block
        head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        column, values = builder.phi(_INDEX), [builder.phi(value.type) for value in carried]
        column.add_incoming(first, before)
        for value, start in zip(values, carried, strict=True):
            value.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", column, end), inside, after).set_weights(odds)
        builder.position_at_end(inside)
        found = body(column, values)
        column.add_incoming(builder.add(column, step), builder.block)
        for value, new in zip(values, found, strict=True):
            value.add_incoming(new, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return values


def _sizes(*given: Any) -> list[int] | None:
    """Return the numbers of rows and classes, or None if they are not constants at compile time."""
    known = all(isinstance(n, types.IntegerLiteral) for n in given)
    return [n.literal_value for n in given] if known else None


def _add_tile_scores(
    typing: Any, X: Any, i: Any, Wt: Any, j: Any, S: Any, prefetch: Any, n_prefetch: Any, n_rows: Any,
    n_classes: Any,
) -> Any:  # fmt: skip
    """Add the products of ``n_rows`` rows of X, from i on, with ``n_classes`` rows of Wt, from j on, to S.

    Sums have the type of Wt, and their order does not depend on memory addresses. Meanwhile ``n_prefetch``
    quarters of rows of X, from the quarter ``prefetch`` on, are prefetched. These may lie outside of X, since they
    are not read. If there are any, X must be contiguous.
    """
    sizes = _sizes(n_rows, n_classes)
    if sizes is None:
        return None

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile = _Tile(context, builder, signature.args, arguments, Wt.dtype, *sizes)
        x, w, s = tile.arrays
        fetch = tile.prefetching(*arguments[5:7])

        def body(emit: _Emitter, column: Any, new: _New, sums: list[Any]) -> list[Any]:
            fetch(emit, column)
            weights = [new(emit.load(w, c, column), emit.zero()) for c in tile.classes]
            found: list[Any] = []
            for r in tile.rows:
                features = emit.load(x, r, column)
                so_far = sums[len(found) : len(found) + len(weights)]
                found += [emit.add_product(total, features, u) for total, u in zip(so_far, weights, strict=True)]
            return found

        sums = iter(tile.over_columns(body, len(tile.rows) * len(tile.classes), _INDEX(0)))
        for r in tile.rows:
            for c in tile.classes:
                so_far = tile.singles.load(s, r, c)
                tile.singles.store(s, r, c, builder.fadd(so_far, next(sums)))
        return context.get_dummy_value()

    return types.void(X, types.intp, Wt, types.intp, S, types.intp, types.intp, n_rows, n_classes), code


def _accumulate_tile_gradient(
    typing: Any, X: Any, i: Any, A: Any, j: Any, Gt: Any, prefetch: Any, n_prefetch: Any, n_rows: Any,
    n_classes: Any,
) -> Any:  # fmt: skip
    """Add ``n_rows`` rows of X, from i on, times factors in A, to ``n_classes`` rows of Gt; both from class j on.

    Sums have the type of Gt, and rows are added in order. Rows are prefetched as in `_add_tile_scores`.
    """
    sizes = _sizes(n_rows, n_classes)
    if sizes is None:
        return None

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile = _Tile(context, builder, signature.args, arguments, Gt.dtype, *sizes)
        x, a, g = tile.arrays
        fetch = tile.prefetching(*arguments[5:7])
        factors = [[tile.singles.load(a, r, c) for c in tile.classes] for r in tile.rows]

        def body(emit: _Emitter, column: Any, new: _New, sums: list[Any]) -> list[Any]:
            fetch(emit, column)
            before = found = [emit.load(g, c, column) for c in tile.classes]
            for r, of_row in zip(tile.rows, factors, strict=True):
                features = emit.load(x, r, column)
                found = [emit.add_product(h, features, emit.splat(f)) for h, f in zip(found, of_row, strict=True)]
            for c, total, old in zip(tile.classes, found, before, strict=True):
                emit.store(g, c, column, new(total, old))
            return sums

        tile.over_columns(body, 0, tile.head(g))
        return context.get_dummy_value()

    return types.void(X, types.intp, A, types.intp, Gt, types.intp, types.intp, n_rows, n_classes), code


def _prefetch(builder: Any, address: Any) -> None:
    """Prefetch a cache line of data for reading, into the L2 cache."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _PLACE, _PLACE, _PLACE])
    function = builder.module.declare_intrinsic("llvm.prefetch", [_BYTE.as_pointer()], kind)
    builder.call(function, [address, _PLACE(0), _PLACE(2), _PLACE(1)])


add_tile_scores: Any = intrinsic(prefer_literal=True)(_add_tile_scores)
accumulate_tile_gradient: Any = intrinsic(prefer_literal=True)(_accumulate_tile_gradient)

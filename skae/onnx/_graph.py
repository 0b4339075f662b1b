"""A graph of ONNX operators that is being written: one method for each operation that skae's models need."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from onnx import NodeProto, TensorProto, helper
from scipy import special

_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
_TYPES |= {"bool": TensorProto.BOOL, "uint8": TensorProto.UINT8}

_DOUBLE_LOGS = float(np.log(np.log(2))), float(np.log(42))  # log(-log p) of 1 / 2 and of 6e-19


class Graph:
    """Writes operators into a skl2onnx container; values are known by their names.

    Parameters
    ----------
    scope, container : skl2onnx objects
        As a converter is given them.
    dtype : numpy.dtype
        Of the values that it computes with: float32 or float64.
    """

    def __init__(self, scope: Any, container: Any, dtype: np.dtype) -> None:
        self.scope, self.container, self.dtype = scope, container, np.dtype(dtype)

    @property
    def opset(self) -> int:
        """The version of the operators."""
        return self.container.target_opset_any_domain("")

    @property
    def is_double(self) -> bool:
        """Whether values are float64, which some operators of the runtime do not take."""
        return self.dtype == np.float64

    def name(self, stem: str = "v") -> str:
        """Return a name that no other value has."""
        return self.scope.get_unique_variable_name(stem)

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Add a constant, of the graph's dtype unless another is given."""
        array = np.asarray(array, self.dtype if dtype is None else dtype)
        return self._constant(_TYPES[array.dtype.name], array.shape, array.ravel())

    def labels(self, classes: np.ndarray) -> str:
        """Add a constant vector of class labels: integers, or strings."""
        if classes.dtype.name in _TYPES:
            return self.constant(classes, classes.dtype)
        return self._constant(TensorProto.STRING, classes.shape, [str(label).encode() for label in classes])

    def _constant(self, kind: int, shape: Sequence[int], content: Any) -> str:
        name = self.name("c")
        self.container.add_initializer(name, kind, [*shape], content)
        return name

    def integers(self, values: Any) -> str:
        """Add a constant vector of integers, such as a shape, axes or indices."""
        return self.constant(np.asarray(values), np.int64)

    def op(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; inputs are names, or numbers and arrays of the graph's dtype. Return its output's name.

        With several ``outputs``, return all their names.
        """
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        results = [self.name() for _ in range(outputs)]
        node = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, names, results, name=node, **attributes)
        return results[0] if outputs == 1 else results

    def rename(self, value: str, name: str) -> None:
        """Give a value the name of an output."""
        self.container.add_node("Identity", [value], [name], name=self.scope.get_unique_operator_name("Identity"))

    def loop(self, n: str, body: Callable[..., Sequence[str]], *state: tuple[str, Any]) -> list[str]:
        """Repeat a piece of graph ``n`` times; return its last state.

        Parameters
        ----------
        n : str
            Number of repetitions, an integer without axes.
        body : callable (graph, number, *state) -> sequence of str
            Writes one repetition and returns the state after it. It may name values from outside on which some
            state to start with depends: skl2onnx, which sorts operators, does not look into it.
        *state : tuple of str and dtype
            Values to start with, and their dtypes.
        """
        inside = _Body(self.container)
        number, going, *before = (self.name() for _ in range(2 + len(state)))
        kinds = [_TYPES[np.dtype(dtype).name] for _, dtype in state]
        graph = Graph(self.scope, inside, self.dtype)
        after = [graph.op("Identity", value) for value in (going, *body(graph, number, *before))]
        own = [(number, TensorProto.INT64, ()), (going, TensorProto.BOOL, ())]
        inputs = [*own, *((name, kind, None) for name, kind in zip(before, kinds, strict=True))]
        outputs = zip(after, (TensorProto.BOOL, *kinds), ((), *[None] * len(kinds)), strict=True)
        proto = helper.make_graph(
            inside.nodes,
            self.name("body"),
            [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs],
            inside.constants,
        )
        results = self.op(
            "Loop", n, self.constant(True, bool), *(name for name, _ in state), outputs=len(state), body=proto
        )
        return [results] if len(state) == 1 else results

    # Arithmetic --------------------------------------------------------------------------------------------

    def add(self, x: Any, y: Any) -> str:
        return self.op("Add", x, y)

    def subtract(self, x: Any, y: Any) -> str:
        return self.op("Sub", x, y)

    def multiply(self, x: Any, y: Any) -> str:
        return self.op("Mul", x, y)

    def divide(self, x: Any, y: Any) -> str:
        return self.op("Div", x, y)

    def square(self, x: str) -> str:
        return self.op("Mul", x, x)

    def product(self, x: str, weight: Any) -> str:
        return self.op("MatMul", x, weight)

    def where(self, condition: str, x: Any, y: Any) -> str:
        return self.op("Where", condition, x, y)

    def cast(self, x: str, dtype: Any = None) -> str:
        """Convert to a dtype, by default the graph's."""
        return self.op("Cast", x, to=_TYPES[np.dtype(self.dtype if dtype is None else dtype).name])

    # Shapes ------------------------------------------------------------------------------------------------

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a side, and -1 is whatever remains."""
        return self.op("Reshape", x, self.integers(shape))

    def transpose(self, x: str, *axes: int) -> str:
        return self.op("Transpose", x, perm=list(axes))

    def columns(self, x: str, which: Any, axis: int = 1) -> str:
        """Pick columns by their numbers."""
        return self.op("Gather", x, self.integers(which), axis=axis)

    def stack(self, parts: Sequence[str], axis: int = 1) -> str:
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def reduce(self, kind: str, x: str, axis: int = 1, keepdims: bool = True) -> str:
        """Reduce over one axis by ``Sum``, ``Mean``, ``Max`` or ``LogSumExp``."""
        return self.op(f"Reduce{kind}", x, self.integers([axis]), keepdims=int(keepdims))

    # Functions that the runtime lacks, or lacks in float64 ---------------------------------------------------

    def horner(self, x: str, coefficients: np.ndarray) -> str:
        """Evaluate a polynomial; the constant's coefficient comes first."""
        value: Any = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            value = self.add(self.multiply(value, x), coefficient)
        return value

    def erf(self, x: str) -> str:
        """Return the error function.

        In float64 it is 1 - exp(-x^2) g(x) for x >= 0, where g(x) (1 + 2 x), of the scaled complementary function
        g, is smooth in (x - 2) / (x + 2): a polynomial of that, interpolated at Chebyshev's points.
        """
        if not self.is_double:
            return self.op("Erf", x)
        size = self.op("Abs", x)
        u = self.divide(self.subtract(size, 2.0), self.add(size, 2.0))
        scaled = self.divide(self.horner(u, _scaled_erfc()), self.add(self.multiply(size, 2.0), 1.0))
        tail = self.multiply(self.op("Exp", self.op("Neg", self.square(x))), scaled)
        return self.multiply(self.op("Sign", x), self.subtract(1.0, tail))

    def arsinh(self, x: str) -> str:
        size = self.op("Abs", x)
        positive = self.op("Log", self.add(size, self.op("Sqrt", self.add(self.square(size), 1.0))))
        return self.multiply(self.op("Sign", x), positive)

    def normal_quantile(self, p: str) -> str:
        """Return standard normal quantiles of probabilities from 1e-18 to 1 - 1e-16, in float64.

        For p <= 1 / 2 it is smooth in log(-log p): a polynomial of that, interpolated at Chebyshev's points.
        """
        smaller = self.op("Min", p, self.subtract(1.0, p))
        lowest, highest = _DOUBLE_LOGS
        double_log = self.op("Log", self.op("Neg", self.op("Log", smaller)))
        u = self.multiply(self.subtract(double_log, (lowest + highest) / 2), 2 / (highest - lowest))
        below = self.horner(u, _lower_quantiles())
        return self.where(self.op("Less", p, 0.5), below, self.op("Neg", below))

    def log_gamma(self, x: str) -> str:
        """Return the logarithm of the gamma function of positive numbers, by Stirling's series at x + 8."""
        wide = Graph(self.scope, self.container, np.dtype(np.float64))
        x = wide.cast(x)
        shifted, product = wide.add(x, 8.0), x
        for step in range(1, 8):
            product = wide.multiply(product, wide.add(x, float(step)))
        inverse = wide.divide(1.0, shifted)
        # Bernoulli's numbers B_2k / (2k (2k - 1)), of the odd powers of 1 / x
        series = [special.bernoulli(2 * k)[-1] / (2 * k * (2 * k - 1)) for k in range(1, 9)]
        tail = wide.multiply(wide.horner(wide.square(inverse), np.array(series)), inverse)
        main = wide.multiply(wide.subtract(shifted, 0.5), wide.op("Log", shifted))
        main = wide.add(wide.subtract(main, shifted), 0.5 * np.log(2 * np.pi))
        return self.cast(wide.subtract(wide.add(main, tail), wide.op("Log", product)))


class _Body:
    """A container of what is repeated: its operators and constants."""

    def __init__(self, outside: Any) -> None:
        self.target_opset_any_domain = outside.target_opset_any_domain
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add_node(self, kind: str, inputs: Any, outputs: Any, name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, outputs, name, **attributes))

    def add_initializer(self, name: str, kind: int, shape: Any, content: np.ndarray) -> None:
        self.constants.append(helper.make_tensor(name, kind, shape, content.tobytes(), raw=True))


def _scaled_erfc(degree: int = 25) -> np.ndarray:
    """Return the coefficients of erfcx(x) (1 + 2 x) as a polynomial in u = (x - 2) / (x + 2)."""

    def function(u: Any) -> Any:
        x = 2 * (1 + u) / (1 - u)
        return special.erfcx(x) * (1 + 2 * x)

    return chebyshev.cheb2poly(chebyshev.chebinterpolate(function, degree))


def _lower_quantiles(degree: int = 20) -> np.ndarray:
    """Return the coefficients of normal quantiles, p <= 1 / 2, as a polynomial in log(-log p) in [-1, 1]."""
    lowest, highest = _DOUBLE_LOGS

    def function(u: Any) -> Any:
        return special.ndtri_exp(-np.exp((lowest + highest) / 2 + u * (highest - lowest) / 2))

    return chebyshev.cheb2poly(chebyshev.chebinterpolate(function, degree))
